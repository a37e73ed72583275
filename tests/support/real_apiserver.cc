#include "tests/support/real_apiserver.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "controller/kube/api.h"
#include "controller/kube/credentials.h"
#include "controller/kube/httplib_transport.h"
#include "httplib.h"
#include "nlohmann/json.hpp"

namespace rota::testing {
namespace {

constexpr char kAdminToken[] = "admin-token-of-the-test";
constexpr char kPowerlessToken[] = "powerless-token-of-the-test";
constexpr Duration kStartDeadline = std::chrono::seconds(90);

// A port that was free a moment ago; the API server refuses port 0.
uint16_t FreePort() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  const bool good = bind(fd, generic, size) == 0 && getsockname(fd, generic, &size) == 0;
  close(fd);
  return good ? ntohs(address.sin_port) : 0;
}

std::vector<char*> Pointers(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Waits a moment on nothing: processes give no condition to wait for.
void Moment() {
  RealClock clock;
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  clock.WaitUntil(lock, never, clock.Now() + std::chrono::milliseconds(50), {});
}

kube::ClientConfig ConfigFor(uint16_t port, const std::string& ca, const char* token) {
  kube::ClientConfig config;
  config.origin = "real API server of the test";
  config.host = "127.0.0.1";
  config.port = port;
  config.ca_data = ca;
  config.token = SecretString(token);
  return config;
}

}  // namespace

std::string RealApiServer::BinariesDirectory() {
  const char* directory = std::getenv("ROTA_KUBE_BINARIES");
  return directory == nullptr ? "" : directory;
}

const char* RealApiServer::SkipMessage() {
  return "*** NOT TESTED against a real Kubernetes API: set "
         "ROTA_KUBE_BINARIES=\"$(scripts/kube-binaries)\" ***";
}

absl::StatusOr<std::unique_ptr<RealApiServer>> RealApiServer::Start(const std::string& binaries) {
  std::unique_ptr<RealApiServer> server(new RealApiServer());
  server->binaries_ = binaries;
  std::string folder = (std::filesystem::temp_directory_path() / "rota-kube-XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) {
    return absl::UnavailableError(absl::StrCat("cannot make ", folder));
  }
  server->folder_ = folder;
  server->etcd_port_ = FreePort();
  server->peer_port_ = FreePort();
  server->port_ = FreePort();
  RETURN_IF_ERROR(server->WriteFiles());
  RETURN_IF_ERROR(server->StartEtcd());
  RETURN_IF_ERROR(server->StartApiServer());
  return server;
}

RealApiServer::~RealApiServer() {
  // This order: an API server without its store takes 12 s to end.
  End(apiserver_);
  End(etcd_);
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

absl::Status RealApiServer::WriteFiles() {
  authority_ = MakeAuthority("test CA");
  const KeyPair server = MakeCertificate(authority_, "kube-apiserver", "",
                                         {"127.0.0.1", "localhost", "kubernetes.default.svc"});
  const std::vector<std::pair<std::string, std::string>> files = {
      {"ca.crt", authority_.certificate},
      {"server.crt", server.certificate},
      {"server.key", server.key},
      {"service-account.key", MakeKey()},
      {"tokens.csv", absl::StrCat(kAdminToken, ",admin,1,\"system:masters\"\n", kPowerlessToken,
                                  ",powerless,2\n")},
      {"kubeconfig",
       absl::StrCat("apiVersion: v1\nkind: Config\ncurrent-context: test\ncontexts:\n"
                    "- name: test\n  context: {cluster: test, user: admin}\nclusters:\n"
                    "- name: test\n  cluster:\n    server: https://127.0.0.1:",
                    port_, "\n    certificate-authority: ca.crt\nusers:\n- name: admin\n",
                    "  user: {token: ", kAdminToken, "}\n")}};
  for (const auto& [name, content] : files) {
    RETURN_IF_ERROR(WriteFileAtomically(folder_ + "/" + name, content));
  }
  return absl::OkStatus();
}

absl::StatusOr<pid_t> RealApiServer::Launch(const std::vector<std::string>& arguments,
                                            const std::string& log) {
  std::vector<std::string> words = arguments;
  const std::vector<char*> pointers = Pointers(words);
  const int output =
      open((folder_ + "/" + log).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (output < 0) {
    return absl::UnavailableError(absl::StrCat("cannot write ", folder_, "/", log));
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid == 0) {
    // Only async-signal-safe calls until exec: the parent has threads.
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
      _exit(1);
    }
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  close(output);
  if (pid < 0) {
    return absl::UnavailableError(absl::StrCat("cannot start ", arguments.front()));
  }
  return pid;
}

absl::Status RealApiServer::StartEtcd() {
  const std::string client = absl::StrCat("http://127.0.0.1:", etcd_port_);
  const std::string peer = absl::StrCat("http://127.0.0.1:", peer_port_);
  ASSIGN_OR_RETURN(
      etcd_, Launch({binaries_ + "/etcd", "--data-dir", folder_ + "/etcd", "--unsafe-no-fsync",
                     "--heartbeat-interval=10", "--election-timeout=100", "--log-level=warn",
                     "--listen-client-urls", client, "--advertise-client-urls", client,
                     "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                     "--initial-cluster", "default=" + peer},
                    "etcd.log"));
  return absl::OkStatus();
}

absl::Status RealApiServer::RestartEtcd() {
  End(etcd_);
  RETURN_IF_ERROR(StartEtcd());
  return AwaitReady();
}

absl::Status RealApiServer::CompactEtcd() {
  httplib::Client etcd("127.0.0.1", etcd_port_);
  const auto call = [&etcd](const char* path,
                            const nlohmann::json& body) -> absl::StatusOr<nlohmann::json> {
    const auto answer = etcd.Post(path, body.dump(), "application/json");
    if (!answer || answer->status != 200) {
      return absl::UnavailableError(absl::StrCat(
          "etcd ", path, ": ", answer ? answer->body : httplib::to_string(answer.error())));
    }
    return nlohmann::json::parse(answer->body);
  };
  // Any key will do: the answer's header tells the revision.
  ASSIGN_OR_RETURN(const nlohmann::json range, call("/v3/kv/range", {{"key", "AA=="}}));
  const std::string revision = range.at("header").at("revision").get<std::string>();
  const absl::Status compacted =
      call("/v3/kv/compaction", {{"revision", revision}, {"physical", true}}).status();
  // It refuses where nothing has been written since the last one.
  if (!compacted.ok() && !absl::StrContains(compacted.message(), "has been compacted")) {
    return compacted;
  }
  return call("/v3/maintenance/defragment", nlohmann::json::object()).status();
}

absl::Status RealApiServer::StartApiServer() {
  ASSIGN_OR_RETURN(
      apiserver_,
      Launch(
          {binaries_ + "/kube-apiserver",
           absl::StrCat("--etcd-servers=http://127.0.0.1:", etcd_port_), "--bind-address=127.0.0.1",
           "--advertise-address=127.0.0.1", absl::StrCat("--secure-port=", port_),
           "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
           absl::StrCat("--tls-cert-file=", folder_, "/server.crt"),
           absl::StrCat("--tls-private-key-file=", folder_, "/server.key"),
           absl::StrCat("--client-ca-file=", folder_, "/ca.crt"),
           "--service-account-issuer=https://kubernetes.default.svc",
           absl::StrCat("--service-account-key-file=", folder_, "/service-account.key"),
           absl::StrCat("--service-account-signing-key-file=", folder_, "/service-account.key"),
           absl::StrCat("--token-auth-file=", folder_, "/tokens.csv"), "--authorization-mode=RBAC",
           "--disable-admission-plugins=ServiceAccount", "--allow-privileged=true",
           "--profiling=false",
           // Without it an open watch keeps the server alive for 30 s.
           "--shutdown-watch-termination-grace-period=1s"},
          "kube-apiserver.log"));
  return AwaitReady();
}

absl::Status RealApiServer::AwaitReady() {
  RealClock clock;
  kube::Credentials credentials(ClientConfig(), clock);
  kube::HttplibTransport transport(credentials, clock);
  const MonotonicTime deadline = clock.Now() + kStartDeadline;
  absl::Status last = absl::UnavailableError("it was never asked");
  while (clock.Now() < deadline) {
    kube::HttpRequest request;
    request.target = "/readyz";
    const auto response = transport.Send(request, {}, {});
    if (response.ok() && response->status == 200) {
      return absl::OkStatus();
    }
    last = response.status();
    int status = 0;
    for (pid_t* pid : {&apiserver_, &etcd_}) {
      if (waitpid(*pid, &status, WNOHANG) == *pid) {
        const char* log = pid == &etcd_ ? "/etcd.log" : "/kube-apiserver.log";
        *pid = -1;
        const auto text = ReadFile(folder_ + log);
        const std::string words = text.ok() ? *text : std::string();
        return absl::UnavailableError(absl::StrCat(
            log, " ended at start: ", words.substr(words.size() > 2000 ? words.size() - 2000 : 0)));
      }
    }
    Moment();
  }
  return absl::DeadlineExceededError(
      absl::StrCat("the API server is not ready after 90 s: ", last.message()));
}

void RealApiServer::End(pid_t& pid) {
  if (pid <= 0) {
    return;
  }
  kill(pid, SIGTERM);
  RealClock clock;
  const MonotonicTime deadline = clock.Now() + std::chrono::seconds(20);
  int status = 0;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (clock.Now() > deadline) {
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      break;
    }
    Moment();
  }
  pid = -1;
}

absl::Status RealApiServer::StopApiServer() {
  End(apiserver_);
  return absl::OkStatus();
}

kube::ClientConfig RealApiServer::ClientConfig() const {
  return ConfigFor(port_, authority_.certificate, kAdminToken);
}

kube::ClientConfig RealApiServer::PowerlessConfig() const {
  return ConfigFor(port_, authority_.certificate, kPowerlessToken);
}

absl::StatusOr<std::string> RealApiServer::Kubectl(const std::vector<std::string>& arguments,
                                                   const std::string& input) {
  RETURN_IF_ERROR(WriteFileAtomically(folder_ + "/stdin", input));
  std::vector<std::string> words = {binaries_ + "/kubectl", "--kubeconfig", kubeconfig(),
                                    "--cache-dir", folder_ + "/kubectl-cache"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  const std::string out = folder_ + "/stdout";
  const std::string err = folder_ + "/stderr";
  const std::vector<char*> pointers = Pointers(words);
  const std::string in = folder_ + "/stdin";
  const pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dup2(open(in.c_str(), O_RDONLY), STDIN_FILENO);
    dup2(open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDOUT_FILENO);
    dup2(open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execv(pointers[0], pointers.data());
    _exit(127);
  }
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) {
    return absl::UnavailableError("kubectl cannot be started");
  }
  ASSIGN_OR_RETURN(const std::string output, ReadFile(out));
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
    ASSIGN_OR_RETURN(const std::string errors, ReadFile(err));
    return absl::InvalidArgumentError(
        absl::StrCat("kubectl ", absl::StrJoin(arguments, " "), ": ", errors));
  }
  return output;
}

}  // namespace rota::testing
