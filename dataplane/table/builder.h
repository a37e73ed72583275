#pragma once

// Resources of the sync protocol -> RouteTable. Each resource is decoded and checked on its own: a
// bad one is rejected and the version in use before stays.

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "dataplane/rotation/registry.h"
#include "dataplane/table/identity.h"
#include "dataplane/table/route_table.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::table {

struct BuilderOptions {
  bool allow_unauthenticated = false;
  // Flags of the directory mode; they add to what the snapshot's Gateway says.
  std::vector<std::string> production_hosts;
  std::vector<std::string> sandbox_hosts;
  std::function<SeriesId(const SeriesLabels&)> intern_series;
  // An API uses that identity (identity.h); told again and again.
  std::function<void(const std::string& identity)> want_identity = nullptr;
};

// Resources as they travel: id, hash and serialised body. The builder keeps those of the APIs that
// are in use; never null.
using ResourceKey = std::pair<rota::sync::v1::Kind, std::string>;
using SharedResource = std::shared_ptr<const rota::sync::v1::Resource>;
using ResourceMap = std::map<ResourceKey, SharedResource>;
// Which resources may differ from those of the last build that was committed; absent: any.
using ChangedKeys = std::optional<std::set<ResourceKey>>;

struct BuildResult {
  std::shared_ptr<const RouteTable> table;
  std::vector<rota::sync::v1::Rejection> rejected;  // not in the table, kept_hash says what is
  std::vector<rota::sync::v1::Rejection> refused;   // in the table, but not served as asked
  // Of the gateway's listeners; absent: as in the table in use.
  std::optional<std::vector<ServerCertificate>> certificates;
  std::set<std::string>
      changed_credentials;  // target ids whose suspensions end: another credential than before
};

// Single-thread (the thread that applies transactions). Remembers decoded resources by hash, so
// that an unchanged API costs nothing to decode again.
class Builder {
 public:
  Builder(BuilderOptions options, rotation::Registry& registry);
  ~Builder();
  // The table of `wanted`, with the version that is in use of each resource that is rejected. Does
  // not touch the one in use; calls registry.Resolve for each rotation that is new or changed. When
  // only APIs have changed the others are not looked at.
  BuildResult Build(const ResourceMap& wanted, const std::string& snapshot_hash,
                    const ChangedKeys& changed = std::nullopt);
  // The table in use with another content, or none, of the identity `name`; the rest stays. For
  // Commit, as that of Build.
  BuildResult BuildWithIdentity(const std::string& name, const Identity& identity);
  // To be called once the result has been published: lets the registry forget what is gone. Returns
  // the metric series that nothing uses any more.
  std::vector<SeriesId> Commit(const BuildResult& result);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rota::table
