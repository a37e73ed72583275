#include "common/server_flags.h"

#include "absl/strings/str_cat.h"
#include "common/command_line.h"

namespace rota {

void AddMetricsAndPortsFile(CLI::App& app, std::optional<HostPort>& metrics,
                            std::string& ports_file) {
  AddHostPort(app, "--metrics", metrics,
              "/metrics, /healthz, /readyz for Prometheus and the kubelet")
      ->group(kListenerGroup);
  app.add_option("--ports-file", ports_file,
                 "Write the chosen addresses to this file, as one JSON object")
      ->type_name("FILE")
      ->group(kListenerGroup);
}

void AddCertificate(CLI::App& app, const std::string& certificate, std::string& certificate_file,
                    std::string& key_file) {
  app.add_option("--tls-cert", certificate_file, certificate)
      ->type_name("FILE")
      ->group(kListenerGroup);
  app.add_option("--tls-key", key_file, "Its key (PEM)")->type_name("FILE")->group(kListenerGroup);
}

void AddHostPatterns(CLI::App& app, const std::string& group, std::vector<std::string>& sandbox,
                     std::vector<std::string>& production) {
  app.add_option(
         "--sandbox-host", sandbox,
         "Host that is sandbox: a name or *.suffix (default: any host with a label 'sandbox')")
      ->type_name("PATTERN")
      ->group(group);
  app.add_option("--production-host", production, "Host that is production: a name or *.suffix")
      ->type_name("PATTERN")
      ->group(group);
}

void AddGateway(CLI::App& app, const std::string& group, const std::string& description,
                std::string& gateway) {
  app.add_option("--gateway", gateway, description)->type_name("NAMESPACE/NAME")->group(group);
}

void AddLogLevel(CLI::App& app, std::string& level) {
  app.add_option("--log-level", level, "debug, info, warn or error")
      ->type_name("LEVEL")
      ->group("Observability");
}

absl::Status CheckGateway(const std::string& gateway) {
  if (gateway.find('/') == std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("--gateway '", gateway, "' is not NAMESPACE/NAME"));
  }
  return absl::OkStatus();
}

}  // namespace rota
