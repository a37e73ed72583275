#include "dataplane/observe/debug.h"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "common/duration.h"
#include "dataplane/observe/explain.h"
#include "dataplane/observe/rotation_json.h"
#include "dataplane/observe/table_view.h"
#include "nlohmann/json.hpp"

namespace rota::observe {
namespace {

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// {"snapshot":...,"apis":[...]} with one API at a time in memory as JSON.
template <typename Describe>
std::string WithApis(const table::RouteTable& table, const std::string& only, Json head,
                     Describe describe) {
  std::string text = Dump(head);
  text.pop_back();  // '}'
  text += ",\"apis\":[";
  bool first = true;
  for (const auto& api : table.apis()) {
    if (only.empty() || api->id == only) {
      text += first ? "\n" : ",\n";
      text += Dump(describe(*api));
      first = false;
    }
  }
  return text + "]}\n";
}

std::string_view PlaceName(table::Credential::Place place) {
  switch (place) {
    case table::Credential::Place::kNone:
      return "none";
    case table::Credential::Place::kHeader:
      return "header";
    case table::Credential::Place::kQuery:
      return "query";
    case table::Credential::Place::kAwsSignature:
      return "signature";
  }
  return "";
}

Json DescribeEndpoint(const table::Endpoint& endpoint) {
  Json json = {{"name", endpoint.name},
               {"url", WithoutSecrets(endpoint.url)},
               {"provider", endpoint.provider},
               {"credential",
                {{"in", PlaceName(endpoint.credential.place)}, {"name", endpoint.credential.name}}},
               {"credential_missing", endpoint.credential_missing},
               {"own_ca", !endpoint.ca_pem.empty()}};
  if (!endpoint.identity.empty()) {
    json["credential"]["identity"] = endpoint.identity;
  }
  if (endpoint.connect_timeout) {
    json["connect_timeout"] = FormatDuration(*endpoint.connect_timeout);
  }
  if (endpoint.first_byte_timeout) {
    json["first_byte_timeout"] = FormatDuration(*endpoint.first_byte_timeout);
  }
  return json;
}

Json DescribeRoute(const std::optional<table::Route>& route) {
  if (!route) {
    return nullptr;
  }
  Json json = Json::object();
  if (route->rotation != nullptr) {
    json["rotation"] = route->rotation->rotation->spec().id;
  }
  if (route->endpoint != nullptr) {
    json["first_endpoint"] = route->endpoint->name;
  }
  return json;
}

Json DescribeApi(const table::Api& api) {
  Json json = {{"id", api.id},
               {"base_path", api.base_path},
               {"version", api.version},
               {"paths", api.mounts}};
  if (!api.operations.empty() && api.operations.front().max_body_bytes > 0) {
    json["max_body_bytes"] = api.operations.front().max_body_bytes;  // of all of them
  }
  json["endpoints"] = Json::array();
  for (const auto& endpoint : api.endpoints) {
    json["endpoints"].push_back(DescribeEndpoint(*endpoint));
  }
  json["rotations"] = Json::array();
  for (const RotationView& view : RotationsOf(api)) {
    json["rotations"].push_back(DescribeBoundRotation(view));
  }
  json["operations"] = Json::array();
  for (const table::Operation& operation : api.operations) {
    json["operations"].push_back({{"verb", operation.verb},
                                  {"target", operation.target},
                                  {"secured", operation.secured},
                                  {"kind", rota::sync::v1::OperationKind_Name(operation.kind)},
                                  {"production", DescribeRoute(operation.production)},
                                  {"sandbox", DescribeRoute(operation.sandbox)}});
  }
  return json;
}

Json DescribeApiRotations(const table::Api& api, MonotonicTime now) {
  Json json = {{"id", api.id}, {"rotations", Json::array()}};
  for (const RotationView& view : RotationsOf(api)) {
    const rotation::RotationSpec& spec = view.rotation->rotation->spec();
    json["rotations"].push_back({{"id", spec.id},
                                 {"environment", table::EnvironmentName(view.environment)},
                                 {"targets", DescribeTargets(*view.rotation, now)}});
  }
  return json;
}

AdminResponse JsonPage(std::string body) { return {200, "application/json", std::move(body)}; }

AdminResponse NoSnapshot() {
  return {503, "application/json", "{\"error\":\"no snapshot yet\"}\n"};
}

std::string Parameter(const AdminRequest& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

std::string ApiParameter(const AdminRequest& request) { return Parameter(request, "api"); }

AdminResponse ExplainPage(const table::RouteTable& table, const AdminRequest& request,
                          MonotonicTime now) {
  ExplainQuery query;
  query.api = Parameter(request, "api");
  query.host = Parameter(request, "host");
  query.environment = Parameter(request, "environment");
  query.verb = Parameter(request, "verb");
  query.path = Parameter(request, "path");
  query.model = Parameter(request, "model");
  const Explanation explanation = Explain(table, query, now);
  return {explanation.status, "application/json", Dump(explanation.json) + "\n"};
}

AdminResponse LiftPage(rotation::Registry& registry, const AdminRequest& request,
                       MonotonicTime now) {
  const std::string target = Parameter(request, "target");
  if (target.empty()) {
    return {400, "application/json",
            "{\"error\":\"give ?target=ID; /debug/rotations shows the ids\"}\n"};
  }
  const std::vector<rotation::Suspension> active = registry.Active(now);
  const bool was_suspended = std::any_of(
      active.begin(), active.end(),
      [&target](const rotation::Suspension& suspension) { return suspension.target == target; });
  registry.Lift(target, now);
  return JsonPage(Dump({{"lifted", target}, {"was_suspended", was_suspended}}) + "\n");
}

}  // namespace

std::string DescribeConfig(const table::RouteTable& table, const std::string& api) {
  return WithApis(table, api,
                  {{"snapshot", SnapshotVersion(table)},
                   {"allow_local_upstreams", table.allow_local_upstreams()}},
                  DescribeApi);
}

std::string DescribeRotations(const table::RouteTable& table, const std::string& api,
                              MonotonicTime now) {
  return WithApis(table, api, {{"snapshot", SnapshotVersion(table)}},
                  [now](const table::Api& one) { return DescribeApiRotations(one, now); });
}

void AddDebugPages(AdminPages& pages, const Published<table::RouteTable>& table,
                   const Clock& clock) {
  pages.Add("GET", "/debug/config", [&table](const AdminRequest& request) {
    const std::shared_ptr<const table::RouteTable> current = table.Get();
    return current == nullptr ? NoSnapshot()
                              : JsonPage(DescribeConfig(*current, ApiParameter(request)));
  });
  pages.Add("GET", "/debug/rotations", [&table, &clock](const AdminRequest& request) {
    const std::shared_ptr<const table::RouteTable> current = table.Get();
    return current == nullptr
               ? NoSnapshot()
               : JsonPage(DescribeRotations(*current, ApiParameter(request), clock.Now()));
  });
  pages.Add("GET", "/debug/explain", [&table, &clock](const AdminRequest& request) {
    const std::shared_ptr<const table::RouteTable> current = table.Get();
    return current == nullptr ? NoSnapshot() : ExplainPage(*current, request, clock.Now());
  });
}

void AddLiftPage(AdminPages& pages, rotation::Registry& registry, const Clock& clock,
                 bool is_loopback) {
  pages.Add("POST", "/debug/lift",
            [&registry, &clock, is_loopback](const AdminRequest& request) -> AdminResponse {
              if (!is_loopback) {
                return {
                    403, "application/json",
                    "{\"error\":\"suspensions are lifted only where --admin is on loopback: this "
                    "port asks nobody who they are\"}\n"};
              }
              return LiftPage(registry, request, clock.Now());
            });
}

}  // namespace rota::observe
