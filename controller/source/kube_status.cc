#include "controller/source/kube_status.h"

#include <pthread.h>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/log.h"
#include "controller/kube/error.h"

namespace rota::source {
namespace {

using nlohmann::json;

// So many that wait to learn what the server has: one list is cheaper than a read of each.
constexpr size_t kManyToLearn = 50;
constexpr int kPageSize = 500;

// The shape of metav1.Time: whole seconds, UTC.
std::string Rfc3339(WallTime time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", absl::FromChrono(time), absl::UTCTimeZone());
}

std::string Text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::string Dump(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
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

KubeStatusWriter::Lane::Lane(Clock& clock, const KubeStatusOptions& options,
                             double writes_per_second)
    : queue(clock, options.backoff, options.uniform ? options.uniform : Backoff::SystemRandom()),
      bucket(writes_per_second, writes_per_second, clock.Now()) {}

KubeStatusWriter::KubeStatusWriter(const kube::KubeApi& api, Clock& clock,
                                   KubeStatusOptions options)
    : api_(api),
      clock_(clock),
      options_(std::move(options)),
      lanes_{Lane(clock, options_, options_.spec_writes_per_second),
             Lane(clock, options_, options_.suspension_writes_per_second)},
      leads_(options_.leads) {
  const auto start = [this](StatusCause cause) {
    threads_.emplace_back([this, cause](std::stop_token stop) { Run(cause, stop); });
    pthread_setname_np(threads_.back().native_handle(), "status-writer");
  };
  for (int i = 0; i < options_.writers; ++i) {
    start(StatusCause::kSpec);
  }
  start(StatusCause::kSuspension);
}

KubeStatusWriter::~KubeStatusWriter() { Stop(); }

void KubeStatusWriter::Stop() {
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  {
    std::lock_guard guard(mutex_);
    term_.request_stop();
  }
  threads_.clear();
}

void KubeStatusWriter::Write(const resource::ObjectName& name, const std::string& uid, json status,
                             StatusCause cause) {
  std::lock_guard guard(mutex_);
  if (!leads_) {
    return;
  }
  Entry& entry = entries_[name];
  if (entry.uid != uid) {
    entry = Entry();  // a namesake: nothing that we know is about it
    entry.uid = uid;
  }
  // While a change of the spec waits, a suspension does not push it into the slow lane.
  entry.cause = entry.pending && entry.cause == StatusCause::kSpec ? StatusCause::kSpec : cause;
  entry.wanted = Dump(status);
  entry.pending = true;
  if (!entry.in_flight && entry.server_known && !Differs(entry)) {
    for (Lane& lane : lanes_) {
      lane.queue.Forget(name);
    }
    return;
  }
  LaneOf(entry.cause).queue.Add(name);
}

void KubeStatusWriter::Forget(const resource::ObjectName& name) {
  std::lock_guard guard(mutex_);
  for (Lane& lane : lanes_) {
    lane.queue.Forget(name);
  }
  entries_.erase(name);
}

void KubeStatusWriter::Lead() {
  std::lock_guard guard(mutex_);
  leads_ = true;
  term_ = std::stop_source();
}

void KubeStatusWriter::Retire() {
  std::lock_guard guard(mutex_);
  leads_ = false;
  term_.request_stop();
  entries_.clear();
  for (Lane& lane : lanes_) {
    lane.queue.Clear();
  }
}

KubeStatusCounts KubeStatusWriter::counts() const {
  std::lock_guard guard(mutex_);
  KubeStatusCounts counts = counts_;
  for (const Lane& lane : lanes_) {
    counts.waiting += lane.queue.size();
  }
  return counts;
}

void KubeStatusWriter::Run(StatusCause cause, std::stop_token stop) {
  kube::WorkQueue<resource::ObjectName>& queue = LaneOf(cause).queue;
  while (const std::optional<resource::ObjectName> name = queue.Take(stop)) {
    WriteOne(*name, cause, stop);
  }
}

KubeStatusWriter::Entry* KubeStatusWriter::Due(const resource::ObjectName& name,
                                               StatusCause cause) {
  const auto found = entries_.find(name);
  if (found == entries_.end() || !found->second.pending || found->second.in_flight ||
      found->second.cause != cause) {
    return nullptr;  // who has it in flight, or in the other lane, sees to it
  }
  return &found->second;
}

KubeStatusWriter::Entry* KubeStatusWriter::EntryOf(const Job& job) {
  const auto found = entries_.find(job.name);
  return found != entries_.end() && found->second.uid == job.uid ? &found->second : nullptr;
}

bool KubeStatusWriter::Differs(Entry& entry) {
  json server = json::parse(entry.server, nullptr, false);
  json wanted = json::parse(entry.wanted, nullptr, false);
  FillTransitionTimes(server, Rfc3339(clock_.WallNow()), wanted);
  if (wanted == server) {
    entry.pending = false;
    entry.wanted.clear();
    ++counts_.unchanged;
    return false;
  }
  for (const char* const member : {"suspensions", "suspended"}) {
    wanted.erase(member);
    if (server.is_object()) {
      server.erase(member);
    }
  }
  entry.cause = wanted == server ? StatusCause::kSuspension : StatusCause::kSpec;
  return true;
}

bool KubeStatusWriter::AwaitTurn(Lane& lane, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const MonotonicTime now = clock_.Now();
    const Duration wait = lane.bucket.Take(now);
    if (wait == Duration::zero()) {
      return true;
    }
    clock_.WaitUntil(lock, wake_, now + wait, stop);
  }
  return false;
}

void KubeStatusWriter::LearnWhenMany(const resource::ObjectName& name, StatusCause cause) {
  std::stop_token term;
  {
    std::lock_guard guard(mutex_);
    const Entry* entry = Due(name, cause);
    if (entry == nullptr || entry->server_known || is_listing_ ||
        LaneOf(cause).queue.size() < kManyToLearn) {
      return;
    }
    is_listing_ = true;
    term = term_.get_token();
  }
  // When it fails, each is read by itself, at the rate of the lane.
  LearnAll(term).IgnoreError();
  std::lock_guard guard(mutex_);
  is_listing_ = false;
}

bool KubeStatusWriter::IsWorthATurn(const resource::ObjectName& name, StatusCause cause) {
  std::lock_guard guard(mutex_);
  Entry* entry = Due(name, cause);
  if (entry == nullptr || (entry->server_known && !Differs(*entry))) {
    return false;
  }
  if (entry->cause != cause) {
    LaneOf(entry->cause).queue.Add(name);
    return false;
  }
  return true;
}

void KubeStatusWriter::WriteOne(const resource::ObjectName& name, StatusCause cause,
                                std::stop_token stop) {
  LearnWhenMany(name, cause);
  Lane& lane = LaneOf(cause);
  if (!IsWorthATurn(name, cause) || !AwaitTurn(lane, stop)) {
    lane.queue.Done(name);
    return;
  }
  Job job{name, "", cause, {}};
  bool is_known = false;
  {
    std::lock_guard guard(mutex_);
    Entry* entry = Due(name, cause);
    if (entry == nullptr) {
      lane.queue.Done(name);
      return;
    }
    entry->in_flight = true;
    job.uid = entry->uid;
    job.term = term_.get_token();
    is_known = entry->server_known;
  }
  const absl::Status learnt = is_known ? absl::OkStatus() : Learn(job);
  Finish(job, learnt.ok() ? Send(job) : learnt);
}

absl::Status KubeStatusWriter::Learn(const Job& job) {
  const absl::StatusOr<json> object =
      api_.Get(options_.resource, job.name.ns, job.name.name, job.term);
  if (!object.ok()) {
    return object.status();
  }
  std::lock_guard guard(mutex_);
  if (UidOf(*object) != job.uid) {
    return absl::NotFoundError("a namesake has taken its place");  // its own status will come
  }
  if (Entry* entry = EntryOf(job)) {
    entry->server = Dump(object->value("status", json::object()));
    entry->server_known = true;
  }
  return absl::OkStatus();
}

absl::Status KubeStatusWriter::LearnAll(std::stop_token stop) {
  const std::vector<std::string> everywhere = {""};
  for (const std::string& ns : options_.namespaces.empty() ? everywhere : options_.namespaces) {
    std::string token;
    do {
      const absl::StatusOr<kube::ListPage> page =
          api_.List({options_.resource, ns, false}, kPageSize, token, stop);
      if (!page.ok()) {
        return page.status();
      }
      token = page->continue_token;
      std::lock_guard guard(mutex_);
      for (const json& item : page->items) {
        const json& metadata = item.at("metadata");
        const auto found = entries_.find({Text(metadata, "namespace"), Text(metadata, "name")});
        if (found != entries_.end() && found->second.uid == UidOf(item) &&
            !found->second.server_known && !found->second.in_flight) {
          found->second.server = Dump(item.value("status", json::object()));
          found->second.server_known = true;
        }
      }
    } while (!token.empty() && !stop.stop_requested());
  }
  return absl::OkStatus();
}

absl::Status KubeStatusWriter::Send(const Job& job) {
  json status;
  {
    // What is wanted now, not what was wanted before the wait.
    std::lock_guard guard(mutex_);
    Entry* entry = EntryOf(job);
    if (entry == nullptr) {
      return absl::OkStatus();
    }
    if (!Differs(*entry) ||
        (job.cause == StatusCause::kSpec && entry->cause == StatusCause::kSuspension)) {
      return absl::OkStatus();  // nothing to write, or nothing for this lane
    }
    status = json::parse(entry->wanted, nullptr, false);
    FillTransitionTimes(json::parse(entry->server, nullptr, false), Rfc3339(clock_.WallNow()),
                        status);
    entry->pending = false;
  }
  if (options_.may_write && !options_.may_write()) {
    return absl::UnavailableError("somebody else may write now");
  }
  const absl::StatusOr<json> written =
      api_.ApplyStatus(options_.resource, job.name.ns, job.name.name, job.uid, status,
                       options_.field_manager, job.term);
  if (!written.ok()) {
    return written.status();
  }
  std::lock_guard guard(mutex_);
  ++counts_.written;
  if (UidOf(*written) != job.uid) {
    return absl::NotFoundError("a namesake has got it");  // its own status will replace all of it
  }
  if (Entry* entry = EntryOf(job)) {
    entry->server = Dump(status);
  }
  return absl::OkStatus();
}

void KubeStatusWriter::Finish(const Job& job, const absl::Status& result) {
  kube::WorkQueue<resource::ObjectName>& queue = LaneOf(job.cause).queue;
  const kube::ApiError facts = kube::ErrorOf(result);
  std::lock_guard guard(mutex_);
  Entry* entry = EntryOf(job);
  if (absl::IsNotFound(result) || facts.http_code == 409 || entry == nullptr) {
    // Gone, or a namesake has its place: whoever owns the objects will tell us about that one.
    if (entry != nullptr) {
      entries_.erase(job.name);
    }
    queue.Done(job.name);
    return;
  }
  entry->in_flight = false;
  if (result.ok()) {
    queue.Done(job.name);
    if (entry->pending) {
      LaneOf(entry->cause).queue.Add(job.name);
    } else {
      entry->wanted.clear();
    }
    return;
  }
  entry->pending = true;
  if (absl::IsCancelled(result)) {
    queue.Done(job.name);
    return;
  }
  ++counts_.failed;
  const Duration delay = queue.Retry(job.name, facts.retry_after.value_or(Duration::zero()));
  if (entry->cause != job.cause) {
    LaneOf(entry->cause).queue.Add(job.name);
  }
  log::Warn("source", "a status could not be written; it is tried again",
            {{"namespace", job.name.ns},
             {"name", job.name.name},
             {"error", std::string(result.message())},
             {"retry_ms", std::chrono::duration_cast<std::chrono::milliseconds>(delay).count()}});
}

}  // namespace rota::source
