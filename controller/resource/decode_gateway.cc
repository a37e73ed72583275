#include "controller/resource/decode_gateway.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/resource/decode_limits.h"
#include "controller/resource/decode_rotation.h"
#include "controller/resource/names.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxHostBytes = 253;
constexpr size_t kMaxListenerName = 63;
constexpr size_t kMaxNamespaceBytes = 63;
constexpr Duration kMaxTimeout = std::chrono::hours(24);
constexpr size_t kMaxNameBytes = 317;  // a namespace, '/' and a name

// "a.example.com" or "*.example.com", lower case; labels may hold '_', as some private names do.
bool IsHostPattern(std::string_view text) {
  if (text.substr(0, 2) == "*.") {
    text.remove_prefix(2);
  }
  bool label_is_empty = true;
  for (const char c : text) {
    if (c == '.') {
      if (label_is_empty) {
        return false;
      }
      label_is_empty = true;
      continue;
    }
    if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_')) {
      return false;
    }
    label_is_empty = false;
  }
  return !label_is_empty;
}

std::string NoHostPattern(std::string_view text) {
  return absl::StrCat("is ", Quoted(text),
                      "; write a host name in lower case, or '*.' and a host name, as in "
                      "*.example.com");
}

// Whether `name` may stand in the list `gateways` of an API.
bool IsGatewayName(std::string_view name) {
  const size_t slash = name.find('/');
  return slash == std::string_view::npos
             ? IsDnsSubdomain(name)
             : IsDnsLabel(name.substr(0, slash)) && IsDnsSubdomain(name.substr(slash + 1));
}

std::vector<std::string> DecodeHosts(ObjectReader& reader, const std::string& key) {
  const std::vector<std::string> hosts = reader.Texts(key, kMaxHosts, kMaxHostBytes);
  for (size_t i = 0; i < hosts.size(); ++i) {
    const FieldPath path = reader.At(key).Index(i);
    if (!IsHostPattern(hosts[i])) {
      reader.reporter().Error("InvalidValue", path, NoHostPattern(hosts[i]));
    } else if (std::find(hosts.begin(), hosts.begin() + static_cast<ptrdiff_t>(i), hosts[i]) !=
               hosts.begin() + static_cast<ptrdiff_t>(i)) {
      reader.reporter().Error("Duplicate", path,
                              absl::StrCat(Quoted(hosts[i]), " is in the list twice; remove one"));
    }
  }
  return hosts;
}

Labels DecodeMatchLabels(ObjectReader& selector) {
  Labels labels;
  const Json* const value = selector.Find("matchLabels");
  if (value == nullptr) {
    return labels;
  }
  const FieldPath path = selector.At("matchLabels");
  Reporter& reporter = selector.reporter();
  if (!value->is_object()) {
    reporter.Error("InvalidType", path, "must be `label: value` lines");
    return labels;
  }
  if (value->size() > kMaxSelectorLabels) {
    reporter.Error("TooMany", path,
                   absl::StrCat("has ", value->size(), " labels, at most ", kMaxSelectorLabels,
                                " are allowed; remove some"));
    return labels;
  }
  for (const auto& [key, text] : value->items()) {
    if (key.empty() || key.size() > kMaxLabelKeyBytes) {
      reporter.Error("InvalidValue", path,
                     absl::StrCat("has a label whose name is empty or longer than ",
                                  kMaxLabelKeyBytes, " characters; correct it"));
      continue;
    }
    if (!text.is_string() || text.get_ref<const std::string&>().size() > kMaxLabelValueBytes) {
      reporter.Error("InvalidValue", path.Key(key),
                     absl::StrCat("must be text of at most ", kMaxLabelValueBytes,
                                  " characters, as the values of labels are; put it in quotes or "
                                  "correct it"));
      continue;
    }
    labels.emplace(key, text.get<std::string>());
  }
  return labels;
}

LabelRequirement DecodeRequirement(const Json& value, const FieldPath& path, Reporter& reporter) {
  using Operator = LabelRequirement::Operator;
  ObjectReader fields(value, path, reporter);
  LabelRequirement requirement;
  if (!value.is_object()) {
    return requirement;
  }
  requirement.key = fields.RequiredText("key", kMaxLabelKeyBytes, "key: team").value_or("");
  if (!fields.Has("operator")) {
    fields.Missing("operator", "operator: In");
  }
  const std::string op =
      fields.Choice("operator", {"In", "NotIn", "Exists", "DoesNotExist"}).value_or("");
  requirement.op = op == "In"       ? Operator::kIn
                   : op == "NotIn"  ? Operator::kNotIn
                   : op == "Exists" ? Operator::kExists
                                    : Operator::kDoesNotExist;
  requirement.values = fields.Texts("values", kMaxSelectorValues, kMaxLabelValueBytes);
  fields.Finish();
  const bool wants_values = op == "In" || op == "NotIn";
  if (!op.empty() && wants_values == requirement.values.empty()) {
    reporter.Error("InvalidValue", fields.At("values"),
                   wants_values
                       ? absl::StrCat("is empty; ", op, " needs the values to compare with")
                       : absl::StrCat(op, " compares with no value; remove `values`"));
  }
  return requirement;
}

LabelSelector DecodeSelector(const Json& value, const FieldPath& path, Reporter& reporter) {
  ObjectReader fields(value, path, reporter);
  LabelSelector selector;
  selector.match_labels = DecodeMatchLabels(fields);
  fields.List("matchExpressions", kMaxSelectorLabels, [&](const Json& item, const FieldPath& at) {
    selector.match_expressions.push_back(DecodeRequirement(item, at, reporter));
  });
  fields.Finish();
  return selector;
}

void DecodeAllowedNamespaces(ObjectReader& reader, Gateway& gateway) {
  const Json* const value = reader.Find("allowedNamespaces");
  if (value == nullptr) {
    return;
  }
  ObjectReader fields(*value, reader.At("allowedNamespaces"), reader.reporter());
  const std::optional<std::string> choice = fields.Choice("from", {"All", "Same", "Selector"});
  const Json* const selector = fields.Find("selector");
  if (selector != nullptr) {
    gateway.namespace_selector =
        DecodeSelector(*selector, fields.At("selector"), reader.reporter());
  }
  fields.Finish();
  if (!choice.has_value() && fields.Has("from")) {
    return;
  }
  const std::string from = choice.value_or("All");
  gateway.allowed_namespaces = from == "Same"       ? AllowedNamespaces::kSame
                               : from == "Selector" ? AllowedNamespaces::kSelector
                                                    : AllowedNamespaces::kAll;
  if ((from == "Selector") != (selector != nullptr)) {
    reader.reporter().Error(
        "InvalidValue", fields.At("selector"),
        selector == nullptr
            ? "is missing; `from: Selector` needs the labels of the namespaces, as in selector: "
              "{matchLabels: {team: a}}"
            : "goes with `from: Selector` only; write that, or remove the selector");
  }
}

std::vector<std::string> DecodeAmbientNamespaces(ObjectReader& gateway) {
  const std::string key = "ambientIdentityNamespaces";
  std::vector<std::string> namespaces =
      gateway.Texts(key, kMaxAmbientNamespaces, kMaxNamespaceBytes);
  for (size_t i = 0; i < namespaces.size(); ++i) {
    const FieldPath path = gateway.At(key).Index(i);
    const auto before = namespaces.begin() + static_cast<ptrdiff_t>(i);
    if (!IsDnsLabel(namespaces[i])) {
      gateway.reporter().Error("InvalidValue", path,
                               absl::StrCat("is ", Quoted(namespaces[i]),
                                            "; write the name of a namespace, each one by itself"));
    } else if (std::find(namespaces.begin(), before, namespaces[i]) != before) {
      gateway.reporter().Error(
          "Duplicate", path,
          absl::StrCat(Quoted(namespaces[i]), " is in the list twice; remove one"));
    }
  }
  return namespaces;
}

GatewayListener DecodeListener(const Json& value, const FieldPath& path, Reporter& reporter) {
  ObjectReader reader(value, path, reporter);
  GatewayListener listener;
  if (!value.is_object()) {
    return listener;
  }
  listener.name = reader.RequiredText("name", kMaxListenerName, "name: public").value_or("");
  if (!listener.name.empty() && !IsDnsLabel(listener.name)) {
    reporter.Error("InvalidValue", reader.At("name"),
                   absl::StrCat("is ", Quoted(listener.name),
                                "; write lower-case letters, digits and '-', at most 63"));
  }
  listener.hostname = reader.Text("hostname", kMaxHostBytes, 1).value_or("");
  if (!listener.hostname.empty() && !IsHostPattern(listener.hostname)) {
    reporter.Error("InvalidValue", reader.At("hostname"), NoHostPattern(listener.hostname));
  }
  const Json* const reference = reader.Find("certificateRef");
  if (reference == nullptr) {
    reader.Missing("certificateRef", "certificateRef: {name: ai-example-com-tls}");
  } else {
    ObjectReader fields(*reference, reader.At("certificateRef"), reporter);
    listener.secret_name =
        fields.RequiredText("name", kMaxHostBytes, "name: ai-example-com-tls").value_or("");
    if (!listener.secret_name.empty() && !IsDnsSubdomain(listener.secret_name)) {
      reporter.Error("InvalidValue", fields.At("name"),
                     absl::StrCat("is ", Quoted(listener.secret_name),
                                  "; write the name of a Secret of the gateway's namespace"));
    }
    fields.Finish();
  }
  reader.Finish();
  return listener;
}

std::vector<GatewayListener> DecodeListeners(ObjectReader& gateway) {
  std::vector<GatewayListener> listeners;
  Reporter& reporter = gateway.reporter();
  gateway.List("listeners", kMaxListeners, [&](const Json& item, const FieldPath& path) {
    GatewayListener listener = DecodeListener(item, path, reporter);
    for (const GatewayListener& other : listeners) {
      if (!listener.name.empty() && other.name == listener.name) {
        reporter.Error("Duplicate", path.Key("name"),
                       absl::StrCat(Quoted(listener.name),
                                    " is the name of two listeners; rename one of them"));
      } else if (other.hostname == listener.hostname) {
        reporter.Error(
            "Duplicate", path.Key("hostname"),
            listener.hostname.empty()
                ? "is missing in two listeners; one certificate at most can be for every other name"
                : absl::StrCat(Quoted(listener.hostname),
                               " has two listeners; remove one of them"));
      }
    }
    listeners.push_back(std::move(listener));
  });
  return listeners;
}

std::optional<Duration> DecodeTimeout(ObjectReader& reader, const std::string& key) {
  const std::optional<Duration> time = reader.Time(key, kMaxTimeout);
  if (time.has_value() && *time <= Duration::zero()) {
    reader.reporter().Error("InvalidValue", reader.At(key),
                            "is 0; write a time above 0, or remove the field for the data plane's");
  }
  return time;
}

GatewayDefaults DecodeDefaults(ObjectReader& parent) {
  GatewayDefaults defaults;
  const Json* const value = parent.Find("defaults");
  if (value == nullptr) {
    return defaults;
  }
  ObjectReader reader(*value, parent.At("defaults"), parent.reporter());
  defaults.rotation = DecodeRotationSettings(reader);
  if (const Json* const timeout = reader.Find("timeout")) {
    ObjectReader fields(*timeout, reader.At("timeout"), parent.reporter());
    defaults.connect_timeout = DecodeTimeout(fields, "connectTimeout");
    defaults.first_byte_timeout = DecodeTimeout(fields, "upstreamResponseTimeout");
    fields.Finish();
  }
  defaults.limits = DecodeLimits(reader);
  reader.Finish();
  return defaults;
}

}  // namespace

DecodedGateway DecodeGateway(const Json& spec, const DecodeOptions& options) {
  Reporter reporter(options.lines);
  ObjectReader reader(spec, {"spec", "/spec"}, reporter);
  Gateway gateway;
  gateway.production_hosts = DecodeHosts(reader, "productionHosts");
  gateway.sandbox_hosts = DecodeHosts(reader, "sandboxHosts");
  for (const std::string& host : gateway.production_hosts) {
    if (std::find(gateway.sandbox_hosts.begin(), gateway.sandbox_hosts.end(), host) !=
        gateway.sandbox_hosts.end()) {
      reporter.Error("InvalidValue", reader.At("sandboxHosts"),
                     absl::StrCat("a host cannot be production and sandbox at once: ", Quoted(host),
                                  "; remove it from one of the lists"));
    }
  }
  gateway.allow_local_upstreams = reader.Bool("allowLocalUpstreams").value_or(false);
  DecodeAllowedNamespaces(reader, gateway);
  gateway.defaults = DecodeDefaults(reader);
  gateway.listeners = DecodeListeners(reader);
  gateway.ambient_identity_namespaces = DecodeAmbientNamespaces(reader);
  reader.Finish();
  DecodedGateway result;
  if (!reporter.has_errors()) {
    result.gateway = std::move(gateway);
  }
  result.diagnostics = std::move(reporter).Take();
  return result;
}

std::vector<std::string> DecodeGatewayNames(ObjectReader& api, const std::string& ns) {
  std::vector<std::string> names;
  const std::vector<std::string> given = api.Texts("gateways", kMaxGatewaysOfApi, kMaxNameBytes);
  for (size_t i = 0; i < given.size(); ++i) {
    const FieldPath path = api.At("gateways").Index(i);
    const auto before = given.begin() + static_cast<ptrdiff_t>(i);
    if (!IsGatewayName(given[i])) {
      api.reporter().Error("InvalidValue", path,
                           absl::StrCat("is ", Quoted(given[i]),
                                        "; write the name of a RotaGateway of this namespace, or "
                                        "namespace/name"));
      continue;
    }
    if (std::find(given.begin(), before, given[i]) != before) {
      api.reporter().Error("Duplicate", path,
                           absl::StrCat(Quoted(given[i]), " is in the list twice; remove one"));
      continue;
    }
    std::string name =
        given[i].find('/') == std::string::npos ? absl::StrCat(ns, "/", given[i]) : given[i];
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

}  // namespace rota::resource
