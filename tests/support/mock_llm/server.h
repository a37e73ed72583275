#pragma once

// The mock as a server: an OpenAI-compatible upstream with a control path, one event loop per
// thread, keep-alive, optional TLS. Used by the program rota-mock-llm and, in process, by tests.
//
// Asio and Beast stay behind this header.

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "common/address.h"
#include "common/clock.h"
#include "tests/support/mock_llm/answer.h"
#include "tests/support/mock_llm/behavior.h"

namespace rota::mock_llm {

struct ServerOptions {
  HostPort listen{"127.0.0.1", 0};
  size_t threads = 1;
  std::string tls_certificate_file;  // PEM; with the key: HTTPS only
  std::string tls_key_file;
  AnswerOptions answer;
  std::vector<std::pair<std::string, Behavior>> behaviors;
  size_t keep_requests = 100;  // for GET /control/requests; 0 keeps counts only
  size_t max_body_bytes = 64 << 20;
};

// Thread-safe.
class Server {
 public:
  // Binds and starts the loops. The error names the address or the file. `clock` must outlive the
  // server.
  static absl::StatusOr<std::unique_ptr<Server>> Start(ServerOptions options, const Clock& clock);
  // Closes every connection and joins the threads.
  ~Server();
  const HostPort& address() const;  // as bound

 private:
  struct State;
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace rota::mock_llm
