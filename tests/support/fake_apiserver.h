#pragma once

// An API server in this process: real sockets on port 0, optional TLS, list, watch, get, create,
// replace, delete, status by server-side apply, bearer token; and faults to order that no real
// server makes on demand. Held to the real one by tests/integration/kube_conformance_test.cc.
//
// Thread-safe.

#include <atomic>
#include <condition_variable>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "controller/kube/config.h"
#include "tests/support/certificates.h"
#include "tests/support/fake_apiserver_state.h"
#include "tests/support/fake_apiserver_wire.h"

namespace rota::testing {

enum class Fault {
  kExpired,          // HTTP 410 Status
  kTooManyRequests,  // HTTP 429, plain text, Retry-After: 1
  kServerError,      // HTTP 500 Status
  kUnavailable,      // HTTP 503, an HTML page, as a proxy makes it
  kUnauthorized,     // HTTP 401 Status
  kForbidden,        // HTTP 403 Status
  kNotFound,         // HTTP 404 Status, as if there were no such resource
  kResetBeforeHead,  // RST instead of an answer
  kResetMidBody,     // half a body, then RST
  kTruncatedJson,    // a complete answer whose JSON is cut
  kSlowBody,         // the right answer, some bytes at a time
  kHang,             // silence until the client goes away or Stop()
  // Watches only, after a 200:
  kStreamExpired,     // ERROR event 410
  kStreamError,       // ERROR event 500 with retryAfterSeconds 1
  kCloseAtOnce,       // the stream ends without an event
  kGarbageEvent,      // a line that is not JSON
  kUnknownEvent,      // an event of a type that does not exist
  kVersionlessEvent,  // an object without a resourceVersion
  kHugeEvent,         // a line without an end
};

// What becomes of a streaming list (sendInitialEvents).
enum class FakeStreaming {
  kServed,
  kRefused,  // HTTP 422: the feature gate is off
  kFailing,  // 200, then an ERROR event: the store is too old for it
  kIgnored,  // the parameter is not known: a watch without an end of the initial events
};

struct FakeApiServerOptions {
  bool tls = false;
  std::string token;  // "" = nobody is asked
  FakeStreaming streaming = FakeStreaming::kServed;
};

class FakeApiServer {
 public:
  explicit FakeApiServer(FakeApiServerOptions options = {});
  ~FakeApiServer();

  // Stop() cuts every connection; Start() listens on the same port again. State stays.
  void Start();
  void Stop();

  uint16_t port() const { return port_; }
  // How to reach it, with token and CA.
  kube::ClientConfig ClientConfig() const;
  std::string ca() const { return authority_.certificate; }

  void Register(const kube::Resource& resource);
  nlohmann::json Create(const kube::Resource& resource, const std::string& ns,
                        nlohmann::json object);
  nlohmann::json Replace(const kube::Resource& resource, const std::string& ns,
                         const std::string& name, nlohmann::json object);
  void Delete(const kube::Resource& resource, const std::string& ns, const std::string& name);
  nlohmann::json Get(const kube::Resource& resource, const std::string& ns,
                     const std::string& name);

  // The next `times` requests whose kind is `kind` ("list", "watch", "get", "apply") and whose
  // target holds `target` meet the fault.
  void Inject(Fault fault, const std::string& kind, const std::string& target = "", int times = 1);
  bool AllFaultsMet() const;
  void Compact();
  void SendBookmarks();
  // Ends every open watch as the server's own timeout does.
  void EndWatches();
  void SetToken(const std::string& token);

  // Requests so far, by kind.
  int Requests(const std::string& kind) const;
  int open_watches() const;

 private:
  struct OrderedFault {
    Fault fault;
    std::string kind;
    std::string target;
    int times;
  };

  void Accept(int listener, std::stop_token stop);
  void Serve(FakeConnection& connection);
  // False when the connection is finished.
  bool Handle(FakeConnection& connection, const FakeRequest& request);
  bool ServeWatch(FakeConnection& connection, const FakeRequest& request,
                  const kube::Resource& resource, const std::string& ns);
  // The initial events of a streaming list, as lines.
  std::string InitialEvents(const FakeRequest& request, const kube::Resource& resource,
                            const std::string& ns);
  // The faults that take the place of an answer; false when the connection is finished.
  bool ServeFault(FakeConnection& connection, Fault fault, const std::string& right);
  // The faults of a watch that has been opened.
  bool ServeStreamFault(FakeConnection& connection, Fault fault);
  FakeAnswer Answer(const FakeRequest& request, const kube::Resource& resource,
                    const std::string& ns, const std::string& name, bool status);
  std::optional<Fault> TakeFault(const std::string& kind, const std::string& target);

  const FakeApiServerOptions options_;
  KeyPair authority_;
  KeyPair certificate_;
  uint16_t port_ = 0;
  int listener_ = -1;
  std::jthread acceptor_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  FakeState state_;
  std::string token_;
  std::vector<OrderedFault> faults_;
  std::map<std::string, int> requests_;
  std::list<std::shared_ptr<FakeConnection>> connections_;
  std::list<std::jthread> threads_;
  RealClock clock_;
  std::unique_ptr<SSL_CTX, void (*)(SSL_CTX*)> tls_{nullptr, SSL_CTX_free};
  bool stopping_ = false;
  uint64_t bookmarks_ = 0;
  uint64_t watch_epoch_ = 0;
  int open_watches_ = 0;
};

}  // namespace rota::testing
