#include "controller/serve/grpc_server.h"

#include <grpc/grpc_security_constants.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "common/grpc_vigil.h"
#include "common/pem.h"
#include "common/status_macros.h"
#include "controller/serve/issued_credentials.h"
#include "rota/sync/v1/sync.grpc.pb.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

grpc::Status ToGrpc(const absl::Status& status) {
  return {static_cast<grpc::StatusCode>(status.code()), std::string(status.message())};
}

PeerIdentity IdentityOf(const grpc::CallbackServerContext& context) {
  PeerIdentity peer;
  peer.address = context.peer();
  const std::shared_ptr<const grpc::AuthContext> auth = context.auth_context();
  peer.authenticated = auth != nullptr && auth->IsPeerAuthenticated();
  if (peer.authenticated) {
    for (const grpc::string_ref& uri : auth->FindPropertyValues(GRPC_X509_SAN_PROPERTY_NAME)) {
      peer.uris.emplace_back(uri.data(), uri.size());
    }
  }
  return peer;
}

// The bytes of the call's `authorization`; "" when there is none.
SecretString AuthorizationOf(const grpc::CallbackServerContext& context) {
  const auto found = context.client_metadata().find("authorization");
  return found == context.client_metadata().end()
             ? SecretString()
             : SecretString(std::string_view(found->second.data(), found->second.size()));
}

// One stream of a service that accepts streams (SyncService, PeerExchange). Owns itself; gone after
// OnDone, which gRPC holds back until Finish and the end of every read and write.
//
// From Accept on the service may end the stream, on any thread, while Begin, on a thread of the
// authenticator's, has yet to start the first read: such an end waits for Begin. So the stream is
// there as long as Begin needs it, and OnDone finds its connection. A peer that cancels is heard of
// by the read, which fails.
template <typename Service, typename In, typename Out>
class StreamReactor final : public grpc::ServerBidiReactor<In, Out>, public OutgoingStream<Out> {
 public:
  StreamReactor(Service& service, Authenticator* authenticator,
                grpc::CallbackServerContext& context)
      : service_(service), context_(context) {
    if (authenticator == nullptr) {
      Begin(IdentityOf(context));
      return;
    }
    authenticator->Authenticate(
        IdentityOf(context), AuthorizationOf(context),
        [this](absl::StatusOr<PeerIdentity> peer) { Begin(std::move(peer)); });
  }

  void StartWrite(Out message) override {
    outgoing_ = std::move(message);
    Reactor::StartWrite(&outgoing_);
  }
  void Finish(const absl::Status& status) override {
    {
      std::lock_guard guard(mutex_);
      if (!has_begun_) {
        early_end_ = status;
        return;
      }
    }
    Reactor::Finish(ToGrpc(status));
  }
  void Cancel() override { context_.TryCancel(); }

  void OnReadDone(bool ok) override {
    if (!ok) {
      connection_->OnPeerClosed();
      return;
    }
    connection_->OnMessage(incoming_);
    incoming_ = In();  // parsing into it again would keep the memory of the largest message
    this->StartRead(&incoming_);
  }
  void OnWriteDone(bool ok) override {
    outgoing_ = Out();  // else every idle stream would hold its last chunk
    connection_->OnWriteDone(ok);
  }
  void OnDone() override {
    if (connection_ != nullptr) {
      connection_->OnDone();
    }
    delete this;
  }

 private:
  using Reactor = grpc::ServerBidiReactor<In, Out>;

  void Begin(absl::StatusOr<PeerIdentity> peer) {
    if (!peer.ok()) {
      Reactor::Finish(ToGrpc(peer.status()));
      return;
    }
    absl::StatusOr<std::shared_ptr<typename Service::Connection>> connection =
        service_.Accept(*this, *std::move(peer));
    if (!connection.ok()) {
      Reactor::Finish(ToGrpc(connection.status()));
      return;
    }
    connection_ = *std::move(connection);
    this->StartRead(&incoming_);
    std::optional<absl::Status> early_end;
    {
      std::lock_guard guard(mutex_);
      has_begun_ = true;
      early_end = std::move(early_end_);
    }
    // Without an early end this may be gone by now.
    if (early_end.has_value()) {
      Reactor::Finish(ToGrpc(*early_end));
    }
  }

  Service& service_;
  grpc::CallbackServerContext& context_;
  // Null: not authenticated yet, or refused. Set once, before the first read; nothing is written
  // before that has brought a Hello.
  std::shared_ptr<typename Service::Connection> connection_;
  In incoming_;
  Out outgoing_;

  std::mutex mutex_;  // after the connection's
  bool has_begun_ = false;
  std::optional<absl::Status> early_end_;  // that came before
};

class SnapshotServiceImpl final : public v1::SnapshotService::CallbackService {
 public:
  SnapshotServiceImpl(SyncService& service, Authenticator* authenticator)
      : service_(service), authenticator_(authenticator) {}
  grpc::ServerBidiReactor<v1::ClientMessage, v1::ServerMessage>* Sync(
      grpc::CallbackServerContext* context) override {
    return new StreamReactor<SyncService, v1::ClientMessage, v1::ServerMessage>(
        service_, authenticator_, *context);
  }

 private:
  SyncService& service_;
  Authenticator* const authenticator_;
};

class PeerServiceImpl final : public v1::PeerService::CallbackService {
 public:
  PeerServiceImpl(PeerExchange& exchange, Authenticator* authenticator)
      : exchange_(exchange), authenticator_(authenticator) {}
  grpc::ServerBidiReactor<v1::PeerMessage, v1::PeerMessage>* Exchange(
      grpc::CallbackServerContext* context) override {
    return new StreamReactor<PeerExchange, v1::PeerMessage, v1::PeerMessage>(
        exchange_, authenticator_, *context);
  }

 private:
  PeerExchange& exchange_;
  Authenticator* const authenticator_;
};

absl::StatusOr<std::shared_ptr<grpc::ServerCredentials>> Credentials(
    const GrpcServerOptions& options) {
  if (options.issued != nullptr) {
    return IssuedCredentials(*options.issued);
  }
  const int given =
      !options.tls_cert.empty() + !options.tls_key.empty() + !options.tls_client_ca.empty();
  if (given == 0) {
    if (!IsLoopbackHost(options.listen.host) && !options.insecure) {
      return absl::InvalidArgumentError(absl::StrCat(
          "plaintext on ", options.listen.ToString(),
          " is refused, because credentials travel on it: give --tls-cert, --tls-key and "
          "--tls-client-ca, or listen on 127.0.0.1, or say --insecure"));
    }
    return grpc::InsecureServerCredentials();
  }
  if (given != 3) {
    return absl::InvalidArgumentError(
        "--tls-cert, --tls-key and --tls-client-ca belong together: give all three");
  }
  RETURN_IF_ERROR(CheckPem("--tls-cert", options.tls_cert, "BEGIN CERTIFICATE"));
  RETURN_IF_ERROR(CheckPem("--tls-key", options.tls_key, "PRIVATE KEY"));
  RETURN_IF_ERROR(CheckPem("--tls-client-ca", options.tls_client_ca, "BEGIN CERTIFICATE"));
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(options.certificate_refresh).count();
  grpc::experimental::TlsServerCredentialsOptions tls(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          options.tls_key, options.tls_cert, options.tls_client_ca,
          static_cast<unsigned int>(std::max<int64_t>(seconds, 1))));
  tls.watch_root_certs();
  tls.watch_identity_key_cert_pairs();
  tls.set_cert_request_type(GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
  return grpc::experimental::TlsServerCredentials(tls);
}

int Milliseconds(Duration duration) {
  return static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

}  // namespace

struct GrpcServer::Impl {
  Impl(const GrpcServerOptions& options, SyncService& sync_service, PeerExchange* exchange,
       Clock& server_clock)
      : service(sync_service, options.authenticator), clock(server_clock) {
    if (exchange != nullptr) {
      peers.emplace(*exchange, options.authenticator);
    }
  }
  const std::shared_ptr<GrpcVigil> vigil = GrpcVigil::Share();
  std::shared_ptr<grpc::ServerCredentials> credentials;  // outlive the server
  SnapshotServiceImpl service;
  std::optional<PeerServiceImpl> peers;
  Clock& clock;
  HostPort address;
  std::unique_ptr<grpc::Server> server;
};

GrpcServer::GrpcServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

absl::StatusOr<std::unique_ptr<GrpcServer>> GrpcServer::Start(const GrpcServerOptions& options,
                                                              SyncService& service, Clock& clock,
                                                              PeerExchange* peers) {
  auto impl = std::make_unique<Impl>(options, service, peers, clock);
  ASSIGN_OR_RETURN(impl->credentials, Credentials(options));
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(options.listen.ToString(), impl->credentials, &port);
  builder.RegisterService(&impl->service);
  if (impl->peers.has_value()) {
    builder.RegisterService(&*impl->peers);
  }
  builder.SetMaxReceiveMessageSize(options.max_receive_bytes);
  // Two controllers on one port would share it silently.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, 60'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 20'000);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 15'000);
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, 16);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // see ClientChannelArguments()
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_MS,
                             Milliseconds(options.max_connection_age));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS,
                             Milliseconds(options.max_connection_grace));
  impl->server = builder.BuildAndStart();
  if (impl->server == nullptr || port == 0) {
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options.listen.ToString(),
                                               ": is the address in use, or not of this machine?"));
  }
  impl->address = {options.listen.host, static_cast<uint16_t>(port)};
  return std::unique_ptr<GrpcServer>(new GrpcServer(std::move(impl)));
}

GrpcServer::~GrpcServer() { Shutdown(Duration::zero()); }

const HostPort& GrpcServer::address() const { return impl_->address; }

void GrpcServer::Shutdown(Duration grace) {
  impl_->server->Shutdown(impl_->clock.WallNow() +
                          std::chrono::duration_cast<WallTime::duration>(grace));
  impl_->server->Wait();
}

}  // namespace rota::serve
