#include "cli/session.h"

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <ostream>
#include <stop_token>
#include <utility>

#include "cli/exit_code.h"
#include "common/command_line.h"
#include "common/status_macros.h"

namespace rota::cli {
namespace {

constexpr size_t kMaxPods = 50;
constexpr char kClearScreen[] = "\x1b[H\x1b[2J\x1b[3J";
constexpr Duration kLeastInterval = std::chrono::milliseconds(100);

absl::Status AddPeers(const std::vector<std::string>& urls, std::vector<Peer>& peers) {
  for (const std::string& url : urls) {
    ASSIGN_OR_RETURN(peers.emplace_back(), PeerAt(url));
  }
  return absl::OkStatus();
}

std::string Document(const Json& json, const Command& command, const SessionOptions& options,
                     const Console& console) {
  switch (options.format) {
    case Format::kJson:
      return ToJson(json, options.watch);
    case Format::kYaml:
      return (options.watch ? "---\n" : "") + ToYaml(json);
    case Format::kTable:
      break;
  }
  return (options.watch && console.is_terminal ? kClearScreen : "") +
         command.print(json, console.style) + (options.watch && !console.is_terminal ? "\n" : "");
}

}  // namespace

void DeclareSession(CLI::App& command, const Needs& needs, bool can_watch,
                    SessionOptions& options) {
  const std::string group = "Connection (without a URL: kubectl port-forward to the chart's pods)";
  if (needs.data_planes) {
    command
        .add_option("--data-plane", options.data_planes, "Admin port of a data plane; repeatable")
        ->type_name("URL")
        ->default_str("")
        ->group(group);
  }
  if (needs.controllers) {
    command
        .add_option("--controller", options.controllers, "Admin port of a controller; repeatable")
        ->type_name("URL")
        ->default_str("")
        ->group(group);
  }
  command.add_option("-n,--namespace", options.kubectl.ns, "Namespace of the Rota pods")
      ->type_name("NS")
      ->group(group);
  command.add_option("--context", options.kubectl.context, "Context of the kubeconfig")
      ->type_name("NAME")
      ->group(group);
  command.add_option("--kubeconfig", options.kubectl.kubeconfig, "Handed on to kubectl")
      ->type_name("FILE")
      ->group(group);
  command
      .add_option_function<std::string>(
          "-o,--output",
          [&options](const std::string& name) {
            options.format = name == "json"   ? Format::kJson
                             : name == "yaml" ? Format::kYaml
                                              : Format::kTable;
          },
          "How it is printed")
      ->check(CLI::IsMember({"table", "json", "yaml"}))
      ->default_str("table")
      ->type_name("table|json|yaml");
  if (can_watch) {
    command.add_flag("-w,--watch", options.watch, "Print it again and again");
    AddDuration(command, "--interval", options.interval, "Time between two prints");
  }
}

absl::StatusOr<Fleet> Connect(const SessionOptions& options, const Needs& needs) {
  Fleet fleet;
  if (!options.data_planes.empty() || !options.controllers.empty()) {
    RETURN_IF_ERROR(AddPeers(options.data_planes, fleet.data_planes));
    RETURN_IF_ERROR(AddPeers(options.controllers, fleet.controllers));
    return fleet;
  }
  const size_t most = needs.one_is_enough ? 1 : kMaxPods;
  if (needs.controllers) {
    RETURN_IF_ERROR(fleet.forwards.Open(options.kubectl, Component::kController, most,
                                        fleet.controllers, fleet.problems));
  }
  if (needs.data_planes && !needs.controllers) {
    RETURN_IF_ERROR(fleet.forwards.Open(options.kubectl, Component::kDataPlane, most,
                                        fleet.data_planes, fleet.problems));
  }
  if (needs.one_is_enough) {
    fleet.problems.clear();
  }
  return fleet;
}

int Run(const Command& command, const SessionOptions& options, const Console& console,
        Clock& clock) {
  for (;;) {
    const absl::StatusOr<Json> json = command.collect();
    if (json.ok()) {
      *console.out << Document(*json, command, options, console) << std::flush;
    }
    if (!options.watch) {
      return json.ok() ? command.verdict(*json) : Fail(json.status(), console);
    }
    if (!json.ok()) {
      Fail(json.status(), console);  // it may be back at the next look
    }
    if (!*console.out) {
      return kExitOk;  // nobody reads it any more
    }
    Pause(clock, std::max(options.interval, kLeastInterval));
  }
}

void Pause(Clock& clock, Duration duration) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  const MonotonicTime end = clock.Now() + duration;
  while (clock.Now() < end) {
    clock.WaitUntil(lock, never, end, std::stop_token());
  }
}

int Fail(const absl::Status& status, const Console& console) {
  *console.err << console.program << ": " << std::string(status.message()) << "\n";
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
      return kExitUsage;
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kPermissionDenied:
      return kExitFindings;
    default:
      return kExitUnreachable;
  }
}

}  // namespace rota::cli
