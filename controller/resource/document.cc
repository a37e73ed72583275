#include "controller/resource/document.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "common/hash.h"
#include "controller/resource/names.h"
#include "controller/resource/tree.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kApiVersion = "gateway.rota.dev/v1alpha1";
constexpr size_t kMaxSecretBytes = 1 << 20;  // as Kubernetes

// Fields that make a document without apiVersion and kind an apk-conf file. `name` and `version`
// are not among them: half of all JSON files have these.
constexpr std::array<std::string_view, 4> kApkConfFields = {"basePath", "operations",
                                                            "endpointConfigurations", "aiProvider"};

// Wipes the text in a JSON value that held a Secret.
void WipeText(Json& value) {
  if (value.is_string()) {
    WipeString(value.get_ref<std::string&>());
  } else if (value.is_structured()) {
    for (Json& child : value) {
      WipeText(child);
    }
  }
}

std::string TextOf(const Json& object, const std::string& key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string Printable(const std::string& text) { return std::string(Clip(text, 100)); }

// Takes documents apart and keeps the problems.
class FileReader {
 public:
  explicit FileReader(ParsedFile& file) : file_(file) {}

  // `pointer` leads from the document's root to `value` ("/items/3" inside a List).
  void Take(Json& value, LineMap& lines, const std::string& pointer) {
    if (!value.is_object()) {
      Foreign(lines, pointer, false,
              "this is not an object; write `name: ...` or `apiVersion: ...` lines");
      return;
    }
    if (value.contains("apiVersion") || value.contains("kind")) {
      TakeObject(value, lines, pointer);
    } else {
      TakeApkConf(value, lines, pointer);
    }
  }

 private:
  void Problem(LineMap& lines, const std::string& pointer, std::string message) {
    file_.problems.push_back({LineOf(lines, pointer), 0, std::move(message)});
  }

  void Foreign(LineMap& lines, const std::string& pointer, bool has_kind, std::string message) {
    file_.foreign.push_back({LineOf(lines, pointer), has_kind, std::move(message)});
  }

  void TakeObject(Json& value, LineMap& lines, const std::string& pointer) {
    const std::string api_version = TextOf(value, "apiVersion");
    const std::string kind = TextOf(value, "kind");
    if (kind == "API" && api_version == kApiVersion) {
      TakeSpec(value, lines, pointer, file_.apis);
    } else if (kind == "RotaGateway" && api_version == kApiVersion) {
      TakeSpec(value, lines, pointer, file_.gateways);
    } else if (kind == "Namespace" && api_version == "v1") {
      TakeNamespace(value, lines, pointer);
    } else if (kind == "Secret" && api_version == "v1") {
      TakeSecret(value, lines, pointer);
      WipeText(value);
    } else if ((kind == "List" || kind == "SecretList" || kind == "NamespaceList") &&
               api_version == "v1") {
      TakeList(value, lines, pointer);
    } else if ((kind == "APIList" || kind == "RotaGatewayList") && api_version == kApiVersion) {
      TakeList(value, lines, pointer);
    } else {
      std::string message =
          absl::StrCat("apiVersion '", Printable(api_version), "', kind '", Printable(kind),
                       "' is not known here; an API and a RotaGateway have apiVersion ",
                       std::string(kApiVersion), ", a Secret has v1, an apk-conf file has neither");
      if (IsMeantAsOurs(api_version, kind)) {
        Problem(lines, pointer, std::move(message));
      } else {
        Foreign(lines, pointer, true, std::move(message));
      }
    }
  }

  // A misspelt or outdated header of one of our kinds.
  static bool IsMeantAsOurs(const std::string& api_version, const std::string& kind) {
    return api_version.empty() || kind.empty() || kind == "API" || kind == "APIList" ||
           kind == "RotaGateway" || kind == "Secret" ||
           api_version.starts_with("gateway.rota.dev/");
  }

  void TakeList(Json& value, LineMap& lines, const std::string& pointer) {
    const auto items = value.find("items");
    if (items == value.end() || !items->is_array()) {
      Problem(lines, pointer, "the list has no `items`; add them, or remove the list");
      return;
    }
    for (size_t i = 0; i < items->size(); ++i) {
      Json& item = (*items)[i];
      const std::string item_pointer = absl::StrCat(pointer, "/items/", i);
      if (item.is_object() && TextOf(item, "kind") == "List") {
        Problem(lines, item_pointer, "a list inside a list; put its items into the outer one");
        continue;
      }
      Take(item, lines, item_pointer);
    }
  }

  // metadata.name and .namespace; absent (and reported) when they are unusable.
  std::optional<ObjectName> TakeName(const Json& value, LineMap& lines,
                                     const std::string& pointer) {
    const auto metadata = value.find("metadata");
    if (metadata == value.end() || !metadata->is_object()) {
      Problem(lines, pointer, "`metadata` is missing; add `metadata: {name: ...}`");
      return std::nullopt;
    }
    const auto text = [&](const std::string& key) -> std::optional<std::string> {
      const auto found = metadata->find(key);
      if (found == metadata->end() || found->is_null()) {
        return "";
      }
      if (!found->is_string()) {
        Problem(lines, pointer + "/metadata/" + key,
                absl::StrCat("metadata.", key, " is not text; put it in quotes"));
        return std::nullopt;
      }
      return found->get<std::string>();
    };
    std::optional<std::string> name = text("name");
    std::optional<std::string> ns = text("namespace");
    if (!name || !ns) {
      return std::nullopt;
    }
    if (!IsDnsSubdomain(*name)) {
      Problem(lines, pointer + "/metadata/name",
              name->empty()
                  ? "metadata.name is missing; add one"
                  : absl::StrCat("metadata.name '", Printable(*name),
                                 "' must be lower-case letters, digits, '-' and '.', at most "
                                 "253, as Kubernetes wants it"));
      return std::nullopt;
    }
    if (!ns->empty() && !IsDnsLabel(*ns)) {
      Problem(lines, pointer + "/metadata/namespace",
              absl::StrCat("metadata.namespace '", Printable(*ns),
                           "' must be lower-case letters, digits and '-', at most 63"));
      return std::nullopt;
    }
    return ObjectName{ns->empty() ? "default" : *ns, *name};
  }

  bool HasOnly(const Json& value, std::initializer_list<std::string_view> known, LineMap& lines,
               const std::string& pointer) {
    bool good = true;
    for (const auto& [key, unused] : value.items()) {
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        Problem(lines, absl::StrCat(pointer, "/", EscapePointer(key)),
                absl::StrCat("unknown field '", Printable(key), "' beside `metadata`; remove it",
                             TextOf(value, "kind") != "Secret" ? " or move it under `spec`" : ""));
        good = false;
      }
    }
    return good;
  }

  void TakeSpec(Json& value, LineMap& lines, const std::string& pointer,
                std::vector<SpecManifest>& list) {
    std::optional<ObjectName> name = TakeName(value, lines, pointer);
    const bool good =
        HasOnly(value, {"apiVersion", "kind", "metadata", "spec", "status"}, lines, pointer);
    if (!name || !good) {
      return;
    }
    SpecManifest manifest;
    manifest.name = *std::move(name);
    const auto spec = value.find("spec");
    manifest.spec = spec == value.end() ? Json::object() : std::move(*spec);
    manifest.line = LineOf(lines, pointer);
    manifest.lines = Below(lines, pointer);
    list.push_back(std::move(manifest));
  }

  // Only its labels are of interest: what else an object of another owner holds is not looked at.
  void TakeNamespace(const Json& value, LineMap& lines, const std::string& pointer) {
    const std::optional<ObjectName> name = TakeName(value, lines, pointer);
    if (!name) {
      return;
    }
    Json labels = value.at("metadata").value("labels", Json(Json::object()));
    if (labels.is_null()) {
      labels = Json::object();
    }
    const bool good =
        labels.is_object() &&
        std::all_of(labels.begin(), labels.end(), [](const Json& v) { return v.is_string(); });
    if (!good) {
      Problem(lines, pointer + "/metadata/labels",
              "metadata.labels must be `label: value` lines, each value text; put it in quotes");
      return;
    }
    labels["kubernetes.io/metadata.name"] = name->name;  // as the API server adds it
    NamespaceManifest manifest;
    manifest.name = {"", name->name};
    manifest.spec = std::move(labels);
    manifest.line = LineOf(lines, pointer);
    file_.namespaces.push_back(std::move(manifest));
  }

  void TakeApkConf(Json& value, LineMap& lines, const std::string& pointer) {
    const bool has_policies = value.contains("apiPolicies") || value.contains("operationPolicies");
    const bool is_named = value.contains("name") || value.contains("version");
    const bool is_api = (has_policies && is_named) ||
                        std::any_of(kApkConfFields.begin(), kApkConfFields.end(),
                                    [&](std::string_view field) { return value.contains(field); });
    if (!is_api && has_policies) {
      const int line = LineOf(lines, pointer);
      file_.fragments.push_back({std::move(value), Below(lines, pointer), line});
      return;
    }
    if (!is_api) {
      Foreign(lines, pointer, false,
              "neither an apk-conf API (basePath, operations, endpointConfigurations ...) nor a "
              "Kubernetes object (apiVersion, kind); add what is missing, or move the file away");
      return;
    }
    ApiManifest api;
    api.name = {"default", NameOfApkConf(TextOf(value, "name"), TextOf(value, "basePath"),
                                         TextOf(value, "version"))};
    api.bare_apk_conf = true;
    api.spec = std::move(value);
    api.line = LineOf(lines, pointer);
    api.lines = Below(lines, pointer);
    file_.apis.push_back(std::move(api));
  }

  void TakeSecret(Json& value, LineMap& lines, const std::string& pointer) {
    std::optional<ObjectName> name = TakeName(value, lines, pointer);
    bool good = HasOnly(
        value, {"apiVersion", "kind", "metadata", "type", "immutable", "data", "stringData"}, lines,
        pointer);
    SecretManifest secret;
    size_t bytes = 0;
    for (const bool encoded : {true, false}) {
      good = TakeSecretData(value, encoded, lines, pointer, secret, bytes) && good;
    }
    if (bytes > kMaxSecretBytes) {
      Problem(lines, pointer,
              absl::StrCat("the Secret is larger than ", kMaxSecretBytes, " bytes"));
      good = false;
    }
    if (name && good) {
      secret.name = *std::move(name);
      secret.line = LineOf(lines, pointer);
      file_.secrets.push_back(std::move(secret));
    }
  }

  // `data` (base64) or `stringData`. Messages name keys, never values.
  bool TakeSecretData(const Json& value, bool encoded, LineMap& lines, const std::string& pointer,
                      SecretManifest& secret, size_t& bytes) {
    const std::string field = encoded ? "data" : "stringData";
    const auto found = value.find(field);
    if (found == value.end() || found->is_null()) {
      return true;
    }
    if (!found->is_object()) {
      Problem(lines, pointer + "/" + field, absl::StrCat(field, " must be `key: value` lines"));
      return false;
    }
    bool good = true;
    for (const auto& [key, text] : found->items()) {
      const std::string where = absl::StrCat(pointer, "/", field, "/", key);
      std::string decoded;
      if (!IsSecretKey(key)) {
        Problem(lines, where,
                absl::StrCat("a key of ", field,
                             " may hold letters, digits, '-', '_' and '.' only, at most 253"));
        good = false;
      } else if (!text.is_string()) {
        Problem(lines, where,
                absl::StrCat(field, ".", key, " is not text; put the value in quotes"));
        good = false;
      } else if (encoded && !absl::Base64Unescape(text.get_ref<const std::string&>(), &decoded)) {
        Problem(lines, where,
                absl::StrCat(field, ".", key,
                             " is not base64; encode it, or write it under stringData"));
        good = false;
      } else {
        if (!encoded) {
          decoded = text.get<std::string>();
        }
        bytes += decoded.size();
        secret.data[key] = SecretString(decoded);
      }
      WipeString(decoded);
    }
    return good;
  }

  // The lines below `pointer`, as pointers from there. Those of a whole document are moved out.
  static LineMap Below(LineMap& lines, const std::string& pointer) {
    if (pointer.empty()) {
      return std::move(lines);
    }
    LineMap below;
    const std::string prefix = pointer + "/";
    for (auto at = lines.lower_bound(prefix); at != lines.end() && at->first.starts_with(prefix);
         ++at) {
      below.emplace_hint(below.end(), at->first.substr(pointer.size()), at->second);
    }
    below[""] = LineOf(lines, pointer);
    return below;
  }

  ParsedFile& file_;
};

}  // namespace

std::string EscapePointer(std::string_view key) {
  std::string escaped;
  for (const char c : key) {
    escaped += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  }
  return escaped;
}

int LineOf(const LineMap& lines, std::string pointer) {
  while (true) {
    if (const auto found = lines.find(pointer); found != lines.end()) {
      return found->second;
    }
    const size_t slash = pointer.rfind('/');
    if (slash == std::string::npos) {
      return 0;
    }
    pointer.resize(slash);
  }
}

int LineOfField(const LineMap& lines, std::string_view field) {
  std::string pointer = field.empty() ? "" : "/";
  for (const char c : field) {
    if (c == '.' || c == '[') {
      pointer.push_back('/');
    } else if (c != ']') {
      pointer.push_back(c);
    }
  }
  return LineOf(lines, std::move(pointer));
}

ParsedFile ParseFile(std::string_view text, const DocumentLimits& limits) {
  ParsedFile file;
  Trees trees = ParseTrees(text, limits);
  FileReader reader(file);
  for (Tree& tree : trees.trees) {
    reader.Take(tree.root, tree.lines, "");
    tree = Tree{};  // a file of 10,000 APIs is held once
  }
  file.problems.insert(file.problems.end(), std::make_move_iterator(trees.problems.begin()),
                       std::make_move_iterator(trees.problems.end()));
  return file;
}

}  // namespace rota::resource
