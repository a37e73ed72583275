#pragma once

// The way to pods from outside the cluster: `kubectl port-forward`, started for each of them and
// ended with the object. kubectl does the authentication; Rota sees none of it. Single-thread.

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/child_process.h"
#include "cli/output.h"
#include "cli/peer.h"

namespace rota::cli {

// Handed on to kubectl; "" leaves it to kubectl.
struct KubectlOptions {
  std::string kubeconfig;
  std::string context;
  std::string ns;
};

struct Pod {
  std::string ns;
  std::string name;
  int admin_port = 0;
};

enum class Component { kDataPlane, kController };

// Labels that the chart gives to the pods of that component.
std::string SelectorOf(Component component);
// Of `kubectl get pods -o json`: those that run and are not about to end. The port is the
// container port called "admin", else the program's default.
std::vector<Pod> RunningPods(const Json& list, Component component);
// "Forwarding from 127.0.0.1:43211 -> 9901" is 43211; 0: another line.
int ForwardedPort(const std::string& line);

class PortForwards {
 public:
  // Forwards to each pod of the component, at most `most`, and adds one peer for each. What went
  // wrong with some of them is added to `problems`; with all of them it is the error.
  absl::Status Open(const KubectlOptions& options, Component component, size_t most,
                    std::vector<Peer>& peers, std::vector<std::string>& problems);

 private:
  std::vector<std::unique_ptr<ChildProcess>> children_;
};

}  // namespace rota::cli
