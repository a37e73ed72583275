#include "cli/import/kong.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/import/api_builder.h"
#include "cli/import/kong_plugin.h"
#include "cli/import/secret_book.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

// What lets only some callers in.
constexpr std::array<std::string_view, 17> kAuthentication = {"acl",
                                                              "basic-auth",
                                                              "header-cert-auth",
                                                              "hmac-auth",
                                                              "ip-restriction",
                                                              "jwt",
                                                              "jwt-signer",
                                                              "key-auth",
                                                              "key-auth-enc",
                                                              "ldap-auth",
                                                              "ldap-auth-advanced",
                                                              "mtls-auth",
                                                              "oauth2",
                                                              "oauth2-introspection",
                                                              "openid-connect",
                                                              "saml",
                                                              "session"};

bool IsAuthentication(const std::string& plugin) {
  return std::find(kAuthentication.begin(), kAuthentication.end(), plugin) != kAuthentication.end();
}

struct Plugin {
  std::string name;
  const Json* value = nullptr;
  Place place;
};

// By name: of one scope there is one of each (the first counts).
using Plugins = std::map<std::string, Plugin>;

struct Service {
  Place place;
  Plugins plugins;
};

struct Route {
  const Json* value = nullptr;
  Place place;
  std::string service;
  Plugins plugins;
};

// `service: name` or `service: {name: ...}`.
std::string ReferenceIn(Fields& fields, const std::string& key) {
  const Json* const value = fields.Find(key);
  if (value == nullptr) {
    return "";
  }
  if (value->is_string()) {
    return value->get<std::string>();
  }
  Fields reference(*value, fields.At(key), fields.report());
  reference.Bookkeeping({"id"});
  const std::string name = reference.Text("name").value_or("");
  reference.Finish();
  return name;
}

class KongImporter {
 public:
  explicit KongImporter(Imported& out) : out_(out), secrets_(out.secrets) {}

  void Read(const SourceDocument& document) {
    Fields file(document.root, {&document}, out_.report);
    for (const Fields::Item& item : file.List("services")) {
      ReadService(item);
    }
    for (const Fields::Item& item : file.List("routes")) {
      ReadRoute(item, "");
    }
    ReadPlugins(file, nullptr);
    file.Bookkeeping(
        {"_format_version", "_info", "_konnect", "_transform", "_comment", "_workspace"});
    file.NoEqual({"consumers", "consumer_groups", "consumer_group_plugins"},
                 "Rota does not tell callers apart yet");
    file.NoEqual({"upstreams", "certificates", "ca_certificates", "snis", "vaults", "keys",
                  "key_sets", "partials", "custom_plugins", "rbac_roles", "licenses",
                  "filter_chains", "_plugin_configs"},
                 "nothing of it is imported");
    file.Finish();
  }

  void Import() {
    SettlePending();
    for (Route& route : routes_) {
      ImportRoute(route);
    }
    for (const auto& [name, plugin] : global_) {
      if (!used_.contains(plugin.value)) {
        out_.report.NoEqual(plugin.place, "no route that is imported uses the plugin");
      }
    }
    if (out_.apis.empty() && !out_.report.has_errors()) {
      out_.report.Error({},
                        "the files hold no route with the plugin ai-proxy or ai-proxy-advanced");
    }
  }

 private:
  void ReadService(const Fields::Item& item) {
    Fields service(*item.value, item.place, out_.report);
    const std::string name = service.Text("name").value_or(item.place.ToString());
    Service& entry = services_[name];
    entry.place = item.place;
    ReadPlugins(service, &entry.plugins);
    for (const Fields::Item& route : service.List("routes")) {
      ReadRoute(route, name);
    }
    service.Bookkeeping({"id", "tags", "created_at", "updated_at", "enabled"});
    service.NoEqual({"host", "port", "path", "protocol", "url"},
                    "a placeholder: the AI plugin says where requests go");
    service.NoEqual({"retries", "connect_timeout", "read_timeout", "write_timeout"},
                    "of the service; the plugin's balancer says what holds for models");
    service.NoEqual(
        {"ca_certificates", "client_certificate", "tls_verify", "tls_verify_depth", "tls_sans"},
        "of the service's own host, which the plugin replaces");
    service.Finish();
  }

  void ReadRoute(const Fields::Item& item, const std::string& service) {
    Fields route(*item.value, item.place, out_.report);
    Route entry;
    entry.value = item.value;
    entry.place = item.place;
    entry.service = service.empty() ? ReferenceIn(route, "service") : service;
    ReadPlugins(route, &entry.plugins);
    routes_.push_back(std::move(entry));
  }

  // The plugins in a file (`own` null: each says what it belongs to), a service or a route.
  void ReadPlugins(Fields& parent, Plugins* own) {
    for (const Fields::Item& item : parent.List("plugins")) {
      Fields fields(*item.value, item.place, out_.report);
      Plugin plugin{fields.Text("name").value_or(""), item.value, item.place};
      if (!fields.Bool("enabled").value_or(true)) {
        out_.report.NoEqual(item.place,
                            absl::StrCat("the plugin ", Quoted(plugin.name), " is switched off"));
        continue;
      }
      if (own != nullptr) {
        own->try_emplace(plugin.name, std::move(plugin));
        continue;
      }
      const std::string route = ReferenceIn(fields, "route");
      const std::string service = ReferenceIn(fields, "service");
      if (fields.Has("consumer") || fields.Has("consumer_group")) {
        out_.report.NoEqual(item.place,
                            "holds for some consumers only; Rota does not tell callers "
                            "apart yet");
      } else if (route.empty() && service.empty()) {
        global_.try_emplace(plugin.name, std::move(plugin));
      } else {
        pending_.push_back({route, service, std::move(plugin)});
      }
    }
  }

  // Plugins at the top of a file may name routes and services of another file.
  void SettlePending() {
    for (Pending& pending : pending_) {
      bool is_known = false;
      for (Route& route : routes_) {
        if (!pending.route.empty() && NameOf(route) == pending.route) {
          route.plugins.try_emplace(pending.plugin.name, pending.plugin);
          is_known = true;
        }
      }
      const auto service = services_.find(pending.service);
      if (pending.route.empty() && service != services_.end()) {
        service->second.plugins.try_emplace(pending.plugin.name, pending.plugin);
        is_known = true;
      }
      if (!is_known) {
        out_.report.Error(pending.plugin.place, "names a route or service that is in no file");
      }
    }
  }

  static std::string NameOf(const Route& route) {
    const auto name = route.value->find("name");  // end() of what is no map
    return name != route.value->end() && name->is_string() ? name->get<std::string>() : "";
  }

  // The route's own come first, then its service's, then those of everything.
  Plugins Effective(const Route& route) {
    Plugins plugins = route.plugins;
    const auto service = services_.find(route.service);
    if (service != services_.end()) {
      plugins.insert(service->second.plugins.begin(), service->second.plugins.end());
    }
    plugins.insert(global_.begin(), global_.end());
    return plugins;
  }

  void ImportRoute(const Route& route) {
    Plugins plugins = Effective(route);
    for (const auto& [name, plugin] : plugins) {
      used_.insert(plugin.value);
    }
    const auto advanced = plugins.find("ai-proxy-advanced");
    const auto plain = plugins.find("ai-proxy");
    if (advanced == plugins.end() && plain == plugins.end()) {
      out_.report.NoEqual(route.place,
                          "a route without an AI plugin; only routes to models are "
                          "imported");
      return;
    }
    const Plugin ai = advanced != plugins.end() ? advanced->second : plain->second;
    plugins.erase(ai.name);
    const bool is_secured = ReportOthers(plugins);
    Fields fields(*route.value, route.place, out_.report);
    for (const Fields::Item& path : ReadPaths(fields)) {
      ImportPath(route, path, ai, is_secured);
    }
    FinishRoute(fields);
  }

  // Says what is lost with each of the other plugins. True when one of them lets only some in.
  bool ReportOthers(const Plugins& plugins) {
    bool is_secured = false;
    for (const auto& [name, plugin] : plugins) {
      if (IsAuthentication(name)) {
        is_secured = true;
        out_.report.NoEqual(
            plugin.place, absl::StrCat("the plugin ", Quoted(name),
                                       ": callers are not checked yet, so data planes refuse the "
                                       "operations unless they run with --allow-unauthenticated"));
      } else {
        out_.report.NoEqual(plugin.place, absl::StrCat("the plugin ", Quoted(name),
                                                       ": what it checks, limits or changes is not "
                                                       "checked, limited or changed here"));
      }
    }
    return is_secured;
  }

  std::vector<Fields::Item> ReadPaths(Fields& route) {
    std::vector<Fields::Item> paths;
    for (const Fields::Item& item : route.List("paths")) {
      const bool is_text = item.value->is_string();
      const std::string path = is_text ? item.value->get<std::string>() : "";
      if (!is_text || path.empty() || path.front() != '/') {
        out_.report.Error(item.place, path.starts_with('~')
                                          ? "a regular expression; write the plain path"
                                          : "must be a path such as /chat");
      } else {
        paths.push_back(item);
      }
    }
    if (!route.Has("paths")) {
      out_.report.Error(route.place(), "has no paths: Rota tells APIs apart by their path");
    }
    const std::vector<std::string> methods = route.Texts("methods");
    if (!methods.empty() && std::find(methods.begin(), methods.end(), "POST") == methods.end()) {
      out_.report.Error(route.At("methods"),
                        "POST is not among them, and models are asked by POST");
      paths.clear();
    }
    return paths;
  }

  void FinishRoute(Fields& route) {
    route.Find("name");
    route.Find("service");
    route.Find("plugins");
    route.NoEqual({"hosts", "headers", "snis", "sources", "destinations", "expression"},
                  "Rota looks at the path only: requests that the route would not have taken are "
                  "answered too");
    route.NoEqual({"protocols", "https_redirect_status_code"},
                  "the data plane's listeners say what is served");
    route.Bookkeeping({"id", "tags", "created_at", "updated_at", "strip_path", "preserve_host",
                       "regex_priority", "priority", "path_handling", "request_buffering",
                       "response_buffering"});
    route.Finish();
  }

  // The plugin's config, when it is a list, is its items together.
  const Json* ConfigOf(Fields& plugin) {
    const Json* const config = plugin.Find("config");
    if (config == nullptr || !config->is_array()) {
      return config;
    }
    Json together = Json::object();
    for (const Fields::Item& item : plugin.List("config")) {
      if (!item.value->is_object()) {
        out_.report.Error(item.place, "must be a map of keys and values");
        continue;
      }
      for (const auto& [key, value] : item.value->items()) {
        if (!together.emplace(key, value).second) {
          out_.report.Error(item.place.Key(key), "is there twice; the first counts");
        }
      }
    }
    return &merged_.emplace_back(std::move(together));
  }

  void ImportPath(const Route& route, const Fields::Item& path, const Plugin& ai, bool is_secured) {
    const auto base_path = path.value->get<std::string>();
    const std::string wished = NameOf(route);
    const std::string name = UniqueName(
        NameFrom(wished.empty() ? base_path : wished, "api"), [this](const std::string& candidate) {
          return std::any_of(out_.apis.begin(), out_.apis.end(),
                             [&](const ImportedApi& a) { return a.name == candidate; });
        });
    Fields plugin(*ai.value, ai.place, out_.report);
    const Json* const config = ConfigOf(plugin);
    if (config == nullptr) {
      out_.report.Error(plugin.At("config"), "is missing");
      return;
    }
    for (const char* const known : {"name", "enabled", "route", "service"}) {
      plugin.Find(known);
    }
    plugin.Bookkeeping(
        {"id", "instance_name", "tags", "protocols", "created_at", "updated_at", "ordering"});
    plugin.Finish();
    ApiBuilder builder(name, base_path, "v1");
    Fields fields(*config, plugin.At("config"), out_.report);
    const std::optional<std::string> kind = ImportKongPlugin(
        fields, ai.name == "ai-proxy-advanced", {name, secrets_, builder, out_.report});
    if (!kind) {
      return;
    }
    const std::string below = *kind == "chat" ? "/chat/completions" : absl::StrCat("/", *kind);
    builder.AddOperation("/", *kind, is_secured);
    builder.AddOperation(below, *kind, is_secured);
    out_.apis.push_back(builder.Build());
    if (!is_secured) {
      out_.report.Mapped(route.place,
                         "no plugin of the route asks who calls, so its operations are "
                         "open here too (secured: false)");
    }
    out_.report.Mapped(path.place,
                       absl::StrCat("API ", name, ": POST ", base_path, ", and ", base_path, below,
                                    " for OpenAI's clients; other paths below it are a 404 here"));
  }

  struct Pending {
    std::string route;
    std::string service;
    Plugin plugin;
  };

  Imported& out_;
  SecretBook secrets_;
  std::map<std::string, Service> services_;
  std::deque<Route> routes_;
  Plugins global_;
  std::vector<Pending> pending_;
  std::set<const Json*> used_;
  std::deque<Json> merged_;  // configs that were lists
};

}  // namespace

Imported ImportKong(const std::vector<SourceDocument>& documents) {
  Imported out;
  KongImporter importer(out);
  for (const SourceDocument& document : documents) {
    importer.Read(document);
  }
  importer.Import();
  KeepUsedSecrets(out);
  return out;
}

}  // namespace rota::importer
