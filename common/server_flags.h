#pragma once

// Options that both servers have, declared once so that they read and are checked alike. `group` is
// where --help lists them. Single-thread.

#include <optional>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/status/status.h"
#include "common/address.h"

namespace rota {

inline constexpr char kListenerGroup[] = "Listeners (port 0 picks a free one)";

// --metrics and --ports-file.
void AddMetricsAndPortsFile(CLI::App& app, std::optional<HostPort>& metrics,
                            std::string& ports_file);
// --tls-cert and --tls-key; `certificate` says which one it is.
void AddCertificate(CLI::App& app, const std::string& certificate, std::string& certificate_file,
                    std::string& key_file);
// --sandbox-host and --production-host.
void AddHostPatterns(CLI::App& app, const std::string& group, std::vector<std::string>& sandbox,
                     std::vector<std::string>& production);
// --gateway.
void AddGateway(CLI::App& app, const std::string& group, const std::string& description,
                std::string& gateway);
// --log-level.
void AddLogLevel(CLI::App& app, std::string& level);

// InvalidArgument unless it is NAMESPACE/NAME.
absl::Status CheckGateway(const std::string& gateway);

}  // namespace rota
