#include "dataplane/observe/debug.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/duration.h"
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
  }
  return "";
}

std::string_view OnAllSuspendedName(table::OnAllSuspended value) {
  switch (value) {
    case table::OnAllSuspended::kReject:
      return "Reject";
    case table::OnAllSuspended::kWait:
      return "Wait";
    case table::OnAllSuspended::kPassThrough:
      return "PassThrough";
  }
  return "";
}

// A URL with a user or a query is refused long before; here neither would be shown.
std::string WithoutSecrets(const std::string& url) {
  std::string text = url.substr(0, url.find_first_of("?#"));
  const size_t authority = text.find("://");
  const size_t start = authority == std::string::npos ? 0 : authority + 3;
  const size_t at = text.substr(0, text.find('/', start)).rfind('@');
  if (at != std::string::npos && at >= start) {
    text.erase(start, at + 1 - start);
  }
  return text;
}

Json DescribeEndpoint(const table::Endpoint& endpoint) {
  Json json = {{"name", endpoint.name},
               {"url", WithoutSecrets(endpoint.url)},
               {"provider", endpoint.provider},
               {"credential",
                {{"in", PlaceName(endpoint.credential.place)}, {"name", endpoint.credential.name}}},
               {"credential_missing", endpoint.credential_missing},
               {"own_ca", !endpoint.ca_pem.empty()}};
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

Json DescribeBoundRotation(const RotationView& view) {
  const table::BoundRotation& rotation = *view.rotation;
  const rotation::RotationSpec& spec = rotation.rotation->spec();
  return {{"id", spec.id},
          {"environment", table::EnvironmentName(view.environment)},
          {"quota_suspension", FormatDuration(rotation.quota_suspension)},
          {"max_suspension", FormatDuration(rotation.max_suspension)},
          {"failure_threshold", spec.failure_threshold},
          {"failure_suspension", FormatDuration(rotation.failure_suspension)},
          {"on_all_suspended", OnAllSuspendedName(rotation.on_all_suspended)},
          {"wait_timeout", FormatDuration(rotation.wait_timeout)},
          {"attempts", rotation.attempts},
          {"retry_non_idempotent", rotation.retry_non_idempotent}};
}

Json DescribeApi(const table::Api& api) {
  Json json = {{"id", api.id},
               {"base_path", api.base_path},
               {"version", api.version},
               {"paths", api.mounts}};
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

Json DescribeTarget(const table::Target& target, const rotation::TargetSpec& spec,
                    const rotation::Rotation::TargetState& state, MonotonicTime now) {
  const bool suspended = state.suspension && state.suspension->until > now;
  Json json = {{"id", spec.id},
               {"model", target.model},
               {"target", target.endpoint == nullptr ? "" : target.endpoint->name},
               {"weight", spec.weight},
               {"tier", spec.tier},
               {"credential_missing", !spec.usable},
               {"eligible", !suspended && spec.usable && spec.weight > 0},
               {"first_picks", state.first_picks},
               {"consecutive_failures", state.consecutive_failures},
               {"suspension", nullptr}};
  if (suspended) {
    json["suspension"] = {
        {"reason", rotation::ReasonName(state.suspension->reason)},
        {"remaining_seconds", std::chrono::duration<double>(state.suspension->until - now).count()},
        {"seen_by", state.suspension->origin}};
  }
  return json;
}

Json DescribeApiRotations(const table::Api& api, MonotonicTime now) {
  Json json = {{"id", api.id}, {"rotations", Json::array()}};
  for (const RotationView& view : RotationsOf(api)) {
    const rotation::RotationSpec& spec = view.rotation->rotation->spec();
    const std::vector<rotation::Rotation::TargetState> states =
        view.rotation->rotation->Inspect(now);
    Json targets = Json::array();
    for (size_t i = 0;
         i < std::min({states.size(), spec.targets.size(), view.rotation->targets.size()}); ++i) {
      targets.push_back(DescribeTarget(view.rotation->targets[i], spec.targets[i], states[i], now));
    }
    json["rotations"].push_back({{"id", spec.id},
                                 {"environment", table::EnvironmentName(view.environment)},
                                 {"targets", std::move(targets)}});
  }
  return json;
}

AdminResponse JsonPage(std::string body) { return {200, "application/json", std::move(body)}; }

AdminResponse NoSnapshot() {
  return {503, "application/json", "{\"error\":\"no snapshot yet\"}\n"};
}

std::string ApiParameter(const AdminRequest& request) {
  const auto found = request.query.find("api");
  return found == request.query.end() ? "" : found->second;
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
}

}  // namespace rota::observe
