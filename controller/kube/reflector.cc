#include "controller/kube/reflector.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "controller/kube/error.h"

namespace rota::kube {
namespace {

using nlohmann::json;

// The members that a metadata object must have; false when it has not.
bool ReadIdentity(const json& object, ObjectId& id, std::string& uid,
                  std::string& resource_version) {
  const auto metadata = object.find("metadata");
  if (metadata == object.end() || !metadata->is_object()) {
    return false;
  }
  const auto text = [&metadata](const char* name) {
    const auto found = metadata->find(name);
    return found != metadata->end() && found->is_string() ? found->get<std::string>()
                                                          : std::string();
  };
  id = {text("namespace"), text("name")};
  uid = text("uid");
  resource_version = text("resourceVersion");
  return !id.name.empty() && !resource_version.empty();
}

ReflectorOptions WithOwnRandom(ReflectorOptions options) {
  if (!options.uniform) {
    options.uniform = Backoff::SystemRandom();
  }
  return options;
}

}  // namespace

Reflector::Reflector(const KubeApi& api, Scope scope, ReflectorHandler& handler, Clock& clock,
                     ReflectorOptions options)
    : api_(api),
      scope_(std::move(scope)),
      handler_(handler),
      clock_(clock),
      options_(WithOwnRandom(std::move(options))),
      pace_(options_.retry, options_.uniform) {}

Reflector::~Reflector() { Stop(); }

void Reflector::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  pthread_setname_np(thread_.native_handle(), "kube-reflector");
}

void Reflector::Stop() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
}

void Reflector::Run(std::stop_token stop) {
  PlanResync();
  while (!stop.stop_requested()) {
    if (state_.phase == ReflectorPhase::kListed && clock_.Now() >= resync_at_) {
      PlanResync();
      report_all_ = true;
      state_ = ReflectorState();
      side_ = SideStore();
    }
    if (state_.phase == ReflectorPhase::kListed && TakeRelist()) {
      is_relisting_ = true;
      state_ = ReflectorState();
      side_ = SideStore();
    }
    if (streams()) {
      StreamOnce(stop);
    } else if (state_.phase == ReflectorPhase::kEmpty || state_.phase == ReflectorPhase::kPaging) {
      ListOnce(stop);
    } else {
      WatchOnce(stop);
    }
    Pause(std::exchange(pending_wait_, Wait()), stop);
  }
}

void Reflector::Relist() {
  {
    std::lock_guard guard(mutex_);
    relist_wanted_ = true;
    if (!may_be_ended_) {
      return;
    }
  }
  EndRequest();
}

void Reflector::EndRequest() {
  std::stop_source request;
  {
    std::lock_guard guard(mutex_);
    request = request_stop_;
  }
  request.request_stop();
}

bool Reflector::TakeRelist() {
  std::lock_guard guard(mutex_);
  return std::exchange(relist_wanted_, false);
}

std::stop_token Reflector::BeginRequest() {
  std::lock_guard guard(mutex_);
  request_stop_ = std::stop_source();
  return request_stop_.get_token();
}

void Reflector::AllowInterruption(bool allowed) {
  {
    std::lock_guard guard(mutex_);
    may_be_ended_ = allowed;
    if (!allowed || !relist_wanted_) {
      return;
    }
  }
  EndRequest();
}

void Reflector::PlanResync() {
  const double factor = 0.9 + 0.2 * options_.uniform();
  resync_at_ =
      clock_.Now() +
      Duration(static_cast<int64_t>(static_cast<double>(options_.resync_period.count()) * factor));
}

void Reflector::ListOnce(std::stop_token stop) {
  absl::StatusOr<ListPage> page =
      api_.List(scope_, state_.unpaged ? 0 : options_.page_size, state_.continue_token, stop);
  if (stop.stop_requested()) {
    return;
  }
  if (page.ok()) {
    for (json& item : page->items) {
      if (const absl::Status taken = TakeListed(std::move(item)); !taken.ok()) {
        page = taken;
        break;
      }
    }
  }
  if (!page.ok()) {
    Report(page.status());
    Apply(AfterListFailed(state_, page.status()));
    return;
  }
  Apply(AfterPage(state_, page->resource_version, page->continue_token));
}

absl::Status Reflector::TakeListed(json object) {
  ObjectId id;
  Version version;
  if (!ReadIdentity(object, id, version.uid, version.resource_version)) {
    return absl::UnavailableError(
        absl::StrCat("list ", scope_.ToString(), ": an item has no name or no resourceVersion"));
  }
  const auto known = store_.find(id);
  const bool differs = known == store_.end() ||
                       known->second.resource_version != version.resource_version ||
                       known->second.uid != version.uid;
  if (report_all_ || (differs && !health_.synced)) {
    // Nobody has a picture yet (or wants all of it again): no need to hold the whole collection in
    // memory. What is gone by the end of the list is taken back at the commit.
    Upsert(id, version, std::move(object));
  } else if (differs) {
    side_.changed[id] = std::move(object);
  }
  side_.versions[id] = std::move(version);
  if (side_.versions.size() > options_.max_objects) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "list ", scope_.ToString(), ": more than ", options_.max_objects,
        " objects; this controller serves no more, split them over several with --namespace"));
  }
  return absl::OkStatus();
}

void Reflector::StreamOnce(std::stop_token stop) {
  had_events_ = false;
  decided_ = false;
  WatchOptions watch;
  watch.sends_initial_events = true;
  watch.timeout = options_.stream_timeout;
  watch.idle_margin = options_.idle_margin;
  bool is_listed = false;
  const std::stop_token ended = BeginRequest();
  const std::stop_callback end_with(stop, [this] { EndRequest(); });
  const absl::Status status = api_.Watch(
      scope_, watch,
      [this] {
        opened_at_ = clock_.Now();
        Apply(AfterStreamOpened(state_));
      },
      [this, &is_listed](WatchEvent event) {
        const bool goes_on =
            is_listed ? HandleEvent(std::move(event)) : HandleInitialEvent(std::move(event));
        if (!is_listed && state_.phase == ReflectorPhase::kWatching) {
          is_listed = true;
          AllowInterruption(true);
        }
        return goes_on;
      },
      ended);
  AllowInterruption(false);
  if (stop.stop_requested()) {
    return;
  }
  if (is_listed) {
    AfterWatch(status);
  } else if (!decided_) {
    const bool was_open = state_.phase == ReflectorPhase::kStreaming;
    // Ours is a moment shorter than the server's.
    const bool lived_out =
        clock_.Now() - opened_at_ >= options_.stream_timeout - options_.stream_timeout / 10;
    if (was_open && status.ok() && lived_out) {
      Apply(AfterStreamWithoutEnd());
    } else {
      FailStream(status.ok() ? absl::UnavailableError(
                                   absl::StrCat("list ", scope_.ToString(),
                                                ": the stream ended before the list was complete"))
                             : status,
                 was_open);
    }
  }
}

void Reflector::FailStream(const absl::Status& error, bool in_stream) {
  const Decision decision = AfterStreamFailed(error, in_stream);
  if (!decision.no_streams) {
    Report(error);
  }
  Apply(decision);
}

bool Reflector::HandleInitialEvent(WatchEvent event) {
  absl::Status failure;
  if (event.type == WatchEventType::kError) {
    failure = ErrorFromStatusObject(event.object, "list " + scope_.ToString());
  } else if (event.type == WatchEventType::kBookmark) {
    if (IsEndOfList(event)) {
      Apply(AfterInitialEvents(state_, event.resource_version));
      Report(absl::OkStatus());
    }
    return true;
  } else if (event.type == WatchEventType::kDeleted) {
    // Between its ADDED and the end of the list.
    ObjectId id;
    Version version;
    if (ReadIdentity(event.object, id, version.uid, version.resource_version)) {
      side_.versions.erase(id);
      side_.changed.erase(id);
    }
    return true;
  } else {
    failure = TakeListed(std::move(event.object));
  }
  if (failure.ok()) {
    return true;
  }
  FailStream(failure, true);
  decided_ = true;
  return false;
}

void Reflector::WatchOnce(std::stop_token stop) {
  had_events_ = false;
  decided_ = false;
  WatchOptions watch;
  watch.resource_version = state_.resource_version;
  watch.timeout =
      options_.min_watch_timeout +
      Duration(static_cast<int64_t>(
          static_cast<double>((options_.max_watch_timeout - options_.min_watch_timeout).count()) *
          options_.uniform()));
  watch.idle_margin = options_.idle_margin;
  const std::stop_token ended = BeginRequest();
  const std::stop_callback end_with(stop, [this] { EndRequest(); });
  const absl::Status status = api_.Watch(
      scope_, watch,
      [this] {
        opened_at_ = clock_.Now();
        Apply(AfterWatchOpened(state_));
        Report(absl::OkStatus());
        AllowInterruption(true);
      },
      [this](WatchEvent event) { return HandleEvent(std::move(event)); }, ended);
  AllowInterruption(false);
  if (!stop.stop_requested()) {
    AfterWatch(status);
  }
}

void Reflector::AfterWatch(const absl::Status& status) {
  if (health_.connected) {
    health_.connected = false;
    handler_.OnHealth(health_);
  }
  if (decided_) {
    return;
  }
  if (state_.phase != ReflectorPhase::kWatching) {
    Report(status);
    Apply(AfterWatchNotOpened(state_, status));
  } else if (!status.ok()) {
    Report(status);
    Apply(AfterUnreadableEvent(state_));
  } else {
    Apply(AfterWatchEnded(state_, clock_.Now() - opened_at_, had_events_));
  }
}

bool Reflector::HandleEvent(WatchEvent event) {
  if (event.type == WatchEventType::kError) {
    const absl::Status error = ErrorFromStatusObject(event.object, "watch " + scope_.ToString());
    Report(error);
    Apply(AfterErrorEvent(state_, error));
    decided_ = true;
    return false;
  }
  had_events_ = true;
  if (event.type != WatchEventType::kBookmark) {
    ObjectId id;
    Version version;
    if (!ReadIdentity(event.object, id, version.uid, version.resource_version)) {
      Report(absl::DataLossError(
          absl::StrCat("watch ", scope_.ToString(), ": an event's object has no name")));
      Apply(AfterUnreadableEvent(state_));
      decided_ = true;
      return false;
    }
    if (event.type == WatchEventType::kDeleted) {
      if (store_.erase(id) > 0) {
        handler_.OnDelete(id);
      }
    } else {
      const auto known = store_.find(id);
      if (known == store_.end() || known->second.resource_version != version.resource_version) {
        Upsert(id, version, std::move(event.object));
      }
    }
  }
  Apply(AfterEvent(state_, event.resource_version));
  return true;
}

void Reflector::Upsert(const ObjectId& id, const Version& version, json object) {
  Version& known = store_[id];
  if (!known.uid.empty() && known.uid != version.uid) {
    handler_.OnDelete(id);  // a namesake has taken its place while nobody looked
  }
  known = version;
  handler_.OnUpsert(id, std::move(object));
}

void Reflector::Apply(const Decision& decision) {
  state_ = decision.next;
  if (decision.wait.kind != Wait::Kind::kNone) {
    pending_wait_ = decision.wait;
  }
  if (decision.discard) {
    side_ = SideStore();
  }
  if (decision.no_streams && options_.streaming->TurnOff()) {
    log::Info("kube", "the API server serves no streaming lists; lists come in pages",
              {{"resource", scope_.ToString()}});
  }
  if (decision.commit) {
    Commit();
  }
}

void Reflector::Commit() {
  SideStore side = std::exchange(side_, SideStore());
  report_all_ = false;
  std::vector<ObjectId> gone;
  for (auto known = store_.begin(); known != store_.end();) {
    if (side.versions.contains(known->first)) {
      ++known;
      continue;
    }
    gone.push_back(known->first);
    known = store_.erase(known);
  }
  if (!gone.empty()) {
    handler_.OnGone(gone);
  }
  for (auto& [id, object] : side.changed) {
    Upsert(id, side.versions.at(id), std::move(object));
  }
  if (!health_.synced) {
    health_.synced = true;
    log::Info("kube", "synced", {{"resource", scope_.ToString()}, {"objects", store_.size()}});
    handler_.OnHealth(health_);
    handler_.OnSynced();
  }
  if (std::exchange(is_relisting_, false)) {
    handler_.OnRelisted();
  }
}

void Reflector::Pause(const Wait& wait, std::stop_token stop) {
  if (wait.kind == Wait::Kind::kNone || stop.stop_requested()) {
    return;
  }
  const MonotonicTime now = clock_.Now();
  const MonotonicTime deadline = now + pace_.Next(wait, now);
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested() && clock_.Now() < deadline) {
    clock_.WaitUntil(lock, wake_, deadline, stop);
  }
}

void Reflector::Report(const absl::Status& error) {
  // The same trouble is told once, not at every try.
  if (error != logged_) {
    if (error.ok()) {
      log::Info("kube", "watching", {{"resource", scope_.ToString()}});
    } else if (absl::IsNotFound(error)) {
      log::Error(
          "kube",
          "the API server does not know this resource; install its definition (those of Rota: "
          "kubectl apply -f crds/). Trying again every 30 s",
          {{"resource", scope_.ToString()}, {"error", std::string(error.message())}});
    } else if (absl::IsPermissionDenied(error) || absl::IsUnauthenticated(error)) {
      log::Error("kube",
                 "the API server refuses us; check the Role and its binding (get, list, watch)",
                 {{"resource", scope_.ToString()}, {"error", std::string(error.message())}});
    } else {
      log::Warn("kube", "the Kubernetes API does not answer as it should; the last state stays",
                {{"resource", scope_.ToString()}, {"error", std::string(error.message())}});
    }
    logged_ = error;
  }
  health_.error = error;
  health_.connected = error.ok();
  handler_.OnHealth(health_);
}

}  // namespace rota::kube
