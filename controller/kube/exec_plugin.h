#pragma once

// Runs a kubeconfig credential plugin once: command in, ExecCredential out. The plugin's process
// group is killed when it takes too long or when stop is requested; its stderr goes to ours.
// Thread-safe (no state); blocks.

#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "controller/kube/config.h"

namespace rota::kube {

struct ExecCredential {
  SecretString token;
  std::string client_certificate;  // PEM
  SecretString client_key;         // PEM
  std::optional<WallTime> expires;
};

// Errors name the command and, when it could not be started, its install hint; never its output.
absl::StatusOr<ExecCredential> RunExecPlugin(const ExecPlugin& plugin, const ClientConfig& config,
                                             const Clock& clock, Duration timeout,
                                             std::stop_token stop);

// Decodes what a plugin printed; for tests and RunExecPlugin.
absl::StatusOr<ExecCredential> ParseExecCredential(const std::string& text,
                                                   const std::string& api_version);

}  // namespace rota::kube
