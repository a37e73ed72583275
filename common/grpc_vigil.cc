#include "common/grpc_vigil.h"

namespace rota {
namespace {

constexpr char kMethod[] = "/rota.Vigil/Knock";  // nobody serves it

}  // namespace

std::shared_ptr<GrpcVigil> GrpcVigil::Share() {
  static std::mutex mutex;
  static std::weak_ptr<GrpcVigil> shared;
  std::lock_guard guard(mutex);
  std::shared_ptr<GrpcVigil> vigil = shared.lock();
  if (vigil == nullptr) {
    vigil = std::make_shared<GrpcVigil>();
    shared = vigil;
  }
  return vigil;
}

// Without credentials the channel is one on which every call fails at once.
GrpcVigil::GrpcVigil()
    : stub_(grpc::CreateChannel("", nullptr)),
      thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void GrpcVigil::Run(const std::stop_token& stop) {
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    grpc::ClientContext context;
    grpc::ByteBuffer answer;
    is_answered_ = false;
    lock.unlock();
    stub_.UnaryCall(&context, kMethod, {}, &request, &answer, [this](const grpc::Status&) {
      std::lock_guard guard(mutex_);
      is_answered_ = true;
      changed_.notify_all();
    });
    lock.lock();
    changed_.wait(lock, [this] { return is_answered_; });
    changed_.wait_for(lock, stop, kInterval, [] { return false; });
  }
}

}  // namespace rota
