#pragma once

// The thread between a source and what is served: takes objects in as they come, builds at once on
// the first change, coalesces what comes meanwhile, publishes snapshots, tells the source which
// Secrets are needed and the sinks what became of each API. Nothing is published before the source
// has told all APIs and all Secrets that existed at the start, and when most APIs vanish at once
// they are served on until the source has looked again (removal_brake.h).
//
// Thread-safe. The queue holds one entry per object, so that it is bounded by the objects that
// exist.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "common/clock.h"
#include "controller/compile/assemble.h"
#include "controller/compile/snapshot.h"
#include "controller/reconcile/gateway_status.h"
#include "controller/reconcile/removal_brake.h"
#include "controller/reconcile/status_sink.h"
#include "controller/reconcile/status_tracker.h"
#include "controller/reconcile/world.h"
#include "controller/source/source.h"

namespace rota::reconcile {

// Everything must outlive the reconciler.
struct ReconcilerOptions {
  compile::GatewaySettings gateway;  // that is there without any RotaGateway
  Clock* clock = nullptr;
  // Called on the reconciler's thread; must not block. A gateway's new snapshot, and that a gateway
  // is gone. Never null.
  std::function<void(const std::string& gateway, SnapshotPtr)> publish;
  std::function<void(const std::string& gateway)> withdraw;
  // What the data planes say now; see FleetChanged(). May be null: no data plane ever.
  std::function<FleetViews()> fleet;
  std::vector<StatusSink*> sinks;
};

// For /readyz, /debug and metrics.
struct ReconcilerStats {
  bool published = false;  // the first snapshot is out
  size_t apis = 0;
  size_t gateways = 0;  // that are served
  size_t secrets = 0;
  uint64_t builds = 0;
  uint64_t snapshots = 0;      // that were new, of all gateways
  uint64_t compiles = 0;       // APIs that were decoded and compiled
  Duration last_build{};       // from news to the snapshots, before they are handed on
  size_t held_removals = 0;    // APIs that are gone and still served
  uint64_t removal_holds = 0;  // times that removals were held
};

class Reconciler final : public source::ObjectSink {
 public:
  explicit Reconciler(ReconcilerOptions options);
  ~Reconciler() override;
  Reconciler(const Reconciler&) = delete;
  Reconciler& operator=(const Reconciler&) = delete;

  // Starts the thread and the source. To be called once; `source` must live until Stop() has
  // returned.
  absl::Status Start(source::Source& source);
  // Stops the source, then the thread. Idempotent.
  void Stop();
  // A data plane has come, gone or acknowledged: what `fleet` returns has changed.
  void FleetChanged();
  ReconcilerStats Stats() const;

  void OnNamespace(source::NamespaceObject object) override;
  void OnGateway(source::GatewayObject object) override;
  void OnApi(source::ApiObject object) override;
  void OnSecret(source::SecretObject object) override;
  void OnDeleted(const source::ObjectKey& key) override;
  void OnGone(const std::vector<source::ObjectKey>& keys) override;
  void OnRechecked() override;
  void OnSynced(source::ObjectKind kind) override;
  void OnProblems(std::vector<source::SourceProblem> problems) override;

 private:
  struct Deleted {};
  using Event = std::variant<Deleted, source::SpecObject, source::SecretObject>;

  // What the thread takes out in one go.
  struct Batch {
    std::map<source::ObjectKey, std::vector<Event>> events;
    std::optional<std::vector<source::SourceProblem>> problems;
    bool apis_synced = false;
    bool secrets_synced = false;
    bool namespaces_synced = false;
    bool fleet_changed = false;
    bool rechecked = false;
  };

  void PushLocked(const source::ObjectKey& key, Event event);
  void Push(const source::ObjectKey& key, Event event);
  void Run(std::stop_token stop);
  Batch Await(std::stop_token stop);
  void Apply(Batch& batch);
  void ApplyRemovals(const Batch& batch);
  void TellHeldRemovals();
  void TellProblems();
  void RequestSecrets();
  bool MayBuild() const;
  void Build(MonotonicTime taken);
  size_t Publish(const std::map<std::string, SnapshotPtr>& snapshots);
  void TellGateways();
  void TellFleetNews();
  void TakeFleetNews(std::set<resource::ObjectName>& names);
  void TellStatuses(const std::vector<resource::ObjectName>& names);
  FleetViews Fleet() const { return options_.fleet ? options_.fleet() : FleetViews{}; }
  void Tell(const ApiStatus& status);
  MonotonicTime NextDeadline() const;

  const ReconcilerOptions options_;
  Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  Batch pending_;          // guarded by mutex_
  bool has_news_ = false;  // guarded by mutex_
  ReconcilerStats stats_;  // guarded by mutex_
  source::Source* source_ = nullptr;

  // The thread's own.
  World world_;
  StatusTracker tracker_;
  RemovalBrake brake_;
  size_t told_held_ = 0;                                // of the brake
  std::vector<source::SourceProblem> source_problems_;  // as the source has told them last
  bool apis_synced_ = false;
  bool secrets_synced_ = false;
  bool namespaces_synced_ = false;
  std::optional<uint64_t> requested_version_;
  std::optional<MonotonicTime> rebuild_at_;
  std::map<std::string, std::string> published_hashes_;  // by gateway
  GatewayTracker gateway_tracker_;
  bool gateways_news_ = true;                 // since the gateways' statuses were looked at
  std::set<resource::ObjectName> unsettled_;  // not confirmed by the fleet
  bool fleet_news_ = false;                   // since the last pass over the unsettled ones
  bool nodes_changed_ = false;                // since the last pass over all APIs
  FleetViews seen_fleet_;                     // by the last pass, without what is applied
  size_t left_to_check_ = 0;                  // APIs that the slow round has still to look at
  resource::ObjectName last_checked_;         // by the slow round
  MonotonicTime next_fleet_pass_{};
  MonotonicTime next_full_pass_{};
  MonotonicTime next_gateway_pass_{};

  std::jthread thread_;
};

}  // namespace rota::reconcile
