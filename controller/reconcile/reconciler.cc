#include "controller/reconcile/reconciler.h"

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "controller/reconcile/status_json.h"

namespace rota::reconcile {
namespace {

// Acknowledgements come in bursts. What waits for one is looked at this often, everything else (a
// data plane that went away changes nothing urgent) more rarely.
constexpr Duration kFleetPassInterval = std::chrono::milliseconds(50);
constexpr Duration kFullPassInterval = std::chrono::seconds(1);
constexpr Duration kIdle = std::chrono::hours(1);

}  // namespace

Reconciler::Reconciler(ReconcilerOptions options)
    : options_(std::move(options)), clock_(*options_.clock), world_(options_.gateway) {}

Reconciler::~Reconciler() { Stop(); }

absl::Status Reconciler::Start(source::Source& source) {
  source_ = &source;
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
  absl::Status status = source.Start(*this);
  if (!status.ok()) {
    Stop();
  }
  return status;
}

void Reconciler::Stop() {
  if (source_ != nullptr) {
    source_->Stop();
  }
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  source_ = nullptr;
}

void Reconciler::FleetChanged() {
  std::lock_guard guard(mutex_);
  pending_.fleet_changed = true;
  has_news_ = true;
  wake_.notify_one();
}

ReconcilerStats Reconciler::Stats() const {
  std::lock_guard guard(mutex_);
  return stats_;
}

void Reconciler::Push(const source::ObjectKey& key, Event event) {
  std::lock_guard guard(mutex_);
  std::vector<Event>& events = pending_.events[key];
  // The newest state counts; a deletion before it is kept, because it may be another object of the
  // name.
  const bool keeps_deletion = !events.empty() && std::holds_alternative<Deleted>(events.front());
  events.resize(keeps_deletion ? 1 : 0);
  if (!keeps_deletion || !std::holds_alternative<Deleted>(event)) {
    events.push_back(std::move(event));
  }
  has_news_ = true;
  wake_.notify_one();
}

void Reconciler::OnApi(source::ApiObject object) {
  const source::ObjectKey key{source::ObjectKind::kApi, object.name};
  Push(key, std::move(object));
}

void Reconciler::OnSecret(source::SecretObject object) {
  const source::ObjectKey key{source::ObjectKind::kSecret, object.name};
  Push(key, std::move(object));
}

void Reconciler::OnDeleted(const source::ObjectKey& key) { Push(key, Deleted{}); }

void Reconciler::OnSynced(source::ObjectKind kind) {
  std::lock_guard guard(mutex_);
  (kind == source::ObjectKind::kApi ? pending_.apis_synced : pending_.secrets_synced) = true;
  has_news_ = true;
  wake_.notify_one();
}

void Reconciler::OnProblems(std::vector<source::SourceProblem> problems) {
  std::lock_guard guard(mutex_);
  pending_.problems = std::move(problems);
  has_news_ = true;
  wake_.notify_one();
}

Reconciler::Batch Reconciler::Await(std::stop_token stop) {
  const MonotonicTime deadline = NextDeadline();
  std::unique_lock lock(mutex_);
  while (!has_news_ && !stop.stop_requested() && clock_.Now() < deadline) {
    clock_.WaitUntil(lock, wake_, deadline, stop);
  }
  has_news_ = false;
  return std::exchange(pending_, Batch{});
}

MonotonicTime Reconciler::NextDeadline() const {
  MonotonicTime deadline = clock_.Now() + kIdle;
  if (rebuild_at_.has_value()) {
    deadline = std::min(deadline, *rebuild_at_);
  }
  if (const std::optional<MonotonicTime> due = tracker_.NextDue()) {
    deadline = std::min(deadline, *due);
  }
  if (fleet_changed_ && secrets_synced_) {
    const bool is_urgent = fleet_news_ && !unsettled_.empty();
    deadline = std::min(deadline, is_urgent ? next_fleet_pass_ : next_full_pass_);
  }
  return deadline;
}

void Reconciler::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Batch batch = Await(stop);
    if (stop.stop_requested()) {
      return;
    }
    Apply(batch);
    if (apis_synced_) {
      RequestSecrets();
    }
    const bool is_due = rebuild_at_.has_value() && *rebuild_at_ <= clock_.Now();
    if (apis_synced_ && secrets_synced_ && (world_.has_changes() || is_due)) {
      Build();
      // What was served until now may have freed Secrets.
      RequestSecrets();
    }
    TellFleetNews();
    for (const ApiStatus& status : tracker_.Due(clock_.Now(), clock_.WallNow())) {
      Tell(status);
    }
  }
}

void Reconciler::Apply(Batch& batch) {
  for (auto& [key, events] : batch.events) {
    for (Event& event : events) {
      if (auto* api = std::get_if<source::ApiObject>(&event)) {
        if (std::optional<ApiStatus> told = FromJson(api->status)) {
          tracker_.Seed(key.name, *std::move(told));
        }
        world_.OnApi(std::move(*api));
      } else if (auto* secret = std::get_if<source::SecretObject>(&event)) {
        world_.OnSecret(std::move(*secret));
      } else {
        world_.OnDeleted(key);
      }
    }
  }
  if (batch.problems.has_value()) {
    for (StatusSink* sink : options_.sinks) {
      sink->OnProblems(*batch.problems);
    }
  }
  apis_synced_ = apis_synced_ || batch.apis_synced;
  secrets_synced_ = secrets_synced_ || batch.secrets_synced;
  fleet_changed_ = fleet_changed_ || batch.fleet_changed;
  fleet_news_ = fleet_news_ || batch.fleet_changed;
}

void Reconciler::RequestSecrets() {
  if (requested_version_ == world_.references_version()) {
    return;
  }
  requested_version_ = world_.references_version();
  source_->SetSecretReferences(world_.References());
}

void Reconciler::Build() {
  const MonotonicTime start = clock_.Now();
  BuildResult result = world_.Build(start);
  rebuild_at_ = result.rebuild_at;
  const bool is_new = result.snapshot->hash != published_hash_;
  if (is_new) {
    published_hash_ = result.snapshot->hash;
    options_.published->Publish(result.snapshot);
    if (options_.on_published) {
      options_.on_published();
    }
  }
  {
    std::lock_guard guard(mutex_);
    stats_.published = true;
    stats_.apis = world_.api_count();
    stats_.secrets = world_.secret_count();
    stats_.builds += 1;
    stats_.snapshots += is_new ? 1 : 0;
    stats_.compiles = world_.compile_count();
    stats_.last_build = clock_.Now() - start;
  }
  for (const resource::ObjectName& name : result.deleted) {
    tracker_.Forget(name);
    unsettled_.erase(name);
    for (StatusSink* sink : options_.sinks) {
      sink->OnApiDeleted(name);
    }
  }
  TellStatuses(result.changed);
}

void Reconciler::TellFleetNews() {
  const MonotonicTime now = clock_.Now();
  if (!fleet_changed_ || !secrets_synced_) {
    return;
  }
  if (now >= next_full_pass_) {
    fleet_changed_ = false;
    fleet_news_ = false;
    next_full_pass_ = now + kFullPassInterval;
    next_fleet_pass_ = now + kFleetPassInterval;
    TellStatuses(world_.Names());
  } else if (fleet_news_ && now >= next_fleet_pass_) {
    fleet_news_ = false;
    next_fleet_pass_ = now + kFleetPassInterval;
    TellStatuses({unsettled_.begin(), unsettled_.end()});
  }
}

void Reconciler::TellStatuses(const std::vector<resource::ObjectName>& names) {
  if (names.empty()) {
    return;
  }
  const FleetView fleet = options_.fleet ? options_.fleet() : FleetView{};
  for (const resource::ObjectName& name : names) {
    std::optional<ApiStatus> status = world_.StatusOf(name);
    if (!status.has_value()) {
      continue;
    }
    const uint64_t hash = world_.ServedHash(name);
    if (hash == 0) {
      const bool is_refused = status->accepted.status == ConditionStatus::kFalse;
      if (is_refused) {
        status->programmed = NotProgrammed(status->generation);
      }
    } else {
      status->programmed =
          ComputeProgrammed(Summarise(fleet, name.ToString(), hash), status->served_generation,
                            status->resolved_refs.status == ConditionStatus::kTrue);
    }
    if (hash != 0 && status->programmed.status != ConditionStatus::kTrue) {
      unsettled_.insert(name);
    } else {
      unsettled_.erase(name);
    }
    if (std::optional<ApiStatus> news =
            tracker_.Offer(*std::move(status), clock_.Now(), clock_.WallNow())) {
      Tell(*news);
    }
  }
}

void Reconciler::Tell(const ApiStatus& status) {
  for (StatusSink* sink : options_.sinks) {
    sink->OnStatus(status);
  }
}

}  // namespace rota::reconcile
