#include "tests/support/mock_llm/server.h"

#include <sys/socket.h>

#include <boost/asio/ip/address.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "tests/support/mock_llm/session.h"

namespace rota::mock_llm {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Acceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using ReusePort = asio::detail::socket_option::boolean<SOL_SOCKET, SO_REUSEPORT>;

constexpr int kBacklog = 4096;
// After accept has failed (no descriptors left): a pause instead of a busy loop.
constexpr auto kAcceptPause = std::chrono::milliseconds(50);

absl::StatusOr<asio::ip::tcp::endpoint> ResolveListen(const HostPort& listen) {
  error_code error;
  const std::string host = listen.host == "localhost" ? "127.0.0.1" : listen.host;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (error) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen ", listen.ToString(), ": the host must be an IP address"));
  }
  return asio::ip::tcp::endpoint(address, listen.port);
}

// One thread: its own listening socket (SO_REUSEPORT) and its own connections.
class Loop {
 public:
  Loop(const ServerOptions& options, const Clock& clock, ControlState& control,
       std::atomic<uint64_t>& next_number, asio::ssl::context* tls)
      : recorder_(options.keep_requests),
        state_{&options,   &clock,       &control,
               &recorder_, &next_number, control.behaviors.MakeReader()},
        tls_(tls),
        context_(1),
        acceptor_(context_.get_executor()),
        pause_(context_.get_executor()) {}

  absl::StatusOr<uint16_t> Bind(const asio::ip::tcp::endpoint& endpoint) {
    error_code error;
    const auto failed = [&](const char* what) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", endpoint.address().to_string(), ":", endpoint.port(),
                       ": ", what, ": ", error.message()));
    };
    if (acceptor_.open(endpoint.protocol(), error)) {
      return failed("socket");
    }
    acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (acceptor_.set_option(ReusePort(true), error)) {
      return failed("SO_REUSEPORT");
    }
    if (acceptor_.bind(endpoint, error)) {
      return failed("bind");
    }
    if (acceptor_.listen(kBacklog, error)) {
      return failed("listen");
    }
    return acceptor_.local_endpoint(error).port();
  }

  void Start() {
    Accept();
    thread_ = std::jthread([this] { context_.run(); });
  }
  void Stop() {
    context_.stop();
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  RecorderShard* recorder() { return &recorder_; }

 private:
  void Accept() {
    acceptor_.async_accept([this](error_code error, Socket socket) {
      if (error) {
        pause_.expires_after(kAcceptPause);
        pause_.async_wait([this](error_code wait_error) {
          if (!wait_error) {
            Accept();
          }
        });
        return;
      }
      socket.set_option(asio::ip::tcp::no_delay(true), error);
      StartSession(state_, std::move(socket), tls_);
      Accept();
    });
  }

  RecorderShard recorder_;
  LoopState state_;
  asio::ssl::context* tls_;
  asio::io_context context_;  // destroyed before what its sessions refer to
  Acceptor acceptor_;
  Timer pause_;
  std::jthread thread_;
};

absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeTls(const ServerOptions& options) {
  if (options.tls_certificate_file.empty() && options.tls_key_file.empty()) {
    return nullptr;
  }
  if (options.tls_certificate_file.empty() || options.tls_key_file.empty()) {
    return absl::InvalidArgumentError(
        "--tls-cert and --tls-key go together; one of them is missing");
  }
  auto context = std::make_unique<asio::ssl::context>(asio::ssl::context::tls_server);
  error_code error;
  if (context->use_certificate_chain_file(options.tls_certificate_file, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-cert ", options.tls_certificate_file,
                     ": not a readable PEM certificate: ", error.message()));
  }
  if (context->use_private_key_file(options.tls_key_file, asio::ssl::context::pem, error)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tls-key ", options.tls_key_file,
                     ": not the readable PEM key of the certificate: ", error.message()));
  }
  return context;
}

}  // namespace

struct Server::State {
  State(ServerOptions o, const Clock& c) : options(std::move(o)), clock(c) {}
  ServerOptions options;
  const Clock& clock;
  ControlState control;
  std::atomic<uint64_t> next_number{1};
  std::unique_ptr<asio::ssl::context> tls;
  std::vector<std::unique_ptr<Loop>> loops;
  HostPort address;
};

absl::StatusOr<std::unique_ptr<Server>> Server::Start(ServerOptions options, const Clock& clock) {
  auto state = std::make_unique<State>(std::move(options), clock);
  ASSIGN_OR_RETURN(state->tls, MakeTls(state->options));
  ASSIGN_OR_RETURN(asio::ip::tcp::endpoint endpoint, ResolveListen(state->options.listen));
  state->control.keep_requests = state->options.keep_requests;
  std::vector<std::pair<std::string, std::optional<Behavior>>> behaviors;
  for (const auto& [model, behavior] : state->options.behaviors) {
    behaviors.emplace_back(model, behavior);
  }
  RETURN_IF_ERROR(state->control.behaviors.Set(behaviors));
  for (size_t i = 0; i < std::max<size_t>(state->options.threads, 1); ++i) {
    auto loop = std::make_unique<Loop>(state->options, clock, state->control, state->next_number,
                                       state->tls.get());
    ASSIGN_OR_RETURN(const uint16_t port, loop->Bind(endpoint));
    endpoint.port(port);  // the other loops share the port that the first one got
    state->control.shards.push_back(loop->recorder());
    state->loops.push_back(std::move(loop));
  }
  state->address = HostPort{endpoint.address().to_string(), endpoint.port()};
  for (const auto& loop : state->loops) {
    loop->Start();
  }
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Server::~Server() {
  for (const auto& loop : state_->loops) {
    loop->Stop();
  }
}

const HostPort& Server::address() const { return state_->address; }

}  // namespace rota::mock_llm
