#pragma once

// The immutable route table that requests are served from: host, path and verb to one operation of
// one API in one environment, with everything that the request path needs resolved (rotation,
// endpoint, credential). Built off the request path, published as a whole, kept by each request to
// its end.
//
// Pure. Thread-safe: const after construction.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "dataplane/provider/defaults.h"
#include "dataplane/rotation/rotation.h"
#include "dataplane/table/api_list.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/host_rules.h"
#include "dataplane/table/mount_index.h"
#include "dataplane/table/operation_index.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::table {

enum class Environment : uint8_t { kProduction, kSandbox };
// "production", "sandbox".
std::string_view EnvironmentName(Environment environment);

// Label values of one metric series: from configuration only.
struct SeriesLabels {
  std::string api;          // "<namespace>/<name>"
  std::string environment;  // "production"
  std::string model;        // "" without a rotation
  std::string target;       // Endpoint.name
  friend auto operator<=>(const SeriesLabels&, const SeriesLabels&) = default;
};
using SeriesId = uint32_t;

// What a listener of the gateway answers HTTPS with.
struct ServerCertificate {
  std::string listener;  // unique
  std::string hostname;  // a name, "*.suffix" or "" for every other name
  uint64_t version = 0;  // of the Secret; 0: it is not there
  std::string chain;     // PEM
  SecretString key;      // PEM
};

// A model that a client may choose itself at a target that has another one.
struct AllowedModel {
  std::string model;
  std::string model_json;
};

struct Target {
  std::string model;
  std::string model_json;  // as a JSON string with its quotes: "\"gpt-4o\""
  const Endpoint* endpoint = nullptr;
  SeriesId series = 0;
  std::vector<provider::DefaultMember> defaults;  // that requests get when they lack them
  std::vector<AllowedModel> allowed_models;
};

enum class OnAllSuspended : uint8_t { kReject, kWait, kPassThrough };

// Here and below: what every request looks at stands first, close together. With thousands of APIs
// each line of memory that a request touches has to come from afar.
struct BoundRotation {
  std::shared_ptr<rotation::Rotation> rotation;
  std::vector<Target> targets;  // same indexes as rotation->spec().targets
  OnAllSuspended on_all_suspended = OnAllSuspended::kReject;
  bool retry_non_idempotent = false;
  uint32_t attempts = 1;
  Duration quota_suspension{};  // 0: never suspended on quota
  Duration max_suspension{};
  Duration failure_suspension{};
  Duration wait_timeout{};
};

struct Api;

struct Route {
  const Api* api = nullptr;
  const BoundRotation* rotation = nullptr;  // null: everything goes to `endpoint`
  const Endpoint* endpoint = nullptr;       // the environment's first endpoint
  SeriesId endpoint_series = 0;             // series of requests to `endpoint` without a pick
  SeriesId gateway_series =
      0;  // series of answers that the gateway makes itself (model "", target "")
  // Targets that this operation's requests are never sent to: those of other providers than the one
  // whose own form it has, those that cannot do it at all.
  rotation::TargetSet excluded{};
};

struct Operation {
  bool secured = true;
  rota::sync::v1::OperationKind kind = rota::sync::v1::PASSTHROUGH;
  uint64_t max_body_bytes = 0;  // of a request; 0: what the data plane takes
  // Where upstreams in OpenAI's form have it, when its target says something else: "" as it came.
  std::string_view own_path;
  std::optional<Route> production;
  std::optional<Route> sandbox;
  std::string verb;
  std::string target;
};

struct ApiOrigin;

struct Api {
  std::vector<Operation> operations;
  std::shared_ptr<const OperationIndex> index;  // APIs with the same operations share it
  std::string id;                               // "<namespace>/<name>"
  std::string base_path;
  std::string version;
  std::vector<std::shared_ptr<const Endpoint>> endpoints;  // see EndpointPool
  std::vector<std::unique_ptr<BoundRotation>> rotations;
  // Paths that requests begin with, most binding first: "<basePath>/<version>", "<basePath>" of the
  // default version, "<basePath>/v1" of version "v1.2" (only where no other API has the path).
  std::vector<std::string> mounts;
  std::optional<std::string> major_mount;
  uint64_t minor_version = 0;               // of `major_mount`: the largest one gets it
  std::shared_ptr<const ApiOrigin> origin;  // what the builder has made it from (api_decoder.h)
};

enum class MatchStatus : uint8_t {
  kOk,
  kNotFound,          // no API or operation of that path: 404
  kMethodNotAllowed,  // 405 with `allow`
  kNoEnvironment,     // the API has nothing for that environment: 404
  kBadPath,           // dot segments that climb out, encoded slash, control bytes: 400
};

struct Match {
  MatchStatus status = MatchStatus::kNotFound;
  Environment environment = Environment::kProduction;
  const Api* api = nullptr;              // also set for 405 and kNoEnvironment
  const Operation* operation = nullptr;  // kOk
  const Route* route = nullptr;          // kOk
  // kOk: the operation's path as the upstream gets it after the endpoint's base path, query not
  // included
  // ("/chat/completions").
  std::string upstream_path;
  std::string allow;  // 405: "GET, POST"
};

class RouteTable {
 public:
  struct Options {
    HostRules hosts;
    std::string snapshot_hash;  // 32 bytes, "" for the empty table
    bool allow_local_upstreams = false;
  };
  // The empty table: nothing matches.
  RouteTable() = default;
  // `before` (the table in use) with other options and the changes. APIs that have not changed are
  // shared, and cost next to nothing.
  RouteTable(Options options, const RouteTable& before, const ApiChanges& changes);
  RouteTable(const RouteTable&) = delete;  // the index points into the APIs
  RouteTable& operator=(const RouteTable&) = delete;

  // `host` as in the Host header (a port is ignored); `path` without the query.
  Match Find(std::string_view host, std::string_view method, std::string_view path) const;
  Environment EnvironmentOf(std::string_view host) const {
    return options_.hosts.IsSandbox(host) ? Environment::kSandbox : Environment::kProduction;
  }
  const HostRules& hosts() const { return options_.hosts; }
  const ApiList& apis() const { return apis_; }
  std::vector<Collision> Collisions() const { return mounts_.Collisions(); }
  const std::string& snapshot_hash() const { return options_.snapshot_hash; }
  bool allow_local_upstreams() const { return options_.allow_local_upstreams; }
  // Counts the tables that were made one from the other; 0 for the empty one.
  uint64_t generation() const { return generation_; }

 private:
  const Api* FindApi(std::string_view path, std::string_view& mount) const;

  Options options_;
  ApiList apis_;
  MountIndex mounts_;
  uint64_t generation_ = 0;
};

}  // namespace rota::table
