#include "cli/import/apk_api.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/import/secret_book.h"
#include "controller/resource/decode.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

// The order in which people read an API and its parts; other keys follow.
constexpr std::array<std::string_view, 26> kOrder = {"policyName",
                                                     "policyVersion",
                                                     "model",
                                                     "name",
                                                     "endpoint",
                                                     "target",
                                                     "verb",
                                                     "basePath",
                                                     "version",
                                                     "type",
                                                     "id",
                                                     "organization",
                                                     "environment",
                                                     "defaultVersion",
                                                     "provider",
                                                     "aiProvider",
                                                     "enabled",
                                                     "secretName",
                                                     "in",
                                                     "apiKeyNameKey",
                                                     "subscriptionValidation",
                                                     "definitionPath",
                                                     "endpointConfigurations",
                                                     "operations",
                                                     "apiPolicies",
                                                     "onQuotaExceedSuspendDuration"};

OrderedJson InOrder(const Json& value) {
  if (value.is_array()) {
    OrderedJson list = OrderedJson::array();
    for (const Json& item : value) {
      list.push_back(InOrder(item));
    }
    return list;
  }
  if (!value.is_object()) {
    return value;
  }
  OrderedJson ordered = OrderedJson::object();
  for (const std::string_view key : kOrder) {
    const auto member = value.find(key);
    if (member != value.end()) {
      ordered[std::string(key)] = InOrder(*member);
    }
  }
  for (const auto& [key, member] : value.items()) {
    if (!ordered.contains(key)) {
      ordered[key] = InOrder(member);
    }
  }
  return ordered;
}

// Takes out the value at a diagnostic's field: "operations[0].verb". False: it is not there.
bool Remove(Json& spec, std::string_view field) {
  Json* parent = nullptr;
  Json* at = &spec;
  std::string key;
  while (!field.empty()) {
    const size_t end = std::min(field.find_first_of(".["), field.size());
    key = std::string(field.substr(0, end));
    field.remove_prefix(end);
    if (!at->is_object() || !at->contains(key)) {
      return false;
    }
    parent = at;
    at = &(*at)[key];
    while (field.starts_with('[')) {
      const size_t close = field.find(']');
      size_t index = 0;
      if (close == std::string_view::npos ||
          !absl::SimpleAtoi(absl::string_view(field.data() + 1, close - 1), &index)) {
        return false;
      }
      field.remove_prefix(close + 1);
      if (!at->is_array() || index >= at->size()) {
        return false;
      }
      at = &(*at)[index];
    }
    field.remove_prefix(field.starts_with('.') ? 1 : 0);
  }
  return parent != nullptr && parent->erase(key) > 0;
}

Place PlaceOf(const ApkApi& api, const std::string& field) {
  if (!api.fields_are_source || field.empty()) {
    return api.place;
  }
  return {api.place.document,
          api.place.path.empty() ? field : absl::StrCat(api.place.path, ".", field)};
}

// In front of a message about a field that the source does not have.
std::string About(const ApkApi& api, const std::string& field) {
  return api.fields_are_source || field.empty() ? "" : field + ": ";
}

// False: the API has errors.
bool CheckWithDecoder(ApkApi& api, Report& report) {
  const resource::DecodeOptions options{"", nullptr, api.ns.empty() ? "default" : api.ns};
  for (const resource::Diagnostic& d : resource::DecodeApi(api.spec, options).diagnostics) {
    if (d.reason == "UnknownField" && Remove(api.spec, d.field)) {
      report.NoEqual(PlaceOf(api, d.field),
                     absl::StrCat(About(api, d.field), "this importer does not know the key"));
    }
  }
  bool is_good = true;
  for (const resource::Diagnostic& d : resource::DecodeApi(api.spec, options).diagnostics) {
    const std::string text = About(api, d.field) + d.message;
    if (d.severity == resource::Severity::kError) {
      report.Error(PlaceOf(api, d.field), text);
      is_good = false;
    } else {
      report.NoEqual(PlaceOf(api, d.field), text);
    }
  }
  return is_good;
}

void AddKey(const std::string& ns, const std::string& secret, const std::string& key,
            std::vector<ImportedSecret>& secrets) {
  auto found = std::find_if(secrets.begin(), secrets.end(), [&](const ImportedSecret& s) {
    return s.name == secret && s.ns == ns;
  });
  if (found == secrets.end()) {
    secrets.push_back({ns, secret, {}, true});
    found = std::prev(secrets.end());
  }
  const bool is_there = std::any_of(found->keys.begin(), found->keys.end(),
                                    [&](const SecretKey& k) { return k.key == key; });
  if (!is_there) {
    std::string variable = absl::AsciiStrToUpper(absl::StrCat(secret, "_", key));
    std::replace_if(
        variable.begin(), variable.end(), [](char c) { return c == '-' || c == '.'; }, '_');
    found->keys.push_back({key, std::move(variable), "", "the cluster that APK runs in"});
  }
}

// Every map with a secretName names keys of that Secret beside it.
void CollectSecrets(const std::string& ns, const Json& value,
                    std::vector<ImportedSecret>& secrets) {
  if (value.is_object() && value.contains("secretName") && value["secretName"].is_string()) {
    for (const char* const key : {"apiKeyValueKey", "userNameKey", "passwordKey", "accessKeyRef",
                                  "secretKeyRef", "sessionTokenRef", "regionRef", "secretKey"}) {
      if (value.contains(key) && value[key].is_string()) {
        AddKey(ns, value["secretName"].get<std::string>(), value[key].get<std::string>(), secrets);
      }
    }
  }
  if (value.is_structured()) {
    for (const Json& member : value) {
      CollectSecrets(ns, member, secrets);
    }
  }
}

// What APK does with every API and Rota does not.
void ReportDifferences(const ApkApi& api, Report& report) {
  const std::string version = api.spec["version"].get<std::string>();
  const size_t dot = version.find('.');
  const bool is_short_too = version.size() > 3 && version[0] == 'v' && dot != std::string::npos;
  if (is_short_too) {
    report.Differs(
        PlaceOf(api, "version"),
        absl::StrCat("APK also answers on /", version.substr(0, dot), "; here only on /", version));
  }
  const auto path = api.spec.find("definitionPath");
  const bool has_path = path != api.spec.end() && path->is_string();
  report.NoEqual(PlaceOf(api, ""),
                 absl::StrCat("APK serves the API's definition to everybody at ",
                              has_path ? path->get<std::string>() : "/api-definition",
                              "; here it is not served"));
}

}  // namespace

void PublishApkApi(ApkApi api, Imported& imported) {
  if (!CheckWithDecoder(api, imported.report)) {
    return;
  }
  ReportDifferences(api, imported.report);
  CollectSecrets(api.ns, api.spec, imported.secrets);
  api.name = UniqueName(api.name, [&](const std::string& candidate) {
    return std::any_of(imported.apis.begin(), imported.apis.end(),
                       [&](const ImportedApi& a) { return a.name == candidate && a.ns == api.ns; });
  });
  imported.report.Mapped(api.place, absl::StrCat("API ", api.name));
  imported.apis.push_back({api.ns, api.name, InOrder(api.spec)});
}

}  // namespace rota::importer
