#include "dataplane/sync/grpc_transport.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/pem.h"
#include "common/status_macros.h"
#include "rota/sync/v1/sync.grpc.pb.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

// Streams that gRPC may still touch.
class LiveCount {
 public:
  void Add() {
    std::lock_guard guard(mutex_);
    ++count_;
  }
  void Remove() {
    std::lock_guard guard(mutex_);
    --count_;
    changed_.notify_all();
  }
  void AwaitNone() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// Owns itself from Start() to OnDone; the handle below may let go of it earlier. A hold keeps
// OnDone away while somebody may still start an operation: until a read has failed, or the handle
// has cancelled.
class Call final : public grpc::ClientBidiReactor<v1::ClientMessage, v1::ServerMessage> {
 public:
  Call(std::shared_ptr<grpc::Channel> channel, std::shared_ptr<SyncStreamEvents> events,
       std::shared_ptr<LiveCount> live)
      : stub_(v1::SnapshotService::NewStub(channel)),
        events_(std::move(events)),
        live_(std::move(live)) {}

  void Start(std::shared_ptr<Call> self) {
    self_ = std::move(self);
    live_->Add();
    stub_->async()->Sync(&context_, this);
    AddHold();
    StartCall();
  }

  void Write(v1::ClientMessage message) {
    std::lock_guard guard(mutex_);
    if (released_) {
      return;  // OnClosed is on its way
    }
    outgoing_ = std::move(message);
    StartWrite(&outgoing_);
  }

  void Read() {
    std::lock_guard guard(mutex_);
    if (released_) {
      return;
    }
    reading_ = true;
    StartRead(&incoming_);
  }

  void Cancel() {
    context_.TryCancel();
    Release([this] {
      cancelled_ = true;
      return !reading_;  // a read that is open fails now and lets go then
    });
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      events_->OnMessage(TakeIncoming());
    }
    Release([this, ok] { return !reading_ && (!ok || cancelled_); }, ok);
  }
  void OnWriteDone(bool ok) override { events_->OnWriteDone(ok); }
  void OnDone(const grpc::Status& status) override {
    events_->OnClosed(absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                                   absl::string_view(status.error_message())));
    const std::shared_ptr<LiveCount> live = live_;
    self_.reset();  // may delete this
    live->Remove();
  }

 private:
  v1::ServerMessage TakeIncoming() {
    std::lock_guard guard(mutex_);
    reading_ = false;
    return std::move(incoming_);
  }

  // Gives the hold back, once, when `condition` says so.
  template <typename Condition>
  void Release(Condition condition, bool read_was_taken = true) {
    {
      std::lock_guard guard(mutex_);
      if (!read_was_taken) {
        reading_ = false;
      }
      if (!condition() || released_) {
        return;
      }
      released_ = true;
    }
    RemoveHold();
  }

  const std::unique_ptr<v1::SnapshotService::Stub> stub_;
  const std::shared_ptr<SyncStreamEvents> events_;
  const std::shared_ptr<LiveCount> live_;
  std::shared_ptr<Call> self_;
  grpc::ClientContext context_;
  v1::ClientMessage outgoing_;
  v1::ServerMessage incoming_;
  std::mutex mutex_;
  bool reading_ = false;
  bool cancelled_ = false;
  bool released_ = false;
};

class GrpcStream final : public SyncStream {
 public:
  explicit GrpcStream(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  ~GrpcStream() override { call_->Cancel(); }
  void StartWrite(v1::ClientMessage message) override { call_->Write(std::move(message)); }
  void StartRead() override { call_->Read(); }
  void Cancel() override { call_->Cancel(); }

 private:
  const std::shared_ptr<Call> call_;
};

class GrpcTransport final : public SyncTransport {
 public:
  GrpcTransport(const GrpcTransportOptions& options,
                std::shared_ptr<grpc::ChannelCredentials> credentials)
      : controllers_(options.controllers), credentials_(std::move(credentials)) {
    arguments_.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, 30'000);
    arguments_.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10'000);
    arguments_.SetInt(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
    arguments_.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);
    // Otherwise a new channel would share the old one's connection and its back-off.
    arguments_.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    arguments_.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments_.SetMaxReceiveMessageSize(options.max_receive_bytes);
  }
  ~GrpcTransport() override { live_->AwaitNone(); }

  size_t address_count() const override { return controllers_.size(); }
  std::string address(size_t index) const override { return controllers_[index].ToString(); }

  std::unique_ptr<SyncStream> Connect(size_t index,
                                      std::shared_ptr<SyncStreamEvents> events) override {
    retired_channel_ = std::move(channel_);
    channel_ = grpc::CreateCustomChannel(address(index), credentials_, arguments_);
    auto call = std::make_shared<Call>(channel_, std::move(events), live_);
    call->Start(call);
    return std::make_unique<GrpcStream>(std::move(call));
  }

 private:
  const std::vector<HostPort> controllers_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  grpc::ChannelArguments arguments_;
  const std::shared_ptr<LiveCount> live_ = std::make_shared<LiveCount>();
  // The last channel to go joins gRPC's callback threads. OnDone runs on such a thread, and what it
  // lets go of must never be that channel: the newest one stays here until the transport is
  // destroyed, and the one before it until it can have no call any more.
  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<grpc::Channel> retired_channel_;
};

absl::Status CheckPlaintext(const GrpcTransportOptions& options) {
  for (const HostPort& controller : options.controllers) {
    if (!IsLoopbackHost(controller.host) && !options.insecure) {
      return absl::InvalidArgumentError(absl::StrCat(
          "plaintext to controller ", controller.ToString(),
          " is refused, because credentials travel on it: give --controller-ca, --controller-cert "
          "and --controller-key, or say --insecure"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const GrpcTransportOptions& options) {
  if (options.tls_cert.empty() && options.tls_key.empty() && options.tls_ca.empty()) {
    RETURN_IF_ERROR(CheckPlaintext(options));
    return grpc::InsecureChannelCredentials();
  }
  if (options.tls_cert.empty() != options.tls_key.empty()) {
    return absl::InvalidArgumentError(
        "--controller-cert and --controller-key belong together: give both");
  }
  const bool identity = !options.tls_cert.empty();
  if (identity) {
    RETURN_IF_ERROR(CheckPem("--controller-cert", options.tls_cert, "BEGIN CERTIFICATE"));
    RETURN_IF_ERROR(CheckPem("--controller-key", options.tls_key, "PRIVATE KEY"));
  }
  if (!options.tls_ca.empty()) {
    RETURN_IF_ERROR(CheckPem("--controller-ca", options.tls_ca, "BEGIN CERTIFICATE"));
  }
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options.certificate_refresh).count();
  grpc::experimental::TlsChannelCredentialsOptions tls;
  tls.set_certificate_provider(std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
      options.tls_key, options.tls_cert, options.tls_ca,
      static_cast<unsigned int>(std::max<int64_t>(seconds, 1))));
  if (!options.tls_ca.empty()) {
    tls.watch_root_certs();
  }
  if (identity) {
    tls.watch_identity_key_cert_pairs();
  }
  return grpc::experimental::TlsCredentials(tls);
}

}  // namespace

absl::StatusOr<std::unique_ptr<SyncTransport>> MakeGrpcTransport(
    const GrpcTransportOptions& options) {
  if (options.controllers.empty()) {
    return absl::InvalidArgumentError("no controller is given: use --controller HOST:PORT");
  }
  ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials, Credentials(options));
  return std::unique_ptr<SyncTransport>(
      std::make_unique<GrpcTransport>(options, std::move(credentials)));
}

}  // namespace rota::sync
