#include "controller/reconcile/gateway_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "controller/resource/decode_gateway.h"

namespace rota::reconcile {
namespace {

using resource::AllowedNamespaces;
using resource::Severity;

constexpr char kNameLabel[] = "kubernetes.io/metadata.name";

resource::Gateway FromSettings(const compile::GatewaySettings& settings) {
  resource::Gateway gateway;
  gateway.production_hosts = settings.production_hosts;
  gateway.sandbox_hosts = settings.sandbox_hosts;
  gateway.allow_local_upstreams = settings.allow_local_upstreams;
  gateway.ambient_identity_namespaces = settings.ambient_identity_namespaces;
  return gateway;
}

uint64_t ContentHash(const source::GatewayObject& object) {
  std::string content = absl::StrCat(object.metadata.uid, "\n");
  content += object.spec.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  for (const auto& [pointer, line] : object.lines) {
    absl::StrAppend(&content, "\n", pointer, ":", line);
  }
  return Hash64(content);
}

}  // namespace

GatewayBook::GatewayBook(const compile::GatewaySettings& command_line)
    : command_line_name_(command_line.name), command_line_(FromSettings(command_line)) {
  entries_[command_line_name_].in_force = command_line_;
}

bool GatewayBook::OnGateway(const source::GatewayObject& object) {
  Entry& entry = entries_[object.name.ToString()];
  const uint64_t content_hash = ContentHash(object);
  const bool is_same = entry.is_object && entry.content_hash == content_hash;
  if (entry.metadata.uid != object.metadata.uid) {
    entry.in_force.reset();  // a namesake: nothing of the old one counts for it
  }
  entry.is_object = true;
  entry.metadata = object.metadata;
  entry.file = object.file;
  entry.content_hash = content_hash;
  if (is_same) {
    return false;
  }
  resource::DecodeOptions options;
  options.lines = &object.lines;
  options.ns = object.name.ns;
  resource::DecodedGateway decoded = resource::DecodeGateway(object.spec, options);
  entry.diagnostics = std::move(decoded.diagnostics);
  entry.current = std::move(decoded.gateway);
  return Enforce(object.name.ToString(), entry);
}

bool GatewayBook::Enforce(const std::string& name, Entry& entry) {
  const std::optional<resource::Gateway> before = entry.in_force;
  const auto in_force =
      static_cast<size_t>(std::count_if(entries_.begin(), entries_.end(), [](const auto& other) {
        return other.second.in_force.has_value();
      }));
  if (entry.current.has_value() && !before.has_value() && in_force >= compile::kMaxGateways) {
    entry.diagnostics.push_back(
        {Severity::kError, "TooMany", "",
         absl::StrCat(
             "one controller serves at most ", compile::kMaxGateways,
             " gateways; remove another one, or run a second controller with --namespace")});
  } else if (entry.current.has_value()) {
    entry.in_force = entry.current;
  } else if (!before.has_value() && name == command_line_name_) {
    entry.in_force = command_line_;
  }
  return entry.in_force != before;
}

bool GatewayBook::OnDeleted(const resource::ObjectName& name) {
  const auto found = entries_.find(name.ToString());
  if (found == entries_.end() || !found->second.is_object) {
    return false;
  }
  if (name.ToString() == command_line_name_) {
    found->second = Entry{};
    found->second.in_force = command_line_;
  } else {
    entries_.erase(found);
  }
  // There may be room now for one that did not count.
  for (auto& [other, entry] : entries_) {
    if (entry.current.has_value() && !entry.in_force.has_value()) {
      std::erase_if(entry.diagnostics, [](const auto& d) { return d.reason == "TooMany"; });
      Enforce(other, entry);
    }
  }
  return true;
}

std::vector<std::string> GatewayBook::GatewaysOf(const std::vector<std::string>& wanted) const {
  return wanted.empty() ? std::vector<std::string>{default_gateway()} : wanted;
}

std::optional<resource::Diagnostic> GatewayBook::Refusal(const std::string& gateway,
                                                         const resource::ObjectName& api,
                                                         const std::string& field) const {
  const resource::Gateway* const in_force = InForce(gateway);
  if (in_force == nullptr) {
    return resource::Diagnostic{
        Severity::kError, "GatewayNotFound", field,
        absl::StrCat("there is no ", entries_.contains(gateway) ? "valid " : "", "RotaGateway ",
                     gateway, "; create or correct it, or name another one")};
  }
  std::optional<std::string> why;
  if (in_force->allowed_namespaces == AllowedNamespaces::kSelector) {
    why = WhyNotSelected(*in_force, api.ns);
  } else if (in_force->allowed_namespaces == AllowedNamespaces::kSame &&
             gateway.substr(0, gateway.find('/')) != api.ns) {
    why = "see its spec.allowedNamespaces, or name another one";
  }
  if (!why.has_value()) {
    return std::nullopt;
  }
  return resource::Diagnostic{
      Severity::kError, "NamespaceNotAllowed", field,
      absl::StrCat("RotaGateway ", gateway, " does not take APIs of namespace ", api.ns, "; ",
                   *why)};
}

std::optional<resource::Diagnostic> GatewayBook::IdentityRefusal(
    const std::string& gateway, const compile::CompiledApi& api) const {
  if (api.ambient_identity_field.empty()) {
    return std::nullopt;
  }
  const Entry& entry = entries_.at(gateway);
  const std::vector<std::string>& listed = entry.in_force->ambient_identity_namespaces;
  if (std::find(listed.begin(), listed.end(), api.name.ns) != listed.end()) {
    return std::nullopt;
  }
  return resource::Diagnostic{
      Severity::kError, "AmbientIdentityNotAllowed", api.ambient_identity_field,
      absl::StrCat("gateway ", gateway, " does not let APIs of namespace ", api.name.ns,
                   " use its cloud identity; name a Secret, or have the namespace listed in ",
                   entry.is_object ? "the RotaGateway's spec.ambientIdentityNamespaces"
                                   : "--ambient-identity-namespace of the controller")};
}

const resource::Gateway* GatewayBook::InForce(const std::string& gateway) const {
  const auto found = entries_.find(gateway);
  return found != entries_.end() && found->second.in_force.has_value() ? &*found->second.in_force
                                                                       : nullptr;
}

std::optional<std::string> GatewayBook::WhyNotSelected(const resource::Gateway& gateway,
                                                       const std::string& ns) const {
  const auto known = namespaces_.find(ns);
  // What every Namespace has, whether or not the others can be read.
  const resource::Labels labels =
      known != namespaces_.end() ? known->second : resource::Labels{{kNameLabel, ns}};
  if (Matches(gateway.namespace_selector, labels)) {
    return std::nullopt;
  }
  const std::string selector = ToString(gateway.namespace_selector);
  if (known != namespaces_.end()) {
    return absl::StrCat("the namespace's labels do not match '", selector,
                        "' (its spec.allowedNamespaces); label the namespace, or name another one");
  }
  return absl::StrCat("it selects by '", selector, "', and the namespace's labels are ",
                      namespaces_known_
                          ? "not known here; let the controller list and watch "
                            "namespaces (in a directory: add the Namespace's manifest)"
                          : "being read");
}

bool GatewayBook::IsUndecided(const std::string& gateway, const resource::ObjectName& api) const {
  const resource::Gateway* const in_force = InForce(gateway);
  return !namespaces_known_ && in_force != nullptr &&
         in_force->allowed_namespaces == AllowedNamespaces::kSelector &&
         !namespaces_.contains(api.ns);
}

bool GatewayBook::wants_namespaces() const {
  return std::any_of(entries_.begin(), entries_.end(), [](const auto& entry) {
    return entry.second.in_force.has_value() &&
           entry.second.in_force->allowed_namespaces == AllowedNamespaces::kSelector;
  });
}

bool GatewayBook::OnNamespace(const std::string& name, std::optional<resource::Labels> labels) {
  const auto known = namespaces_.find(name);
  if (!labels.has_value()) {
    return namespaces_.erase(name) > 0 && wants_namespaces();
  }
  if (known != namespaces_.end() && known->second == *labels) {
    return false;
  }
  namespaces_[name] = *std::move(labels);
  return wants_namespaces();
}

compile::GatewaySettings GatewayBook::SettingsOf(const std::string& gateway) const {
  const resource::Gateway& in_force = *entries_.at(gateway).in_force;
  return {.name = gateway,
          .production_hosts = in_force.production_hosts,
          .sandbox_hosts = in_force.sandbox_hosts,
          .allow_local_upstreams = in_force.allow_local_upstreams,
          .listeners = in_force.listeners,
          .ambient_identity_namespaces = in_force.ambient_identity_namespaces};
}

const resource::GatewayDefaults& GatewayBook::DefaultsOf(const std::string& gateway) const {
  return entries_.at(gateway).in_force->defaults;
}

}  // namespace rota::reconcile
