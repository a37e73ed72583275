#include "controller/serve/peer_dialler.h"

#include <netdb.h>

#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/grpc_client.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "rota/sync/v1/sync.grpc.pb.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

constexpr int kMaxReceiveBytes = 4 << 20;

using Call = GrpcCall<v1::PeerMessage, v1::PeerMessage>;

// Between one call and one connection; reads on and on.
class DialledStream final : public PeerStream, public StreamEvents<v1::PeerMessage> {
 public:
  explicit DialledStream(std::shared_ptr<PeerExchange::Connection> connection)
      : connection_(std::move(connection)) {}
  void Start(std::shared_ptr<Call> call) {
    call_ = std::move(call);
    call_->Start(call_);
    call_->Read();
    connection_->Open(*this);
  }

  void StartWrite(v1::PeerMessage message) override { call_->Write(std::move(message)); }
  void Finish(const absl::Status&) override { call_->Cancel(); }
  void Cancel() override { call_->Cancel(); }

  void OnMessage(v1::PeerMessage message) override {
    connection_->OnMessage(message);
    call_->Read();
  }
  void OnWriteDone(bool ok) override { connection_->OnWriteDone(ok); }
  void OnClosed(absl::Status status) override {
    connection_->OnDone(status);
    call_.reset();  // they hold each other
  }

 private:
  const std::shared_ptr<PeerExchange::Connection> connection_;
  std::shared_ptr<Call> call_;
};

// The numeric addresses of one name; a failure is logged once per name.
class Resolver {
 public:
  std::vector<std::string> Resolve(const HostPort& peer) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const std::string port = absl::StrCat(peer.port);
    const int error = getaddrinfo(peer.host.c_str(), port.c_str(), &hints, &found);
    if (error != 0) {
      if (std::exchange(failing_[peer.host], true) == false) {
        log::Warn("peers", "a name of --peers is not found; it is tried again",
                  {{"host", peer.host}, {"reason", std::string(gai_strerror(error))}});
      }
      return {};
    }
    failing_[peer.host] = false;
    std::vector<std::string> addresses;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      char host[NI_MAXHOST];
      if (getnameinfo(each->ai_addr, each->ai_addrlen, host, sizeof host, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
        addresses.push_back(HostPort{host, peer.port}.ToString());
      }
    }
    freeaddrinfo(found);
    return addresses;
  }

 private:
  std::map<std::string, bool> failing_;
};

class GrpcDialler final : public PeerDialler {
 public:
  GrpcDialler(std::vector<HostPort> peers, std::shared_ptr<grpc::ChannelCredentials> credentials)
      : peers_(std::move(peers)), credentials_(std::move(credentials)) {}
  ~GrpcDialler() override { live_->AwaitNone(); }

  std::vector<PeerAddress> Resolve() override {
    std::vector<PeerAddress> addresses;
    for (const HostPort& peer : peers_) {
      for (std::string& address : resolver_.Resolve(peer)) {
        addresses.push_back({peer.ToString(), std::move(address)});
      }
    }
    return addresses;
  }

  void Dial(const PeerAddress& address,
            std::shared_ptr<PeerExchange::Connection> connection) override {
    grpc::ChannelArguments arguments = ClientChannelArguments(kMaxReceiveBytes);
    // The name that the certificate has to be good for.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, address.name);
    const std::shared_ptr<v1::PeerService::Stub> stub =
        v1::PeerService::NewStub(channels_[address.address].Renew(
            grpc::CreateCustomChannel(address.address, credentials_, arguments)));
    auto stream = std::make_shared<DialledStream>(std::move(connection));
    stream->Start(std::make_shared<Call>(
        [stub](grpc::ClientContext* context, auto* reactor) {
          stub->async()->Exchange(context, reactor);
        },
        stream, live_));
  }

 private:
  const std::vector<HostPort> peers_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  const std::shared_ptr<LiveCalls> live_ = std::make_shared<LiveCalls>();
  Resolver resolver_;
  std::map<std::string, ChannelHolder> channels_;  // by address; as many as PeerExchange dials
};

}  // namespace

absl::StatusOr<std::unique_ptr<PeerDialler>> MakePeerDialler(const PeerDiallerOptions& options) {
  const ClientTls tls = {.certificate = {"--tls-cert", options.tls_cert},
                         .key = {"--tls-key", options.tls_key},
                         .ca = {"--tls-client-ca", options.tls_client_ca},
                         .refresh = options.certificate_refresh};
  std::shared_ptr<grpc::ChannelCredentials> credentials;
  if (tls.empty()) {
    for (const HostPort& peer : options.peers) {
      if (!IsLoopbackHost(peer.host) && !options.insecure) {
        return absl::InvalidArgumentError(absl::StrCat(
            "plaintext to --peers ", peer.ToString(),
            " is refused: give --tls-cert, --tls-key and --tls-client-ca, or say --insecure"));
      }
    }
    credentials = grpc::InsecureChannelCredentials();
  } else {
    ASSIGN_OR_RETURN(credentials, MakeClientCredentials(tls));
  }
  return std::unique_ptr<PeerDialler>(
      std::make_unique<GrpcDialler>(options.peers, std::move(credentials)));
}

}  // namespace rota::serve
