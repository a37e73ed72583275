#pragma once

// The gateways that there are: one for every valid RotaGateway, and the one of the command line,
// which counts until an object of its name does. Which APIs belong to which, by the labels of their
// Namespaces as well. An object whose newest version is invalid counts with its last good one.
//
// Pure, single-thread. Bounded by the objects that exist; at most compile::kMaxGateways count.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/compile/assemble.h"
#include "controller/resource/diagnostic.h"
#include "controller/resource/gateway.h"
#include "controller/source/object.h"

namespace rota::reconcile {

class GatewayBook {
 public:
  // One RotaGateway, or the gateway of the command line.
  struct Entry {
    bool is_object = false;  // false: the command line alone
    source::Metadata metadata;
    std::string file;
    uint64_t content_hash = 0;
    resource::Diagnostics diagnostics;          // of the newest version
    std::optional<resource::Gateway> current;   // of the newest version; absent: it has errors
    std::optional<resource::Gateway> in_force;  // what counts; absent: it does not
  };

  explicit GatewayBook(const compile::GatewaySettings& command_line);

  // Return whether what is in force has changed.
  bool OnGateway(const source::GatewayObject& object);
  bool OnDeleted(const resource::ObjectName& name);
  // The labels of a Namespace; absent: it is gone. Returns whether that may decide about its APIs.
  bool OnNamespace(const std::string& name, std::optional<resource::Labels> labels);
  // Every Namespace that there is has been told.
  void OnNamespacesKnown() { namespaces_known_ = true; }

  // A gateway in force selects namespaces by their labels.
  bool wants_namespaces() const;
  // By name; also those that are not in force.
  const std::map<std::string, Entry>& entries() const { return entries_; }
  // The one that APIs without a list belong to: that of the command line. Not the objects decide
  // it: whoever may create one could give himself the APIs of others, and their Secrets.
  const std::string& default_gateway() const { return command_line_name_; }
  // Where an API with the list `wanted` belongs, never empty.
  std::vector<std::string> GatewaysOf(const std::vector<std::string>& wanted) const;
  // Why the gateway does not take the API; nothing when it does. `field`: where the API says it.
  std::optional<resource::Diagnostic> Refusal(const std::string& gateway,
                                              const resource::ObjectName& api,
                                              const std::string& field) const;
  // Why the gateway does not let the API have the ambient identity that it asks for; nothing when
  // it does, or when the API asks for none.
  std::optional<resource::Diagnostic> IdentityRefusal(const std::string& gateway,
                                                      const compile::CompiledApi& api) const;
  // It cannot be said yet whether the gateway takes the API: the labels of Namespaces are still to
  // come.
  bool IsUndecided(const std::string& gateway, const resource::ObjectName& api) const;
  // REQUIRES: the gateway is in force.
  compile::GatewaySettings SettingsOf(const std::string& gateway) const;
  // REQUIRES: the same.
  const resource::GatewayDefaults& DefaultsOf(const std::string& gateway) const;

 private:
  bool Enforce(const std::string& name, Entry& entry);
  // The value in force; null: there is none.
  const resource::Gateway* InForce(const std::string& gateway) const;
  std::optional<std::string> WhyNotSelected(const resource::Gateway& gateway,
                                            const std::string& ns) const;

  const std::string command_line_name_;
  const resource::Gateway command_line_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, resource::Labels> namespaces_;
  bool namespaces_known_ = false;
};

}  // namespace rota::reconcile
