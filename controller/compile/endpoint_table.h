#pragma once

// The endpoints of one API while it is compiled: each distinct one once, found by name or URL.
// Single-thread.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/compile/compile_api.h"
#include "controller/resource/api.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

// The endpoints that one operation has in one environment, in the order in which they are searched.
struct EndpointScope {
  // The list and the field path of the list ("spec.endpointConfigurations.production").
  std::vector<std::pair<const std::vector<resource::Endpoint>*, std::string>> lists;
};

class EndpointTable {
 public:
  // Everything is appended to `out` and to `result` (Secrets, diagnostics).
  EndpointTable(const resource::Api& api, const std::string& prefix, rota::sync::v1::Api& out,
                CompiledApi& result);

  // Index of a listed endpoint; `provider` "" = the endpoint's own.
  uint32_t Add(const resource::Endpoint& endpoint, const std::string& field,
               const std::string& provider = "");
  // The endpoint that a model names. nullopt: an error has been reported at `field`.
  std::optional<uint32_t> Resolve(const resource::ModelTarget& target, const EndpointScope& scope,
                                  const std::string& field);

 private:
  void AddCredential(const resource::Endpoint& endpoint, const std::string& field,
                     rota::sync::v1::Endpoint& out);
  // Both: REQUIRES: `out` has its provider.
  void AddAmbient(const resource::AmbientSecurity& ambient, const std::string& at,
                  rota::sync::v1::Endpoint& out);
  void AddSignature(const resource::AwsSecurity& aws, const std::string& at,
                    rota::sync::v1::Endpoint& out);
  // Notes that the API needs the Service that the endpoint is, if it is one of another namespace.
  void UseService(const std::string& url, const std::string& field);
  rota::sync::v1::SecretKey Use(const resource::ObjectName& secret, const std::string& key,
                                const std::string& field);
  std::string ProviderOf(const resource::Endpoint& endpoint, const std::string& provider,
                         const std::string& field);
  // `out` has its provider.
  void SetOptions(const resource::Endpoint& endpoint, rota::sync::v1::Endpoint& out) const;
  uint32_t Intern(const rota::sync::v1::Endpoint& endpoint);
  void Report(resource::Severity severity, const std::string& reason, const std::string& field,
              const std::string& message);

  const resource::Api& api_;
  const std::string& prefix_;
  rota::sync::v1::Api& out_;
  CompiledApi& result_;
  std::map<std::string, uint32_t> indexes_;  // serialised endpoint -> index
  std::set<std::pair<std::string, std::string>> used_keys_;
  std::set<std::string> reported_;  // findings are told once
};

}  // namespace rota::compile
