#include "controller/resource/decode_gateway.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "controller/resource/names.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxHostBytes = 253;
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
      reader.reporter().Error(
          "InvalidValue", path,
          absl::StrCat("is ", Quoted(hosts[i]),
                       "; write a host name in lower case, or '*.' and a host name, as in "
                       "*.example.com"));
    } else if (std::find(hosts.begin(), hosts.begin() + static_cast<ptrdiff_t>(i), hosts[i]) !=
               hosts.begin() + static_cast<ptrdiff_t>(i)) {
      reader.reporter().Error("Duplicate", path,
                              absl::StrCat(Quoted(hosts[i]), " is in the list twice; remove one"));
    }
  }
  return hosts;
}

AllowedNamespaces DecodeAllowedNamespaces(ObjectReader& reader) {
  const Json* const value = reader.Find("allowedNamespaces");
  if (value == nullptr) {
    return AllowedNamespaces::kAll;
  }
  ObjectReader fields(*value, reader.At("allowedNamespaces"), reader.reporter());
  const std::string from = fields.Choice("from", {"All", "Same"}).value_or("All");
  fields.Finish();
  return from == "Same" ? AllowedNamespaces::kSame : AllowedNamespaces::kAll;
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
  gateway.allowed_namespaces = DecodeAllowedNamespaces(reader);
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
