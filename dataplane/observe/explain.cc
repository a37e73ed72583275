#include "dataplane/observe/explain.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/duration.h"
#include "dataplane/observe/rotation_json.h"
#include "dataplane/observe/table_view.h"

namespace rota::observe {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kUpcoming = 8;

// What was asked, with everything that was left open.
struct DryRun {
  const table::Api* api = nullptr;  // that was named
  std::string host;
  std::string host_because;
  std::string verb;
  std::string path;
};

Explanation Senseless(int status, std::string message) {
  return {status, {{"error", std::move(message)}}};
}

bool HasName(const table::Api& api, const std::string& name) {
  return api.id == name || (name.find('/') == std::string::npos && api.id.ends_with("/" + name));
}

// The API of that name, or why there is none.
std::optional<Explanation> FindApi(const table::RouteTable& table, const std::string& name,
                                   const table::Api*& found) {
  const table::Api* similar = nullptr;
  for (const auto& api : table.apis()) {
    if (api->id.find(name) != std::string::npos) {
      similar = api.get();
    }
    if (!HasName(*api, name)) {
      continue;
    }
    if (found != nullptr) {
      return Senseless(400, absl::StrCat("more than one API is called '", name, "' (", found->id,
                                         ", ", api->id, "): name its namespace too"));
    }
    found = api.get();
  }
  if (found != nullptr) {
    return std::nullopt;
  }
  return Senseless(
      404, absl::StrCat("this data plane serves no API '", name, "'",
                        similar == nullptr ? "; /debug/config lists those that it serves"
                                           : absl::StrCat("; did you mean ", similar->id, "?")));
}

std::optional<Explanation> ChooseHost(const table::RouteTable& table, const ExplainQuery& query,
                                      DryRun& run) {
  if (query.environment != "" && query.environment != "production" &&
      query.environment != "sandbox") {
    return Senseless(400, absl::StrCat("environment '", query.environment,
                                       "' is neither production nor sandbox"));
  }
  const bool wants_sandbox = query.environment == "sandbox";
  if (!query.host.empty()) {
    run.host = query.host;
  } else if (std::optional<std::string> host = table.hosts().ExampleOf(wants_sandbox)) {
    run.host = *std::move(host);
  } else {
    return Senseless(404, absl::StrCat("no host means ", wants_sandbox ? "sandbox" : "production",
                                       " on this gateway: see its host patterns"));
  }
  run.host_because = table.hosts().Explain(run.host).because;
  return std::nullopt;
}

const std::optional<table::Route>& RouteOf(const table::Operation& operation,
                                           table::Environment environment) {
  return environment == table::Environment::kSandbox ? operation.sandbox : operation.production;
}

// The operation that is meant when no path is given.
const table::Operation* DefaultOperation(const table::Api& api, const std::string& verb,
                                         table::Environment environment) {
  const table::Operation* chosen = nullptr;
  for (const table::Operation& operation : api.operations) {
    if (!verb.empty() && operation.verb != verb) {
      continue;
    }
    const std::optional<table::Route>& route = RouteOf(operation, environment);
    if (route.has_value() && route->rotation != nullptr) {
      return &operation;
    }
    chosen = chosen == nullptr ? &operation : chosen;
  }
  return chosen;
}

// `path` as it was given: whole, or behind the API's own.
std::string WholePath(const table::RouteTable& table, const DryRun& run, const std::string& path) {
  const std::vector<std::string>& mounts = run.api->mounts;
  const auto is_below = [&path](const std::string& mount) {
    return path == mount || path.starts_with(mount + "/");
  };
  std::string behind = absl::StrCat(mounts.front(), path.starts_with('/') ? "" : "/", path);
  const bool is_operation =
      table.Find(run.host, run.verb, behind).status != table::MatchStatus::kNotFound;
  // "/chat/completions" of the API /chat may be either.
  const bool is_whole = is_below(mounts.front()) ||
                        (!is_operation && std::any_of(mounts.begin(), mounts.end(), is_below));
  return is_whole ? path : behind;
}

std::optional<Explanation> ChoosePath(const table::RouteTable& table, const ExplainQuery& query,
                                      DryRun& run) {
  run.verb = query.verb;
  run.path = query.path;
  if (run.api == nullptr && run.path.empty()) {
    return Senseless(400, "give an API, or a path (?api=NAMESPACE/NAME or ?path=/base/1.0/...)");
  }
  if (run.api != nullptr && run.api->mounts.empty()) {
    return Senseless(404, absl::StrCat(run.api->id, " has no path of its own here"));
  }
  if (run.path.empty()) {
    const table::Operation* const operation =
        DefaultOperation(*run.api, run.verb, table.EnvironmentOf(run.host));
    if (operation == nullptr) {
      return Senseless(404, absl::StrCat(run.api->id, " has no operation with the verb ",
                                         run.verb.empty() ? "POST" : run.verb));
    }
    run.verb = operation->verb;
    run.path = run.api->mounts.front() + operation->target;
    if (run.path.ends_with("/*")) {
      run.path.resize(run.path.size() - 2);
    }
    return std::nullopt;
  }
  if (run.verb.empty()) {
    run.verb = "POST";
  }
  if (run.api != nullptr) {
    run.path = WholePath(table, run, run.path);
  }
  return std::nullopt;
}

void Answer(Json& json, int status, std::string because) {
  json["answer"] = status;
  json["because"] = std::move(because);
}

// What of a rotation would be picked, and what of `model`.
void ExplainRotation(const table::Match& match, const std::string& model, MonotonicTime now,
                     Json& json) {
  const table::BoundRotation& bound = *match.route->rotation;
  json["rotation"] = DescribeBoundRotation({&bound, match.environment});
  Json targets = DescribeTargets(bound, now);
  Json next = Json::array();
  for (const size_t target : bound.rotation->Upcoming(now, kUpcoming)) {
    next.push_back({{"model", targets[target]["model"]}, {"target", targets[target]["target"]}});
  }
  std::optional<double> first_return;
  bool has_model = model.empty();
  double share = 0;
  for (const Json& target : targets) {
    if (const Json& suspension = target["suspension"]; !suspension.is_null()) {
      const auto remaining = suspension["remaining_seconds"].get<double>();
      first_return = std::min(first_return.value_or(remaining), remaining);
    }
    if (!model.empty() && target["model"] == model) {
      has_model = true;
      share += target["share"].get<double>();
    }
  }
  if (!model.empty()) {
    json["model"] = {{"name", model}, {"configured", has_model}, {"share", share}};
  }
  if (next.empty()) {
    const std::string_view action = OnAllSuspendedName(bound.on_all_suspended);
    Answer(json, bound.on_all_suspended == table::OnAllSuspended::kPassThrough ? 0 : 429,
           absl::StrCat("no target is eligible; onAllSuspended is ",
                        absl::string_view(action.data(), action.size())));
  }
  json["rotation"]["first_return_seconds"] = first_return ? Json(*first_return) : Json(nullptr);
  json["rotation"]["targets"] = std::move(targets);
  json["rotation"]["next"] = std::move(next);
}

void ExplainRoute(const table::Match& match, const std::string& model, MonotonicTime now,
                  Json& json) {
  json["operation"] = {{"verb", match.operation->verb},
                       {"target", match.operation->target},
                       {"secured", match.operation->secured},
                       {"kind", rota::sync::v1::OperationKind_Name(match.operation->kind)}};
  if (match.route->rotation != nullptr) {
    Answer(json, 0, "the rotation picks a target, whatever model the request names");
    ExplainRotation(match, model, now, json);
  } else if (match.route->endpoint != nullptr) {
    const table::Endpoint& endpoint = *match.route->endpoint;
    Answer(json, endpoint.credential_missing ? 503 : 0,
           endpoint.credential_missing
               ? "the credential of the environment's first endpoint is missing"
               : "no rotation applies: it goes to the environment's first endpoint");
  } else {
    Answer(json, 404, "the environment has no endpoint");
  }
  if (match.route->endpoint != nullptr) {
    json["first_endpoint"] = {{"name", match.route->endpoint->name},
                              {"url", WithoutSecrets(match.route->endpoint->url)}};
  }
  json["upstream_path"] = match.upstream_path;
}

void ExplainMatch(const table::Match& match, Json& json) {
  switch (match.status) {
    case table::MatchStatus::kOk:
      return;
    case table::MatchStatus::kNotFound:
      return Answer(json, 404,
                    match.api == nullptr ? "no API has that path"
                                         : "the API declares no operation of that path");
    case table::MatchStatus::kMethodNotAllowed:
      return Answer(json, 405, absl::StrCat("the path is declared for ", match.allow, " only"));
    case table::MatchStatus::kNoEnvironment:
      return Answer(json, 404,
                    absl::StrCat("the API has nothing for ",
                                 match.environment == table::Environment::kSandbox ? "sandbox"
                                                                                   : "production"));
    case table::MatchStatus::kBadPath:
      return Answer(json, 400, "the path climbs out of the API, or holds what a path must not");
  }
}

}  // namespace

Explanation Explain(const table::RouteTable& table, const ExplainQuery& query, MonotonicTime now) {
  DryRun run;
  std::optional<Explanation> senseless;
  if (!query.api.empty()) {
    senseless = FindApi(table, query.api, run.api);
  }
  if (!senseless) {
    senseless = ChooseHost(table, query, run);
  }
  if (!senseless) {
    senseless = ChoosePath(table, query, run);
  }
  if (senseless) {
    return *std::move(senseless);
  }
  const table::Match match = table.Find(run.host, run.verb, run.path);
  const std::string_view environment = table::EnvironmentName(match.environment);
  Json json = {{"snapshot", SnapshotVersion(table)},
               {"request", {{"host", run.host}, {"verb", run.verb}, {"path", run.path}}},
               {"environment", environment},
               {"environment_because", run.host_because},
               {"api", match.api == nullptr ? Json(nullptr) : Json(match.api->id)}};
  if (!query.environment.empty() && query.environment != environment) {
    return Senseless(400, absl::StrCat("the host ", run.host, " does not mean ", query.environment,
                                       " (", run.host_because, "): leave one of them out"));
  }
  if (run.api != nullptr && match.api != nullptr && match.api != run.api) {
    json["note"] = absl::StrCat("the path belongs to ", match.api->id,
                                ", which is older or has the longer path, not to ", run.api->id);
  }
  if (match.status == table::MatchStatus::kOk) {
    ExplainRoute(match, query.model, now, json);
  } else {
    ExplainMatch(match, json);
  }
  return {200, std::move(json)};
}

}  // namespace rota::observe
