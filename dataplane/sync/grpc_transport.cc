#include "dataplane/sync/grpc_transport.h"

#include "absl/strings/str_cat.h"
#include "common/grpc_client.h"
#include "common/grpc_vigil.h"
#include "common/status_macros.h"
#include "rota/sync/v1/sync.grpc.pb.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

using Call = GrpcCall<v1::ClientMessage, v1::ServerMessage>;

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
      : controllers_(options.controllers),
        credentials_(std::move(credentials)),
        arguments_(ClientChannelArguments(options.max_receive_bytes)) {}
  ~GrpcTransport() override { live_->AwaitNone(); }

  size_t address_count() const override { return controllers_.size(); }
  std::string address(size_t index) const override { return controllers_[index].ToString(); }

  std::unique_ptr<SyncStream> Connect(size_t index,
                                      std::shared_ptr<SyncStreamEvents> events) override {
    const std::shared_ptr<v1::SnapshotService::Stub> stub = v1::SnapshotService::NewStub(
        channel_.Renew(grpc::CreateCustomChannel(address(index), credentials_, arguments_)));
    auto call =
        std::make_shared<Call>([stub](grpc::ClientContext* context,
                                      auto* reactor) { stub->async()->Sync(context, reactor); },
                               std::move(events), live_);
    call->Start(call);
    return std::make_unique<GrpcStream>(std::move(call));
  }

 private:
  const std::vector<HostPort> controllers_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const grpc::ChannelArguments arguments_;
  const std::shared_ptr<GrpcVigil> vigil_ = GrpcVigil::Share();
  const std::shared_ptr<LiveCalls> live_ = std::make_shared<LiveCalls>();
  ChannelHolder channel_;
};

absl::Status CheckPlaintext(const GrpcTransportOptions& options) {
  for (const HostPort& controller : options.controllers) {
    if (!IsLoopbackHost(controller.host) && !options.insecure) {
      return absl::InvalidArgumentError(absl::StrCat(
          "plaintext to controller ", controller.ToString(),
          " is refused, because credentials travel on it: give --sync-tls-ca, --sync-tls-cert and "
          "--sync-tls-key, or say --insecure"));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> Credentials(
    const GrpcTransportOptions& options) {
  const ClientTls tls = {.certificate = {"--sync-tls-cert", options.tls_cert},
                         .key = {"--sync-tls-key", options.tls_key},
                         .ca = {"--sync-tls-ca", options.tls_ca},
                         .token = {"--token-file", options.token_file},
                         .refresh = options.certificate_refresh};
  if (tls.empty()) {
    RETURN_IF_ERROR(CheckPlaintext(options));
    return grpc::InsecureChannelCredentials();
  }
  return MakeClientCredentials(tls);
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
