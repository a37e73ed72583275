#include "controller/reconcile/reconciler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "controller/reconcile/status_json.h"

namespace rota::reconcile {
namespace {

// Acknowledgements come in bursts. What waits for one is looked at this often, and what a finding
// is about; everything when a data plane has come or gone (which changes nothing urgent), more
// rarely. An acknowledgement that takes back what was confirmed is rare: a slow round over all
// APIs, a few at each pass (1 ms), finds it.
constexpr size_t kCheckedPerPass = 50;
constexpr Duration kFleetPassInterval = std::chrono::milliseconds(50);
constexpr Duration kFullPassInterval = std::chrono::seconds(1);
// The statuses of the gateways count all APIs and data planes (1 ms).
constexpr Duration kGatewayPassInterval = std::chrono::milliseconds(250);
constexpr Duration kIdle = std::chrono::hours(1);

// What the data planes of a gateway say about an API.
void AddProgrammed(const FleetView& fleet, const resource::ObjectName& name, int64_t generation,
                   ApiAtGateway& gateway) {
  if (gateway.served_hash != 0) {
    gateway.programmed = ComputeProgrammed(Summarise(fleet, name.ToString(), gateway.served_hash),
                                           gateway.served_generation,
                                           gateway.resolved_refs.status == ConditionStatus::kTrue);
  } else if (gateway.accepted.status == ConditionStatus::kFalse) {
    gateway.programmed = NotProgrammed(generation);
  }
}

// Whether the removal brake watches over objects of that kind.
bool IsBraked(source::ObjectKind kind) {
  return kind == source::ObjectKind::kApi || kind == source::ObjectKind::kGateway;
}

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
  PushLocked(key, std::move(event));
}

void Reconciler::PushLocked(const source::ObjectKey& key, Event event) {
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

void Reconciler::OnNamespace(source::NamespaceObject object) {
  const source::ObjectKey key{source::ObjectKind::kNamespace, object.name};
  Push(key, std::move(object));
}

void Reconciler::OnGateway(source::GatewayObject object) {
  const source::ObjectKey key{source::ObjectKind::kGateway, object.name};
  Push(key, std::move(object));
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

// In one go: the thread must not see a part of it.
void Reconciler::OnGone(const std::vector<source::ObjectKey>& keys) {
  std::lock_guard guard(mutex_);
  for (const source::ObjectKey& key : keys) {
    PushLocked(key, Deleted{});
  }
}

void Reconciler::OnRechecked() {
  std::lock_guard guard(mutex_);
  pending_.rechecked = true;
  has_news_ = true;
  wake_.notify_one();
}

void Reconciler::OnSynced(source::ObjectKind kind) {
  std::lock_guard guard(mutex_);
  switch (kind) {
    case source::ObjectKind::kSecret:
      pending_.secrets_synced = true;
      break;
    case source::ObjectKind::kNamespace:
      pending_.namespaces_synced = true;
      break;
    default:
      pending_.apis_synced = true;
  }
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
  if (const std::optional<MonotonicTime> recheck = brake_.recheck_at()) {
    deadline = std::min(deadline, *recheck);
  }
  if (secrets_synced_ && (fleet_news_ || left_to_check_ > 0)) {
    deadline = std::min(deadline, next_fleet_pass_);
  }
  if (secrets_synced_ && nodes_changed_) {
    deadline = std::min(deadline, next_full_pass_);
  }
  if (!published_hashes_.empty() && gateways_news_) {
    deadline = std::min(deadline, next_gateway_pass_);
  }
  if (const std::optional<MonotonicTime> due = gateway_tracker_.NextDue()) {
    deadline = std::min(deadline, *due);
  }
  return deadline;
}

void Reconciler::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    Batch batch = Await(stop);
    if (stop.stop_requested()) {
      return;
    }
    const MonotonicTime taken = clock_.Now();
    Apply(batch);
    TellHeldRemovals();
    if (brake_.TakeRecheck(clock_.Now())) {
      source_->Recheck();
    }
    if (apis_synced_) {
      RequestSecrets();
      if (world_.wants_namespaces()) {
        source_->WantNamespaces();
      }
    }
    const bool is_due = rebuild_at_.has_value() && *rebuild_at_ <= clock_.Now();
    if (MayBuild() && (world_.has_changes() || is_due)) {
      Build(taken);
      // What was served until now may have freed Secrets.
      RequestSecrets();
    }
    TellFleetNews();
    TellGateways();
    for (const ApiStatus& status : tracker_.Due(clock_.Now(), clock_.WallNow())) {
      Tell(status);
    }
  }
}

// APIs and gateways that are gone by the end of the batch.
void Reconciler::ApplyRemovals(const Batch& batch) {
  RemovalBrake::Keys gone;
  size_t reach = 0;
  for (const auto& [key, events] : batch.events) {
    if (IsBraked(key.kind) && std::holds_alternative<Deleted>(events.back())) {
      gone.push_back(key);
      reach += world_.ReachOf(key);
    }
  }
  // What has never been served is missed by nobody.
  const bool serves = apis_synced_ && secrets_synced_;
  const bool may_go = !serves || brake_.MayGo(gone, reach, world_.api_count(), clock_.Now());
  if (batch.rechecked) {
    const RemovalBrake::Keys confirmed = brake_.Confirm();
    gone = may_go ? std::move(gone) : RemovalBrake::Keys();
    gone.insert(gone.end(), confirmed.begin(), confirmed.end());
  } else if (!may_go) {
    return;
  }
  for (const source::ObjectKey& key : gone) {
    world_.OnDeleted(key);
  }
}

// Once when it begins, when it grows or shrinks, and when it is over.
void Reconciler::TellHeldRemovals() {
  const size_t held = brake_.held();
  if (held == told_held_) {
    return;
  }
  if (told_held_ == 0) {
    log::Warn("reconcile",
              "most APIs, or the gateways that take them, are gone at once; they are served until "
              "the source has been looked at again",
              {{"apis", world_.api_count()}, {"gone", held}});
  } else if (held == 0) {
    log::Info("reconcile", "it is settled what became of what was gone at once",
              {{"apis", world_.api_count()}});
  }
  told_held_ = held;
  TellProblems();
  std::lock_guard guard(mutex_);
  stats_.held_removals = held;
  stats_.removal_holds = brake_.holds();
}

void Reconciler::TellProblems() {
  std::vector<source::SourceProblem> problems = source_problems_;
  if (brake_.held() > 0) {
    problems.push_back(
        {"", 0,
         absl::StrCat(brake_.held(),
                      " APIs and RotaGateways are gone at once and are served until the source has "
                      "been looked at again; if they are meant to go, there is nothing to do")});
  }
  for (StatusSink* sink : options_.sinks) {
    sink->OnProblems(problems);
  }
}

void Reconciler::Apply(Batch& batch) {
  for (auto& [key, events] : batch.events) {
    if (!std::holds_alternative<Deleted>(events.back())) {
      brake_.OnPresent(key);
    }
    for (Event& event : events) {
      auto* object = std::get_if<source::SpecObject>(&event);
      if (object != nullptr && key.kind == source::ObjectKind::kNamespace) {
        world_.OnNamespace(*object);
      } else if (object != nullptr && key.kind == source::ObjectKind::kGateway) {
        if (auto said = GatewayConditionsFromJson(object->status)) {
          gateway_tracker_.Seed(key.name.ToString(), *std::move(said));
        }
        world_.OnGateway(*object);
      } else if (object != nullptr) {
        if (std::optional<ApiStatus> told = FromJson(object->status)) {
          tracker_.Seed(key.name, *std::move(told));
        }
        world_.OnApi(std::move(*object));
      } else if (auto* secret = std::get_if<source::SecretObject>(&event)) {
        world_.OnSecret(std::move(*secret));
      } else if (!IsBraked(key.kind) || events.size() > 1) {
        world_.OnDeleted(key);
      }
    }
  }
  ApplyRemovals(batch);
  if (batch.problems.has_value()) {
    source_problems_ = *std::move(batch.problems);
    TellProblems();
  }
  apis_synced_ = apis_synced_ || batch.apis_synced;
  secrets_synced_ = secrets_synced_ || batch.secrets_synced;
  if (batch.namespaces_synced) {
    namespaces_synced_ = true;
    world_.OnNamespacesKnown();
  }
  fleet_news_ = fleet_news_ || batch.fleet_changed;
}

// The first snapshot has to be complete. Later ones do not wait for the labels of Namespaces: the
// world leaves APIs where they are until it knows them.
bool Reconciler::MayBuild() const {
  return apis_synced_ && secrets_synced_ &&
         (namespaces_synced_ || !world_.wants_namespaces() || !published_hashes_.empty());
}

void Reconciler::RequestSecrets() {
  if (requested_version_ == world_.references_version()) {
    return;
  }
  requested_version_ = world_.references_version();
  source_->SetSecretReferences(world_.References());
}

// `taken`: when the news that it is made of were taken.
void Reconciler::Build(MonotonicTime taken) {
  BuildResult result = world_.Build(clock_.Now());
  const Duration lasted = clock_.Now() - taken;
  rebuild_at_ = result.rebuild_at;
  const size_t published = Publish(result.snapshots);
  gateways_news_ = true;
  {
    std::lock_guard guard(mutex_);
    stats_.published = true;
    stats_.apis = world_.api_count();
    stats_.secrets = world_.secret_count();
    stats_.gateways = result.snapshots.size();
    stats_.builds += 1;
    stats_.snapshots += published;
    stats_.compiles = world_.compile_count();
    stats_.last_build = lasted;
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

// Returns how many snapshots were new.
size_t Reconciler::Publish(const std::map<std::string, SnapshotPtr>& snapshots) {
  for (auto known = published_hashes_.begin(); known != published_hashes_.end();) {
    if (snapshots.contains(known->first)) {
      ++known;
      continue;
    }
    options_.withdraw(known->first);
    known = published_hashes_.erase(known);
  }
  size_t published = 0;
  for (const auto& [gateway, snapshot] : snapshots) {
    std::string& hash = published_hashes_[gateway];
    if (hash != snapshot->hash) {
      hash = snapshot->hash;
      options_.publish(gateway, snapshot);
      ++published;
    }
  }
  return published;
}

void Reconciler::TellGateways() {
  const MonotonicTime now = clock_.Now();
  const std::optional<MonotonicTime> due = gateway_tracker_.NextDue();
  const bool has_news = gateways_news_ && now >= next_gateway_pass_;
  if (published_hashes_.empty() || (!has_news && !(due.has_value() && *due <= now))) {
    return;
  }
  gateways_news_ = false;
  next_gateway_pass_ = now + kGatewayPassInterval;
  std::vector<GatewayStatus> statuses = world_.GatewayStatuses();
  FleetViews fleet = Fleet();
  for (GatewayStatus& status : statuses) {
    AddFleet(fleet[status.gateway], status);
    if (const auto news = gateway_tracker_.Offer(status, now)) {
      for (StatusSink* sink : options_.sinks) {
        sink->OnGatewayStatus(*news);
      }
    }
  }
  for (const std::string& gateway : gateway_tracker_.KeepOnly(statuses)) {
    for (StatusSink* sink : options_.sinks) {
      sink->OnGatewayDeleted(gateway);
    }
  }
}

void Reconciler::TellFleetNews() {
  const MonotonicTime now = clock_.Now();
  if (!secrets_synced_) {
    return;
  }
  std::set<resource::ObjectName> names;
  if ((fleet_news_ || left_to_check_ > 0) && now >= next_fleet_pass_) {
    next_fleet_pass_ = now + kFleetPassInterval;
    if (std::exchange(fleet_news_, false)) {
      gateways_news_ = true;
      TakeFleetNews(names);
    }
    const size_t count = std::min(left_to_check_, kCheckedPerPass);
    for (resource::ObjectName& name : world_.NamesAfter(last_checked_, count)) {
      last_checked_ = name;
      names.insert(std::move(name));
    }
    left_to_check_ -= count;
  }
  if (nodes_changed_ && now >= next_full_pass_) {
    nodes_changed_ = false;
    next_full_pass_ = now + kFullPassInterval;
    left_to_check_ = 0;
    TellStatuses(world_.Names());
    return;
  }
  TellStatuses({names.begin(), names.end()});
}

// Adds those APIs to `names` that the news may concern at once.
void Reconciler::TakeFleetNews(std::set<resource::ObjectName>& names) {
  names = unsettled_;
  left_to_check_ = world_.api_count();
  FleetViews fleet = Fleet();
  const FleetDifference difference = Compare(seen_fleet_, fleet);
  nodes_changed_ = nodes_changed_ || difference.nodes;
  for (const std::string& api : difference.apis) {
    const size_t slash = api.find('/');
    if (slash != std::string::npos) {
      names.insert({api.substr(0, slash), api.substr(slash + 1)});
    }
  }
  for (auto& [gateway, view] : fleet) {
    for (NodeReport& node : view.nodes) {
      // It would keep an old snapshot.
      node.applied_hash = nullptr;
    }
  }
  seen_fleet_ = std::move(fleet);
}

void Reconciler::TellStatuses(const std::vector<resource::ObjectName>& names) {
  if (names.empty()) {
    return;
  }
  FleetViews fleet = Fleet();
  for (const resource::ObjectName& name : names) {
    std::optional<ApiStatus> status = world_.StatusOf(name);
    if (!status.has_value()) {
      continue;
    }
    bool is_served = false;
    for (ApiAtGateway& gateway : status->gateways) {
      is_served = is_served || gateway.served_hash != 0;
      AddProgrammed(fleet[gateway.gateway], name, status->generation, gateway);
    }
    status->programmed = Aggregate(status->gateways, &ApiAtGateway::programmed);
    if (is_served && status->programmed.status != ConditionStatus::kTrue) {
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
