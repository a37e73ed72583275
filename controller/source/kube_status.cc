#include "controller/source/kube_status.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "controller/kube/error.h"
#include "controller/source/kube_source.h"

namespace rota::source {
namespace {

using nlohmann::json;

// The shape of metav1.Time: whole seconds, UTC.
std::string Rfc3339(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string UidOf(const json& object) {
  const auto metadata = object.find("metadata");
  return metadata != object.end() && metadata->is_object() ? Text(*metadata, "uid") : std::string();
}

// The element of list `previous` that stands for the same thing as `element`: same type
// (conditions) or same name and namespace (gateways).
const json& Counterpart(const json& previous, const json& element) {
  static const json none;
  if (!previous.is_array() || !element.is_object()) {
    return none;
  }
  const char* key = element.contains("type") ? "type" : "name";
  for (const json& candidate : previous) {
    if (candidate.is_object() && !Text(element, key).empty() &&
        Text(candidate, key) == Text(element, key) &&
        Text(candidate, "namespace") == Text(element, "namespace")) {
      return candidate;
    }
  }
  return none;
}

void FillCondition(const json& previous, const std::string& now, json& condition) {
  const std::string before = previous.is_object() ? Text(previous, "lastTransitionTime") : "";
  if (!before.empty() && Text(previous, "status") == Text(condition, "status")) {
    condition["lastTransitionTime"] = before;
  } else if (Text(condition, "lastTransitionTime").empty()) {
    condition["lastTransitionTime"] = now;
  }
  if (Text(condition, "message").empty()) {
    // Some servers refuse an apply with an empty string; an empty message helps nobody either.
    condition["message"] = Text(condition, "reason").empty() ? "-" : Text(condition, "reason");
  }
}

}  // namespace

void FillTransitionTimes(const json& previous, const std::string& now, json& status) {
  if (!status.is_object()) {
    return;
  }
  static const json none;
  for (auto& [name, value] : status.items()) {
    const json* before = &none;
    if (previous.is_object() && previous.contains(name)) {
      before = &previous.at(name);
    }
    if (value.is_object()) {
      FillTransitionTimes(*before, now, value);
    } else if (value.is_array()) {
      for (json& element : value) {
        if (!element.is_object()) {
          continue;
        }
        if (name == "conditions") {
          FillCondition(Counterpart(*before, element), now, element);
        } else {
          FillTransitionTimes(Counterpart(*before, element), now, element);
        }
      }
    }
  }
}

KubeStatusWriter::KubeStatusWriter(const kube::KubeApi& api, Clock& clock,
                                   KubeStatusOptions options)
    : api_(api),
      clock_(clock),
      options_(std::move(options)),
      queue_(clock, options_.backoff, options_.uniform),
      spec_bucket_(options_.spec_writes_per_second, options_.spec_writes_per_second, clock.Now()),
      suspension_bucket_(options_.suspension_writes_per_second,
                         options_.suspension_writes_per_second, clock.Now()) {
  for (int i = 0; i < options_.writers; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Run(stop); });
    pthread_setname_np(threads_.back().native_handle(), "status-writer");
  }
}

KubeStatusWriter::~KubeStatusWriter() { Stop(); }

void KubeStatusWriter::Stop() {
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  threads_.clear();
}

void KubeStatusWriter::Write(const resource::ObjectName& name, const std::string& uid,
                             int64_t generation, json status, StatusCause cause) {
  {
    std::lock_guard guard(mutex_);
    Entry& entry = entries_[name];
    if (entry.uid != uid) {
      entry = Entry();  // a namesake: nothing that we know is about it
      entry.uid = uid;
    }
    // While a change of the spec waits, a suspension does not push it into the slow lane.
    entry.cause = entry.pending && entry.cause == StatusCause::kSpec ? StatusCause::kSpec : cause;
    entry.generation = generation;
    entry.wanted = std::move(status);
    entry.pending = true;
  }
  queue_.Add(name);
}

void KubeStatusWriter::Forget(const resource::ObjectName& name) {
  queue_.Forget(name);
  std::lock_guard guard(mutex_);
  entries_.erase(name);
}

KubeStatusCounts KubeStatusWriter::counts() const {
  std::lock_guard guard(mutex_);
  KubeStatusCounts counts = counts_;
  counts.waiting = queue_.size();
  return counts;
}

void KubeStatusWriter::Run(std::stop_token stop) {
  while (const std::optional<resource::ObjectName> name = queue_.Take(stop)) {
    WriteOne(*name, stop);
  }
}

bool KubeStatusWriter::AwaitTurn(StatusCause cause, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    kube::TokenBucket& bucket = cause == StatusCause::kSpec ? spec_bucket_ : suspension_bucket_;
    const MonotonicTime now = clock_.Now();
    const Duration wait = bucket.Take(now);
    if (wait == Duration::zero()) {
      return true;
    }
    clock_.WaitUntil(lock, wake_, now + std::chrono::duration_cast<MonotonicTime::duration>(wait),
                     stop);
  }
  return false;
}

bool KubeStatusWriter::LearnServerStatus(const resource::ObjectName& name, const std::string& uid,
                                         std::stop_token stop) {
  absl::StatusOr<json> object = api_.Get(ApiResource(), name.ns, name.name, stop);
  if (!object.ok()) {
    HandleFailure(name, uid, object.status());
    return false;
  }
  std::lock_guard guard(mutex_);
  const auto found = entries_.find(name);
  if (found == entries_.end() || found->second.uid != uid) {
    queue_.Done(name);
    return false;
  }
  if (UidOf(*object) != uid) {
    entries_.erase(found);  // a namesake: its own status will come
    queue_.Done(name);
    return false;
  }
  found->second.server = object->contains("status") ? object->at("status") : json::object();
  found->second.server_known = true;
  return true;
}

void KubeStatusWriter::HandleFailure(const resource::ObjectName& name, const std::string& uid,
                                     const absl::Status& error) {
  const kube::ApiError facts = kube::ErrorOf(error);
  if (facts.http_code == 404 || facts.http_code == 409) {
    // Gone, or a namesake has its place: whoever owns the objects will tell us about that one.
    std::lock_guard guard(mutex_);
    if (const auto found = entries_.find(name);
        found != entries_.end() && found->second.uid == uid) {
      entries_.erase(found);
    }
    queue_.Done(name);
    return;
  }
  if (absl::IsCancelled(error)) {
    queue_.Done(name);
    return;
  }
  {
    std::lock_guard guard(mutex_);
    ++counts_.failed;
  }
  const Duration delay = queue_.Retry(name, facts.retry_after.value_or(Duration::zero()));
  log::Warn("source", "a status could not be written; it is tried again",
            {{"namespace", name.ns},
             {"name", name.name},
             {"error", std::string(error.message())},
             {"retry_ms", std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()}});
}

void KubeStatusWriter::WriteOne(const resource::ObjectName& name, std::stop_token stop) {
  std::string uid;
  StatusCause cause = StatusCause::kSpec;
  bool server_known = false;
  {
    std::lock_guard guard(mutex_);
    const auto found = entries_.find(name);
    if (found == entries_.end() || !found->second.pending) {
      queue_.Done(name);
      return;
    }
    uid = found->second.uid;
    cause = found->second.cause;
    server_known = found->second.server_known;
  }
  if (!AwaitTurn(cause, stop)) {
    queue_.Done(name);
    return;
  }
  if (!server_known && !LearnServerStatus(name, uid, stop)) {
    return;
  }
  json status;
  {
    // What is wanted now, not what was wanted before the wait.
    std::lock_guard guard(mutex_);
    const auto found = entries_.find(name);
    if (found == entries_.end() || found->second.uid != uid) {
      queue_.Done(name);
      return;
    }
    Entry& entry = found->second;
    status = entry.wanted;
    FillTransitionTimes(entry.server, Rfc3339(clock_.WallNow()), status);
    entry.pending = false;
    if (entry.server == status) {
      ++counts_.unchanged;
      queue_.Done(name);
      return;
    }
  }
  const absl::StatusOr<json> written = api_.ApplyStatus(ApiResource(), name.ns, name.name, uid,
                                                        status, options_.field_manager, stop);
  if (!written.ok()) {
    {
      std::lock_guard guard(mutex_);
      if (const auto found = entries_.find(name); found != entries_.end()) {
        found->second.pending = true;
      }
    }
    HandleFailure(name, uid, written.status());
    return;
  }
  std::lock_guard guard(mutex_);
  ++counts_.written;
  if (const auto found = entries_.find(name); found != entries_.end() && found->second.uid == uid) {
    if (UidOf(*written) == uid) {
      found->second.server = std::move(status);
    } else {
      // A namesake has got it. Its own status will come and replace all of this one.
      entries_.erase(found);
    }
  }
  queue_.Done(name);
}

}  // namespace rota::source
