#pragma once

// Keeps gRPC listening on a quiet system.
//
// The threads that run gRPC's callbacks, for servers and clients alike, wait a second for something
// to do and then sleep 100 ms without looking (gRPC 1.51, CallbackAlternativeCQ in
// src/cpp/common/completion_queue_cc.cc): a message that comes meanwhile waits as long, which is
// what the first suspension after a quiet second would do. A call counts as something to do, also
// one that fails at once without a connection; so one is made every kInterval. Each costs a thread
// some 30 us.
//
// Needs gRPC, which the common library itself does not. Thread-safe.

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

namespace rota {

class GrpcVigil {
 public:
  // Well below the second, so that the thread that took the last call has not slept yet.
  static constexpr std::chrono::milliseconds kInterval{400};

  // The one of this process, while anybody holds it. Not to be let go of on a callback thread.
  static std::shared_ptr<GrpcVigil> Share();
  GrpcVigil();

 private:
  void Run(const std::stop_token& stop);

  grpc::GenericStub stub_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool is_answered_ = false;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace rota
