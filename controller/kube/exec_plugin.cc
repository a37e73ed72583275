#include "controller/kube/exec_plugin.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "nlohmann/json.hpp"

extern char** environ;

namespace rota::kube {
namespace {

using nlohmann::json;

constexpr size_t kMaxOutput = size_t{1} << 20;

std::string Member(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// KUBERNETES_EXEC_INFO: what the plugin may know about us.
std::string ExecInfo(const ExecPlugin& plugin, const ClientConfig& config) {
  json spec = {{"interactive", false}};
  if (plugin.provide_cluster_info) {
    spec["cluster"] = {{"server", config.server()}};
    if (!config.tls_server_name.empty()) {
      spec["cluster"]["tls-server-name"] = config.tls_server_name;
    }
    if (config.insecure_skip_tls_verify) {
      spec["cluster"]["insecure-skip-tls-verify"] = true;
    }
  }
  return json{{"apiVersion", plugin.api_version}, {"kind", "ExecCredential"}, {"spec", spec}}
      .dump();
}

// A running plugin: kills and reaps it when it goes out of scope.
class Child {
 public:
  Child(pid_t pid, int output) : pid_(pid), output_(output) {}
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    close(output_);
    if (pid_ > 0) {
      kill(-pid_, SIGKILL);
      int ignored = 0;
      waitpid(pid_, &ignored, 0);
    }
  }
  int output() const { return output_; }
  // The exit status when it has ended.
  std::optional<int> Reap() {
    int status = 0;
    if (waitpid(pid_, &status, WNOHANG) != pid_) {
      return std::nullopt;
    }
    kill(-pid_, SIGKILL);  // whatever it left behind in its group
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
  int output_;
};

// Starts the plugin with stdin from /dev/null and stdout to a pipe; returns its pid and the pipe.
absl::StatusOr<std::pair<pid_t, int>> Spawn(const ExecPlugin& plugin, const ClientConfig& config) {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  // Later entries would not win with every libc: drop what is overridden.
  const auto set = [&environment](const std::string& name, const std::string& value) {
    std::erase_if(environment, [&](const std::string& e) { return e.starts_with(name + "="); });
    environment.push_back(name + "=" + value);
  };
  for (const auto& [name, value] : plugin.env) {
    set(name, value);
  }
  set("KUBERNETES_EXEC_INFO", ExecInfo(plugin, config));
  std::vector<std::string> words = {plugin.command};
  words.insert(words.end(), plugin.args.begin(), plugin.args.end());
  const auto pointers = [](std::vector<std::string>& strings) {
    std::vector<char*> result;
    for (std::string& text : strings) {
      result.push_back(text.data());
    }
    result.push_back(nullptr);
    return result;
  };
  std::array<int, 2> pipe_ends{};
  if (pipe2(pipe_ends.data(), O_CLOEXEC) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot make a pipe: ", std::strerror(errno)));
  }
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, pipe_ends[1], STDOUT_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // SIGPIPE is ignored by our programs; the plugin gets the default back.
  sigset_t defaults;
  sigemptyset(&defaults);
  sigaddset(&defaults, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  pid_t pid = -1;
  const int error = posix_spawnp(&pid, plugin.command.c_str(), &actions, &attributes,
                                 pointers(words).data(), pointers(environment).data());
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  close(pipe_ends[1]);
  if (error != 0) {
    close(pipe_ends[0]);
    return absl::FailedPreconditionError(absl::StrCat(
        "credential plugin ", plugin.command, " cannot be started: ", std::strerror(error),
        plugin.install_hint.empty() ? "" : ". ", plugin.install_hint));
  }
  return std::pair(pid, pipe_ends[0]);
}

}  // namespace

absl::StatusOr<ExecCredential> ParseExecCredential(const std::string& text,
                                                   const std::string& api_version) {
  const json object = json::parse(text, nullptr, false);
  if (!object.is_object() || Member(object, "kind") != "ExecCredential") {
    return absl::InvalidArgumentError("it printed no ExecCredential object");
  }
  if (Member(object, "apiVersion") != api_version) {
    return absl::InvalidArgumentError(absl::StrCat(
        "it printed an ExecCredential of another apiVersion; the kubeconfig says ", api_version));
  }
  const auto status = object.find("status");
  if (status == object.end() || !status->is_object()) {
    return absl::InvalidArgumentError("its ExecCredential has no status");
  }
  ExecCredential credential;
  credential.token = SecretString(Member(*status, "token"));
  credential.client_certificate = Member(*status, "clientCertificateData");
  credential.client_key = SecretString(Member(*status, "clientKeyData"));
  if (credential.client_certificate.empty() != credential.client_key.empty()) {
    return absl::InvalidArgumentError(
        "its ExecCredential has only one of clientCertificateData and clientKeyData");
  }
  if (credential.token.empty() && credential.client_certificate.empty()) {
    return absl::InvalidArgumentError(
        "its ExecCredential has neither a token nor a client certificate");
  }
  if (const std::string expires = Member(*status, "expirationTimestamp"); !expires.empty()) {
    absl::Time time;
    if (!absl::ParseTime(absl::RFC3339_full, expires, &time, nullptr)) {
      return absl::InvalidArgumentError("its expirationTimestamp is not an RFC 3339 time");
    }
    credential.expires = absl::ToChronoTime(time);
  }
  return credential;
}

absl::StatusOr<ExecCredential> RunExecPlugin(const ExecPlugin& plugin, const ClientConfig& config,
                                             const Clock& clock, Duration timeout,
                                             std::stop_token stop) {
  const MonotonicTime deadline = clock.Now() + timeout;
  using Spawned = std::pair<pid_t, int>;
  ASSIGN_OR_RETURN(const Spawned spawned, Spawn(plugin, config));
  Child child(spawned.first, spawned.second);
  std::string output;
  bool open = true;
  std::optional<int> exit_status;
  while (!exit_status.has_value()) {
    if (stop.stop_requested()) {
      return absl::CancelledError("stopped while the credential plugin ran");
    }
    if (clock.Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("credential plugin ", plugin.command, " has not ended after ",
                       std::chrono::duration_cast<std::chrono::seconds>(timeout).count(), " s"));
    }
    // A short slice, so that stop, deadline and exit are seen soon.
    pollfd waiting{open ? child.output() : -1, POLLIN, 0};
    poll(&waiting, 1, 20);
    if (open && waiting.revents != 0) {
      std::array<char, 4096> buffer{};
      const ssize_t count = read(child.output(), buffer.data(), buffer.size());
      if (count > 0) {
        output.append(buffer.data(), static_cast<size_t>(count));
        explicit_bzero(buffer.data(), buffer.size());
      } else {
        open = false;
      }
      if (output.size() > kMaxOutput) {
        WipeString(output);
        return absl::ResourceExhaustedError(
            absl::StrCat("credential plugin ", plugin.command, " printed more than 1 MiB"));
      }
    }
    if (!open || waiting.revents == 0) {
      exit_status = child.Reap();
      if (exit_status.has_value() && open) {
        // It has ended between poll and wait: its last words may still be in the pipe.
        fcntl(child.output(), F_SETFL, O_NONBLOCK);
        std::array<char, 4096> buffer{};
        for (ssize_t count = 0; output.size() <= kMaxOutput &&
                                (count = read(child.output(), buffer.data(), buffer.size())) > 0;) {
          output.append(buffer.data(), static_cast<size_t>(count));
        }
        explicit_bzero(buffer.data(), buffer.size());
      }
    }
  }
  if (!WIFEXITED(*exit_status) || WEXITSTATUS(*exit_status) != 0) {
    WipeString(output);
    return absl::FailedPreconditionError(absl::StrCat(
        "credential plugin ", plugin.command, " failed",
        WIFEXITED(*exit_status) ? absl::StrCat(" with exit code ", WEXITSTATUS(*exit_status)) : "",
        "; its own message is on stderr"));
  }
  absl::StatusOr<ExecCredential> credential = ParseExecCredential(output, plugin.api_version);
  WipeString(output);
  if (!credential.ok()) {
    return absl::Status(
        credential.status().code(),
        absl::StrCat("credential plugin ", plugin.command, ": ", credential.status().message()));
  }
  return credential;
}

}  // namespace rota::kube
