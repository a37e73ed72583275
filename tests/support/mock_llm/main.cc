// rota-mock-llm: an OpenAI-compatible server that misbehaves on request, for the quick start, tests
// and benchmarks. See behavior.h and control.h.

#include <sys/resource.h>

#include <csignal>
#include <iostream>

#include "common/command_line.h"
#include "common/ports_file.h"
#include "common/status_macros.h"
#include "tests/support/mock_llm/server.h"

namespace {

// MODEL=BEHAVIOUR; the first '=' divides, so that model names may hold ':' and behaviours '='.
absl::Status AddBehaviors(const std::vector<std::string>& texts,
                          rota::mock_llm::ServerOptions& options) {
  for (const std::string& text : texts) {
    const size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          "--behavior '" + text +
          "': the form is MODEL=BEHAVIOR, such as gpt-4o=429:retry-after=5");
    }
    absl::StatusOr<rota::mock_llm::Behavior> behavior =
        rota::mock_llm::ParseBehavior(text.substr(equals + 1));
    if (!behavior.ok()) {
      return absl::InvalidArgumentError("--behavior '" + text +
                                        "': " + std::string(behavior.status().message()));
    }
    options.behaviors.emplace_back(text.substr(0, equals), *std::move(behavior));
  }
  return absl::OkStatus();
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

// Serves until SIGINT or SIGTERM.
absl::Status Run(rota::mock_llm::ServerOptions options, const std::string& ports_file) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // inherited by the loops: sigwait takes them here
  std::signal(SIGPIPE, SIG_IGN);
  RaiseDescriptorLimit();
  const rota::RealClock clock;
  ASSIGN_OR_RETURN(const std::unique_ptr<rota::mock_llm::Server> server,
                   rota::mock_llm::Server::Start(std::move(options), clock));
  RETURN_IF_ERROR(rota::AnnounceAddresses({{"listen", server->address()}}, ports_file));
  int signal = 0;
  sigwait(&signals, &signal);
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  rota::mock_llm::ServerOptions options;
  std::optional<rota::HostPort> listen = options.listen;
  std::string ports_file;
  std::vector<std::string> behaviors;
  rota::CommandLine line(
      "rota-mock-llm",
      "An OpenAI-compatible server for trying out and testing Rota. It answers "
      "*/chat/completions (also streamed), */completions, */embeddings and */models; "
      "/control/behaviors and /control/requests steer it and show what it got.");
  CLI::App& app = line.app();
  rota::AddHostPort(app, "--listen", listen, "Listener; port 0 picks a free one")
      ->group("Listener");
  app.add_option("--tls-cert", options.tls_certificate_file, "PEM certificate chain: serve HTTPS")
      ->type_name("FILE")
      ->group("Listener");
  app.add_option("--tls-key", options.tls_key_file, "PEM key of --tls-cert")
      ->type_name("FILE")
      ->group("Listener");
  app.add_option("--ports-file", ports_file, "Write the bound address as JSON to this file")
      ->type_name("FILE")
      ->group("Listener");
  app.add_option("--threads", options.threads, "Event loops")
      ->check(CLI::Range(1, 64))
      ->capture_default_str()
      ->group("Listener");
  app.add_option("--require-key", options.answer.require_key, "Answer 401 to any other API key")
      ->type_name("VALUE")
      ->group("Answers");
  app.add_option("--name", options.answer.name, "system_fingerprint of every answer")
      ->capture_default_str()
      ->group("Answers");
  app.add_option("--model", options.answer.models,
                 "A model that exists (repeatable); none: every model does")
      ->type_name("NAME")
      ->group("Answers");
  app.add_option("--answer-bytes", options.answer.answer_bytes, "Bytes of completion text")
      ->check(CLI::Range(uint64_t{1}, uint64_t{64} << 20))
      ->capture_default_str()
      ->group("Answers");
  app.add_option("--chunks", options.answer.chunks, "Content events of a stream")
      ->check(CLI::Range(uint64_t{0}, uint64_t{10'000'000}))
      ->capture_default_str()
      ->group("Answers");
  rota::AddDuration(app, "--chunk-interval", options.answer.chunk_interval,
                    "Time between events of a stream")
      ->group("Answers");
  app.add_flag("--stamp-chunks", options.answer.stamp_chunks,
               "Put the monotonic send time into every event's system_fingerprint")
      ->group("Answers");
  app.add_option("--behavior", behaviors,
                 "Misbehave for MODEL ('*': any): items divided by ':', e.g. "
                 "gpt-4o=429:retry-after=5:first=3, "
                 "gpt-4o=hang, gpt-4o=cut-after-chunks=2 (repeatable)")
      ->type_name("MODEL=BEHAVIOR")
      ->group("Answers");
  app.add_option("--keep-requests", options.keep_requests,
                 "Requests that /control/requests shows in full, per thread")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str()
      ->group("Limits");
  app.add_option("--max-body", options.max_body_bytes, "Largest request body in bytes")
      ->capture_default_str()
      ->group("Limits");
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  options.listen = *listen;
  absl::Status status = AddBehaviors(behaviors, options);
  if (status.ok()) {
    status = Run(std::move(options), ports_file);
  }
  if (!status.ok()) {
    std::cerr << "rota-mock-llm: " << status.message() << "\n";
    return 1;
  }
  return 0;
}
