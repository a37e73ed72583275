#include "cli/port_forward.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

constexpr Duration kListPatience = std::chrono::seconds(30);
constexpr Duration kForwardPatience = std::chrono::seconds(20);
constexpr size_t kMaxLines = 10;  // of kubectl before the one that is waited for
constexpr int kDataPlaneAdminPort = 9901;
constexpr int kControllerAdminPort = 9902;

std::vector<std::string> Kubectl(const KubectlOptions& options,
                                 const std::vector<std::string>& arguments) {
  std::vector<std::string> all = {"kubectl"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const std::pair<const char*, const std::string&> flags[] = {{"--kubeconfig=", options.kubeconfig},
                                                              {"--context=", options.context},
                                                              {"--namespace=", options.ns}};
  for (const auto& [flag, value] : flags) {
    if (!value.empty()) {
      all.push_back(flag + value);
    }
  }
  return all;
}

std::string TextAt(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const Json& MemberOf(const Json& object, const char* key) {
  static const Json kNothing = Json::object();
  const auto found = object.find(key);
  return found != object.end() ? *found : kNothing;
}

int AdminPortOf(const Json& spec, int otherwise) {
  for (const Json& container : MemberOf(spec, "containers")) {
    for (const Json& port : MemberOf(container, "ports")) {
      if (TextAt(port, "name") == "admin") {
        return port.value("containerPort", otherwise);
      }
    }
  }
  return otherwise;
}

// Waits for the line that says which port it is.
absl::StatusOr<int> AwaitPort(ChildProcess& child) {
  std::string said;
  for (size_t lines = 0; lines < kMaxLines; ++lines) {
    const absl::StatusOr<std::string> line = child.ReadLine(kForwardPatience);
    if (!line.ok()) {
      return absl::UnavailableError(said.empty() ? std::string(line.status().message()) : said);
    }
    if (const int port = ForwardedPort(*line); port != 0) {
      return port;
    }
    absl::StrAppend(&said, said.empty() ? "" : " ", Printable(*line));
  }
  return absl::UnavailableError(said);
}

}  // namespace

std::string SelectorOf(Component component) {
  return absl::StrCat("app.kubernetes.io/name=rota,app.kubernetes.io/component=",
                      component == Component::kDataPlane ? "dataplane" : "controller");
}

std::vector<Pod> RunningPods(const Json& list, Component component) {
  std::vector<Pod> pods;
  for (const Json& item : MemberOf(list, "items")) {
    const Json& metadata = MemberOf(item, "metadata");
    if (TextAt(MemberOf(item, "status"), "phase") != "Running" ||
        metadata.contains("deletionTimestamp")) {
      continue;
    }
    pods.push_back({TextAt(metadata, "namespace"), TextAt(metadata, "name"),
                    AdminPortOf(MemberOf(item, "spec"), component == Component::kDataPlane
                                                            ? kDataPlaneAdminPort
                                                            : kControllerAdminPort)});
  }
  return pods;
}

int ForwardedPort(const std::string& line) {
  constexpr std::string_view kBegin = "Forwarding from ";
  const size_t arrow = line.find(" -> ");
  const size_t colon = arrow == std::string::npos ? arrow : line.rfind(':', arrow);
  int port = 0;
  if (!line.starts_with(kBegin) || colon == std::string::npos ||
      !absl::SimpleAtoi(line.substr(colon + 1, arrow - colon - 1), &port) || port > 65535) {
    return 0;
  }
  return std::max(port, 0);
}

absl::Status PortForwards::Open(const KubectlOptions& options, Component component, size_t most,
                                std::vector<Peer>& peers, std::vector<std::string>& problems) {
  ASSIGN_OR_RETURN(
      const std::unique_ptr<ChildProcess> list,
      ChildProcess::Start(Kubectl(
          options, {"get", "pods", "--selector=" + SelectorOf(component), "--output=json"})));
  ASSIGN_OR_RETURN(const std::string text, list->ReadAll(kListPatience));
  const Json json = Json::parse(text, nullptr, false);
  std::vector<Pod> pods = RunningPods(json, component);
  if (pods.empty()) {
    return absl::UnavailableError(
        absl::StrCat("no pod with the labels ", SelectorOf(component), " runs in ",
                     options.ns.empty() ? "the current namespace" : "namespace " + options.ns,
                     ": name the release's namespace with --namespace"));
  }
  if (pods.size() > most) {
    problems.push_back(absl::StrCat("asked ", most, " of ", pods.size(), " pods only"));
    pods.resize(most);
  }
  // All of them start before the first is waited for.
  std::vector<std::unique_ptr<ChildProcess>> started;
  for (const Pod& pod : pods) {
    KubectlOptions of_pod = options;
    of_pod.ns = pod.ns;
    ASSIGN_OR_RETURN(std::unique_ptr<ChildProcess> child,
                     ChildProcess::Start(
                         Kubectl(of_pod, {"port-forward", "--address=127.0.0.1", "pod/" + pod.name,
                                          absl::StrCat(":", pod.admin_port)})));
    started.push_back(std::move(child));
  }
  absl::Status failure;
  size_t opened = 0;
  for (size_t i = 0; i < pods.size(); ++i) {
    const absl::StatusOr<int> port = AwaitPort(*started[i]);
    if (!port.ok()) {
      failure = absl::UnavailableError(
          absl::StrCat("pod ", pods[i].name, ": ", std::string(port.status().message())));
      problems.emplace_back(failure.message());
      continue;
    }
    ASSIGN_OR_RETURN(peers.emplace_back(), PeerAt(absl::StrCat("127.0.0.1:", *port), pods[i].name));
    children_.push_back(std::move(started[i]));
    ++opened;
  }
  return opened == 0 ? failure : absl::OkStatus();
}

}  // namespace rota::cli
