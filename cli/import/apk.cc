#include "cli/import/apk.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "cli/import/apk_api.h"
#include "cli/import/apk_resources.h"
#include "cli/import/secret_book.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

bool IsApkConf(const Json& root) {
  return root.is_object() && !root.contains("kind") &&
         (root.contains("basePath") || root.contains("operations") ||
          root.contains("endpointConfigurations"));
}

bool IsFragment(const Json& root) {
  return root.is_object() && !root.contains("kind") &&
         (root.contains("apiPolicies") || root.contains("operationPolicies"));
}

// What word processors make of quotes, at the ends of a plain scalar.
std::string WithoutTypographicQuotes(std::string text) {
  constexpr std::array<std::string_view, 6> kQuotes = {"\u201c", "\u201d", "\u201e",
                                                       "\u2018", "\u2019", "\u201a"};
  bool is_changed = true;
  while (is_changed) {
    is_changed = false;
    for (const std::string_view quote : kQuotes) {
      if (text.starts_with(quote)) {
        text.erase(0, quote.size());
        is_changed = true;
      }
      if (text.ends_with(quote)) {
        text.resize(text.size() - quote.size());
        is_changed = true;
      }
    }
  }
  return text;
}

void StraightenQuotes(Json& value, const Place& place, Report& report) {
  if (value.is_object()) {
    for (auto& [key, member] : value.items()) {
      StraightenQuotes(member, place.Key(key), report);
    }
  } else if (value.is_array()) {
    for (size_t i = 0; i < value.size(); ++i) {
      StraightenQuotes(value[i], place.Index(i), report);
    }
  } else if (value.is_string()) {
    std::string straight = WithoutTypographicQuotes(value.get<std::string>());
    if (straight != value.get_ref<const std::string&>()) {
      report.Mapped(place, "the typographic quotes around it were taken off");
      value = std::move(straight);
    }
  }
}

// A version that YAML reads as a number.
void WriteVersionAsText(Json& spec, const Place& place, Report& report) {
  const auto version = spec.find("version");
  if (version != spec.end() && version->is_number()) {
    // YAML's 1.0 is the number 1, and more often meant than 1.
    const std::string text =
        version->is_number_integer() ? version->dump() + ".0" : version->dump();
    report.Differs(place.Key("version"),
                   absl::StrCat("is a number; it was written as the text ", text,
                                ", correct it if it was another (1.10 is 1.1)"));
    *version = text;
  }
}

// The one namespace that the endpoints' services live in, and that the API has to live in too.
std::string NamespaceOfServices(const Json& spec) {
  std::set<std::string> namespaces;
  const auto visit = [&namespaces](const auto& self, const Json& value) -> void {
    if (value.is_object()) {
      const auto endpoint = value.find("endpoint");
      if (endpoint != value.end() && endpoint->is_object() && endpoint->contains("namespace") &&
          (*endpoint)["namespace"].is_string()) {
        namespaces.insert((*endpoint)["namespace"].get<std::string>());
      }
    }
    if (value.is_structured()) {
      for (const Json& member : value) {
        self(self, member);
      }
    }
  };
  visit(visit, spec);
  return namespaces.size() == 1 ? *namespaces.begin() : "";
}

void ImportConf(const SourceDocument& document, Imported& imported) {
  const Place place{&document};
  Json spec = document.root;
  StraightenQuotes(spec, place, imported.report);
  WriteVersionAsText(spec, place, imported.report);
  ApkApi api;
  api.place = place;
  api.ns = NamespaceOfServices(spec);
  if (!api.ns.empty()) {
    imported.report.Mapped(
        place.Key("endpointConfigurations"),
        absl::StrCat("its services live in ", api.ns, ", so the API has to: metadata.namespace"));
  }
  const auto name = spec.find("name");
  api.name =
      NameFrom(name != spec.end() && name->is_string() ? name->get<std::string>() : "", "api");
  api.spec = std::move(spec);
  PublishApkApi(std::move(api), imported);
}

}  // namespace

Imported ImportApk(const std::vector<SourceDocument>& documents) {
  Imported imported;
  ApkResources resources(imported);
  for (const SourceDocument& document : documents) {
    if (IsApkConf(document.root)) {
      ImportConf(document, imported);
    } else if (IsFragment(document.root)) {
      imported.report.Error({&document},
                            "policies without an API: put them under the apk-conf file "
                            "of the API that they are for");
    } else {
      resources.Add(document.root, {&document});
    }
  }
  resources.Import();
  return imported;
}

}  // namespace rota::importer
