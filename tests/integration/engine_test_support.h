#pragma once

// What the engine's integration tests are written with: a gateway on real sockets (engine, table
// built from text, metrics), an upstream that answers as a test says, and a client that sees raw
// bytes. Blocking sockets and threads on purpose: nothing of the engine's own machinery.
//
// Every wait has a deadline of kPatience, after which the test fails.

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "common/published.h"
#include "dataplane/engine/engine.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/rotation/registry.h"
#include "dataplane/table/builder.h"

typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;

namespace rota::engine::testing {

inline constexpr Duration kPatience = std::chrono::seconds(20);

// Polls until `done` or kPatience; returns whether it came true.
bool Eventually(const std::function<bool()>& done, Duration patience = kPatience);

// One blocking connection, plain or TLS.
class Wire {
 public:
  explicit Wire(int descriptor) : descriptor_(descriptor) {}
  ~Wire();
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
  // Handshakes; false when it fails.
  bool StartTls(SSL_CTX* context, bool as_server, const std::string& server_name = "");

  bool Send(std::string_view bytes);
  // At least one byte, or "" at the end of the stream, after an error or kPatience.
  std::string Receive();
  void CloseSending();  // FIN
  void Reset();         // RST
  int descriptor() const { return descriptor_; }
  SSL* ssl() { return ssl_; }

 private:
  int descriptor_;
  SSL* ssl_ = nullptr;
};

// A parsed message of either direction.
struct Message {
  std::string start;      // request or status line
  std::string head;       // all of it
  std::string body;       // chunking undone; of one that is cut, its whole chunks
  bool complete = false;  // the body came to its proper end
  int status() const;
  // The first value of a field, "" when it is not there. Name in lower case.
  std::string Field(std::string_view name) const;
};

// Reads messages from a wire, keeping what belongs to the next one.
class Reader {
 public:
  explicit Reader(Wire& wire) : wire_(wire) {}
  // nullopt when the stream ends before a head.
  std::optional<Message> ReadMessage(bool is_response, bool has_no_body = false);
  // Up to and with `mark`, or what came before the end.
  std::string ReadUntil(std::string_view mark);
  std::string ReadToEnd();

 private:
  bool Fill();
  Wire& wire_;
  std::string buffer_;
};

// Answers each request with what the handler says.
class TestUpstream {
 public:
  // Writes the answer to the wire; false: the connection is closed.
  using Handler = std::function<bool(const Message& request, Wire& wire)>;
  enum class Asks { kWhenWhole, kBehindTheHead };  // the handler; then the body is on the wire
  explicit TestUpstream(Handler handler, SSL_CTX* tls = nullptr, Asks asks = Asks::kWhenWhole);
  ~TestUpstream();

  uint16_t port() const { return port_; }
  std::vector<Message> requests() const;
  size_t accepted() const { return accepted_; }
  size_t open() const { return open_; }

 private:
  void Accept();
  void Serve(int descriptor);
  Handler handler_;
  SSL_CTX* tls_;
  const Asks asks_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_{false};
  std::atomic<size_t> accepted_{0};
  std::atomic<size_t> open_{0};
  mutable std::mutex mutex_;
  std::vector<Message> requests_;
  std::vector<std::jthread> threads_;
  std::set<int> descriptors_;
  std::jthread acceptor_;
};

// A whole answer with Content-Length.
std::string Answer(int status, std::string_view body, std::string_view fields = "");
// A handler that always gives the same answer.
TestUpstream::Handler Always(std::string answer);

struct GatewayOptions {
  size_t loops = 1;
  Limits limits;
  bool https = false;
  bool allow_local = true;
  std::vector<ResolveOverride> resolve;
  std::string upstream_ca_file;
  std::string certificate_file;
  std::string key_file;
  bool allow_unauthenticated = true;
  const Clock* clock = nullptr;  // the real one
};

// An engine that serves one API, given as the text form of rota.sync.v1.Api.
class TestGateway {
 public:
  explicit TestGateway(const std::string& api_text, GatewayOptions options = {});
  ~TestGateway();
  Engine& engine() { return *engine_; }
  uint16_t port() const { return engine_->http_address()->port; }
  uint16_t https_port() const { return engine_->https_address()->port; }
  rotation::Registry& registry() { return registry_; }
  // Another API, another key in its Secret (nullopt: no Secret), as when a snapshot has come.
  void Configure(const std::string& api_text, std::optional<std::string> key = "sk-secret");
  size_t suspended() { return registry_.Active(clock_.Now()).size(); }
  Duration SuspendedFor(const std::string& target);  // 0: it is not
  // The value of a metric, summed over the series whose labels hold `labels` ("code=429").
  double Metric(const std::string& name, const std::string& label = "") const;
  void StopEngine() { engine_.reset(); }

 private:
  const GatewayOptions options_;
  RealClock real_clock_;
  const Clock& clock_;
  observe::RequestMetrics metrics_;
  rotation::Registry registry_;
  Published<table::RouteTable> table_;
  std::unique_ptr<table::Builder> builder_;
  std::unique_ptr<Engine> engine_;
};

// A chat API at /chat/1.0 whose production rotation has the models m0, m1, ... of weight 1, one per
// port; `extra` goes into the rotation ("attempts: 2").
std::string ChatApi(const std::vector<uint16_t>& ports, std::string_view extra = "");

int Connect(uint16_t port);
// One request on a connection of its own.
std::optional<Message> Ask(uint16_t port, std::string_view request);
// POST /chat/1.0/chat/completions.
std::string ChatRequest(std::string_view body = R"({"model":"x","messages":[]})",
                        std::string_view fields = "");

// A CA and a certificate for `names`, written to files of a temporary folder.
class TestCertificates {
 public:
  explicit TestCertificates(const std::string& name);
  ~TestCertificates();
  std::string ca_file() const { return folder_ + "/ca.pem"; }
  std::string certificate_file() const { return folder_ + "/cert.pem"; }
  std::string key_file() const { return folder_ + "/key.pem"; }
  SSL_CTX* server_context() const { return server_; }
  SSL_CTX* client_context() const { return client_; }

 private:
  std::string folder_;
  SSL_CTX* server_ = nullptr;
  SSL_CTX* client_ = nullptr;
};

// A chat API whose endpoint is https://<host>:<port>, and what reaches it at 127.0.0.1.
std::string TlsApi(const std::string& host, uint16_t port);
GatewayOptions Trusting(const TestCertificates& certificates, const std::string& host,
                        uint16_t port);

}  // namespace rota::engine::testing
