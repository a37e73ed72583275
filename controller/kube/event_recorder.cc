#include "controller/kube/event_recorder.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "common/log.h"
#include "controller/kube/error.h"
#include "controller/kube/lease.h"

namespace rota::kube {
namespace {

using nlohmann::json;

constexpr Duration kIdle = std::chrono::hours(1);
constexpr size_t kMaxNote = 1024;
constexpr size_t kMaxWord = 128;
constexpr size_t kMaxNamePart = 230;  // of 253, with the stamp behind it
constexpr char kMergePatch[] = "application/merge-patch+json";

Resource EventResource() { return {"events.k8s.io", "v1", "events", "Event"}; }

// At most `size` bytes, cut between two characters.
std::string Shortened(std::string text, size_t size) {
  if (text.size() <= size) {
    return text;
  }
  return std::string(Clip(text, size - 3)) + "...";
}

// What asking again will not change.
bool IsFinal(const absl::Status& error) {
  const int code = ErrorOf(error).http_code;
  return absl::IsCancelled(error) || (code >= 400 && code < 500 && code != 401 && code != 429);
}

}  // namespace

EventRecorder::EventRecorder(const KubeApi& api, Clock& clock, EventRecorderOptions options)
    : api_(api),
      clock_(clock),
      options_(std::move(options)),
      leads_(options_.leads),
      bucket_(options_.writes_per_second, options_.burst, clock.Now()) {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  pthread_setname_np(thread_.native_handle(), "events");
}

EventRecorder::~EventRecorder() { Stop(); }

void EventRecorder::Stop() {
  if (!thread_.joinable()) {
    return;
  }
  thread_.request_stop();
  {
    std::lock_guard guard(mutex_);
    term_.request_stop();
  }
  thread_.join();
}

EventRecorder::Key EventRecorder::KeyOf(const Event& event) {
  return {event.regarding.ns, event.regarding.name, event.regarding.uid, event.is_warning,
          event.reason,       event.action,         event.note};
}

void EventRecorder::Record(Event event) {
  event.note = Shortened(std::move(event.note), kMaxNote);
  event.reason = Shortened(std::move(event.reason), kMaxWord);
  event.action = Shortened(std::move(event.action), kMaxWord);
  const WallTime now = clock_.WallNow();
  Key key = KeyOf(event);
  std::lock_guard guard(mutex_);
  if (!leads_) {
    return;
  }
  if (const auto found = waiting_.find(key); found != waiting_.end()) {
    ++found->second.count;
    found->second.last = now;
    return;
  }
  if (waiting_.size() >= options_.max_waiting) {
    ++counts_.dropped;
    return;
  }
  // Unique among the Events of this process; of several processes by the nanosecond.
  last_stamp_ = std::max<int64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.time_since_epoch()).count(),
      last_stamp_ + 1);
  order_.push_back(key);
  waiting_.emplace(std::move(key), Waiting{std::move(event), 1, last_stamp_, now, now});
  wake_.notify_all();
}

void EventRecorder::Lead() {
  std::lock_guard guard(mutex_);
  leads_ = true;
  term_ = std::stop_source();
}

void EventRecorder::Retire() {
  std::lock_guard guard(mutex_);
  leads_ = false;
  term_.request_stop();
  waiting_.clear();
  order_.clear();
  wake_.notify_all();
}

EventCounts EventRecorder::counts() const {
  std::lock_guard guard(mutex_);
  EventCounts counts = counts_;
  counts.waiting = waiting_.size() + (in_flight_ ? 1 : 0);
  return counts;
}

void EventRecorder::Run(std::stop_token stop) {
  while (AwaitTurn(stop)) {
    Key key;
    Waiting waiting;
    {
      std::lock_guard guard(mutex_);
      if (order_.empty()) {
        continue;  // another controller leads now
      }
      key = std::move(order_.front());
      order_.pop_front();
      auto taken = waiting_.extract(key);
      waiting = std::move(taken.mapped());
      in_flight_ = true;
    }
    WriteOne(key, waiting, stop);
    std::lock_guard guard(mutex_);
    in_flight_ = false;
  }
}

bool EventRecorder::AwaitTurn(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const MonotonicTime now = clock_.Now();
    Duration wait = kIdle;
    if (!order_.empty()) {
      wait = bucket_.Take(now);
      if (wait == Duration::zero()) {
        return true;
      }
    }
    clock_.WaitUntil(lock, wake_, now + wait, stop);
  }
  return false;
}

void EventRecorder::WriteOne(const Key& key, const Waiting& waiting, std::stop_token stop) {
  std::stop_token term;
  {
    std::lock_guard guard(mutex_);
    term = term_.get_token();
  }
  absl::Status result;
  for (int i = 1; !stop.stop_requested() && !term.stop_requested(); ++i) {
    result = Write(key, waiting, term);
    if (result.ok() || IsFinal(result) || i == options_.tries) {
      break;
    }
    const double factor = 1.0 + 0.25 * options_.uniform();
    const MonotonicTime again =
        clock_.Now() +
        Duration(static_cast<int64_t>(static_cast<double>(options_.retry.count()) * factor));
    std::unique_lock lock(mutex_);
    while (clock_.Now() < again && !stop.stop_requested() && !term.stop_requested()) {
      clock_.WaitUntil(lock, wake_, again, stop);
    }
  }
  if (stop.stop_requested() || term.stop_requested()) {
    return;
  }
  std::lock_guard guard(mutex_);
  counts_.written += result.ok() ? 1 : 0;
  counts_.failed += result.ok() ? 0 : 1;
  if (!result.ok() && result != logged_) {
    log::Warn("kube", "an Event could not be written",
              {{"namespace", waiting.event.regarding.ns},
               {"name", waiting.event.regarding.name},
               {"reason", waiting.event.reason},
               {"error", std::string(result.message())}});
  }
  logged_ = result;
}

absl::Status EventRecorder::Write(const Key& key, const Waiting& waiting, std::stop_token term) {
  if (options_.may_write && !options_.may_write()) {
    return absl::CancelledError("another controller writes now");
  }
  const auto known = series_.find(key);
  if (known == series_.end() || clock_.Now() - known->second.last > options_.series_window) {
    return Create(key, waiting, term);
  }
  const uint64_t count = known->second.count + waiting.count;
  const json patch = {
      {"series", {{"count", count}, {"lastObservedTime", MicroTime(waiting.last)}}}};
  const absl::Status patched =
      api_.Call("PATCH", known->second.path, patch, kMergePatch, term).status();
  if (absl::IsNotFound(patched)) {
    return Create(key, waiting, term);  // Events do not live for ever
  }
  if (patched.ok()) {
    known->second.count = count;
    known->second.last = clock_.Now();
  }
  return patched;
}

absl::Status EventRecorder::Create(const Key& key, const Waiting& waiting, std::stop_token term) {
  const json body = Body(waiting);
  const std::string ns = body.at("metadata").at("namespace").get<std::string>();
  const std::string name = body.at("metadata").at("name").get<std::string>();
  const absl::Status created =
      api_.Call("POST", KubeApi::PathOf(EventResource(), ns), body, "application/json", term)
          .status();
  // 409: a try of before was taken and not answered.
  if (!created.ok() && ErrorOf(created).http_code != 409) {
    return created;
  }
  Remember(key, {KubeApi::PathOf(EventResource(), ns, name), waiting.count, clock_.Now()});
  return absl::OkStatus();
}

json EventRecorder::Body(const Waiting& waiting) const {
  const EventRegarding& about = waiting.event.regarding;
  const std::string name = absl::StrCat(about.name.substr(0, kMaxNamePart), ".",
                                        absl::Hex(static_cast<uint64_t>(waiting.stamp)));
  json regarding = {{"apiVersion", about.api_version}, {"kind", about.kind}, {"name", about.name}};
  if (!about.ns.empty()) {
    regarding["namespace"] = about.ns;
  }
  if (!about.uid.empty()) {
    regarding["uid"] = about.uid;
  }
  json body = {
      {"apiVersion", "events.k8s.io/v1"},
      {"kind", "Event"},
      {"metadata", {{"name", name}, {"namespace", about.ns.empty() ? "default" : about.ns}}},
      {"eventTime", MicroTime(waiting.first)},
      {"reportingController", options_.controller},
      {"reportingInstance", options_.instance.substr(0, kMaxWord)},
      {"action", waiting.event.action},
      {"reason", waiting.event.reason},
      {"type", waiting.event.is_warning ? "Warning" : "Normal"},
      {"note", waiting.event.note},
      {"regarding", std::move(regarding)}};
  if (waiting.count > 1) {
    body["series"] = {{"count", waiting.count}, {"lastObservedTime", MicroTime(waiting.last)}};
  }
  return body;
}

void EventRecorder::Remember(const Key& key, Series series) {
  if (series_.size() >= options_.max_series) {
    std::erase_if(series_, [this](const auto& entry) {
      return clock_.Now() - entry.second.last > options_.series_window;
    });
  }
  if (series_.size() >= options_.max_series) {
    series_.clear();  // what happens again is told anew
  }
  series_[key] = std::move(series);
}

}  // namespace rota::kube
