#include "controller/serve/peer_dialler.h"

#include <netdb.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
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

// Looks names up, again and again. Thread-safe.
class Resolver {
 public:
  Resolver(std::vector<HostPort> peers, Duration interval, Clock& clock)
      : peers_(std::move(peers)),
        interval_(interval),
        clock_(clock),
        thread_([this](std::stop_token stop) { Run(stop); }) {}

  std::vector<PeerAddress> addresses() const {
    std::lock_guard guard(mutex_);
    return addresses_;
  }

 private:
  void Run(std::stop_token stop) {
    while (!stop.stop_requested()) {
      std::vector<PeerAddress> found;
      for (const HostPort& peer : peers_) {
        LookUp(peer, found);
      }
      std::unique_lock lock(mutex_);
      addresses_ = std::move(found);
      const MonotonicTime next = clock_.Now() + interval_;
      while (!stop.stop_requested() && clock_.Now() < next) {
        clock_.WaitUntil(lock, wake_, next, stop);
      }
    }
  }

  // A failure is logged once.
  void LookUp(const HostPort& peer, std::vector<PeerAddress>& addresses) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = getaddrinfo(peer.host.c_str(), nullptr, &hints, &found);
    if (error != 0) {
      if (failing_.insert(peer.host).second) {
        log::Warn("peers", "a name of --peers is not found; it is tried again",
                  {{"host", peer.host}, {"reason", std::string(gai_strerror(error))}});
      }
      return;
    }
    failing_.erase(peer.host);
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
      char host[NI_MAXHOST];
      if (getnameinfo(each->ai_addr, each->ai_addrlen, host, sizeof host, nullptr, 0,
                      NI_NUMERICHOST) == 0) {
        addresses.push_back({peer.ToString(), HostPort{host, peer.port}.ToString()});
      }
    }
    freeaddrinfo(found);
  }

  const std::vector<HostPort> peers_;
  const Duration interval_;
  Clock& clock_;
  std::set<std::string> failing_;  // touched by the thread only
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::vector<PeerAddress> addresses_;
  std::jthread thread_;  // last: uses the rest
};

// The credentials for a connection that is made now; null: none can be made yet.
using CredentialsSource = std::function<std::shared_ptr<grpc::ChannelCredentials>()>;

class GrpcDialler final : public PeerDialler {
 public:
  GrpcDialler(const PeerDiallerOptions& options, CredentialsSource credentials, Clock& clock)
      : credentials_(std::move(credentials)),
        resolver_(options.peers, options.resolve_interval, clock) {}
  ~GrpcDialler() override { live_->AwaitNone(); }

  std::vector<PeerAddress> Addresses() override {
    dialling_with_ = credentials_();
    if (dialling_with_ == nullptr) {
      return {};
    }
    std::vector<PeerAddress> addresses = resolver_.addresses();
    // Pods come and go: channels to addresses that are gone go too, once no call uses them.
    std::erase_if(channels_, [&](const auto& entry) {
      return entry.second.idle() &&
             std::none_of(addresses.begin(), addresses.end(), [&](const PeerAddress& address) {
               return address.address == entry.first;
             });
    });
    return addresses;
  }

  void Dial(const PeerAddress& address,
            std::shared_ptr<PeerExchange::Connection> connection) override {
    grpc::ChannelArguments arguments = ClientChannelArguments(kMaxReceiveBytes);
    // The name that the certificate has to be good for.
    arguments.SetString(GRPC_ARG_DEFAULT_AUTHORITY, address.name);
    const std::shared_ptr<v1::PeerService::Stub> stub =
        v1::PeerService::NewStub(channels_[address.address].Renew(
            grpc::CreateCustomChannel(address.address, dialling_with_, arguments)));
    auto stream = std::make_shared<DialledStream>(std::move(connection));
    stream->Start(
        std::make_shared<Call>([stub](grpc::ClientContext* context,
                                      auto* reactor) { stub->async()->Exchange(context, reactor); },
                               stream, live_));
  }

 private:
  const CredentialsSource credentials_;
  std::shared_ptr<grpc::ChannelCredentials> dialling_with_;  // as of the last look at the addresses
  const std::shared_ptr<LiveCalls> live_ = std::make_shared<LiveCalls>();
  Resolver resolver_;
  std::map<std::string, ChannelHolder> channels_;  // by address
};

// Made anew only when what is trusted has changed.
CredentialsSource IssuedTrust(const PeerDiallerOptions& options) {
  return [trust = options.trust, token = NamedFile{"--token-file", options.token_file},
          trusted = std::string(),
          credentials = std::shared_ptr<grpc::ChannelCredentials>()]() mutable {
    if (std::string roots = trust(); roots != trusted) {
      trusted = std::move(roots);
      credentials = trusted.empty() ? nullptr : MakeTokenCredentials(trusted, token);
    }
    return credentials;
  };
}

}  // namespace

absl::StatusOr<std::unique_ptr<PeerDialler>> MakePeerDialler(const PeerDiallerOptions& options,
                                                             Clock& clock) {
  if (options.trust) {
    RETURN_IF_ERROR(ReadToken({"--token-file", options.token_file}).status());
    return std::unique_ptr<PeerDialler>(
        std::make_unique<GrpcDialler>(options, IssuedTrust(options), clock));
  }
  const ClientTls tls = {.certificate = {"--tls-cert", options.tls_cert},
                         .key = {"--tls-key", options.tls_key},
                         .ca = {"--tls-client-ca", options.tls_client_ca},
                         .token = {},
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
  return std::unique_ptr<PeerDialler>(std::make_unique<GrpcDialler>(
      options, [credentials] { return credentials; }, clock));
}

}  // namespace rota::serve
