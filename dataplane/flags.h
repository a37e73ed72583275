#pragma once

// The command line of rota-dataplane. People script against these names: docs/reference/flags.md.

#include <optional>
#include <string>
#include <vector>

#include "common/address.h"
#include "common/clock.h"
#include "common/command_line.h"
#include "dataplane/engine/engine.h"

namespace rota::dataplane {

struct Flags {
  // Configuration.
  std::vector<std::string> controllers;  // HOST:PORT each
  std::string gateway = "default/default";
  std::string node;  // "" = <host name>-<process id>
  std::string state_dir;
  std::string state_key_file;
  std::string sync_tls_certificate;
  std::string sync_tls_key;
  std::string sync_tls_ca;
  std::string token_file;
  bool insecure = false;

  // Listeners.
  std::optional<HostPort> http;
  std::optional<HostPort> https;
  std::string tls_certificate;
  std::string tls_key;
  std::optional<HostPort> admin = HostPort{"127.0.0.1", 9901};
  std::optional<HostPort> metrics;
  std::string ports_file;

  // Traffic.
  size_t threads = 0;  // 0 = the CPU quota of the control group
  std::vector<std::string> resolve;
  std::string upstream_ca;
  std::vector<std::string> sandbox_hosts;
  std::vector<std::string> production_hosts;
  bool allow_unauthenticated = false;
  Duration drain_timeout = std::chrono::seconds(30);
  engine::Limits limits;

  // Observability.
  std::string access_log = "-";
  double access_log_sample = 1.0;
  std::string log_level = "info";
};

// Declares every option of `flags` on `line`.
void DeclareFlags(CommandLine& line, Flags& flags);

// What no single option can say: combinations. The message names the options and the fix.
absl::Status CheckFlags(const Flags& flags);

}  // namespace rota::dataplane
