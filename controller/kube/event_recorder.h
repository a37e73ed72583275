#pragma once

// Events (events.k8s.io/v1) about objects: written by a thread of its own, at a bounded rate, from
// a bounded queue. Whoever records one never waits and never hears of a failure.
//
// What happens again within six minutes (same object, type, reason, action and note) is counted in
// the `series` of the Event that is there. As in client-go, but that the note takes part: a note
// cannot be changed later, and two different reasons for a refusal are two Events.
//
// Thread-safe.

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <tuple>

#include "common/backoff.h"
#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/token_bucket.h"
#include "nlohmann/json.hpp"

namespace rota::kube {

// The object that an Event is about.
struct EventRegarding {
  std::string api_version;  // "gateway.rota.dev/v1alpha1"
  std::string kind;
  std::string ns;  // "": cluster-scoped; its Events are in namespace "default"
  std::string name;
  std::string uid;
};

struct Event {
  EventRegarding regarding;
  bool is_warning = false;
  std::string reason;  // CamelCase, at most 128 bytes
  std::string action;  // CamelCase, at most 128 bytes
  std::string note;    // for people; cut at 1 KiB
};

struct EventRecorderOptions {
  std::string controller = "gateway.rota.dev/controller";
  std::string instance;  // this process; at most 128 bytes count
  size_t max_waiting = 1000;
  size_t max_series = 1000;
  double writes_per_second = 20;
  double burst = 40;
  Duration series_window = std::chrono::minutes(6);
  int tries = 12;
  Duration retry = std::chrono::seconds(10);  // up to a quarter more
  // False: nothing is recorded before Lead().
  bool leads = true;
  // Asked right before each write; false: it is dropped. Empty: always.
  std::function<bool()> may_write;
  Backoff::Random uniform = Backoff::SystemRandom();
};

struct EventCounts {
  uint64_t written = 0;  // created, or counted in a series
  uint64_t dropped = 0;  // the queue was full
  uint64_t failed = 0;   // given up
  size_t waiting = 0;    // the one under way included
};

class EventRecorder {
 public:
  // `api` and `clock` outlive the recorder. Starts its thread.
  EventRecorder(const KubeApi& api, Clock& clock, EventRecorderOptions options);
  ~EventRecorder();  // stops

  // Never blocks. Does nothing while somebody else writes.
  void Record(Event event);
  void Lead();
  // Somebody else may write now: a request under way is cancelled, what waits is forgotten.
  void Retire();
  // Ends the thread; what waits is not written.
  void Stop();

  EventCounts counts() const;

 private:
  // Object (namespace, name, uid), type, reason, action, note.
  using Key = std::tuple<std::string, std::string, std::string, bool, std::string, std::string,
                         std::string>;
  struct Waiting {
    Event event;
    uint64_t count = 0;
    int64_t stamp = 0;  // names the Event: a try that is repeated makes no second one
    WallTime first{};
    WallTime last{};
  };
  struct Series {
    std::string path;  // of the Event
    uint64_t count = 0;
    MonotonicTime last{};
  };

  static Key KeyOf(const Event& event);
  void Run(std::stop_token stop);
  // False: stopped, or nothing is waiting any more.
  bool AwaitTurn(std::stop_token stop);
  void WriteOne(const Key& key, const Waiting& waiting, std::stop_token stop);
  absl::Status Write(const Key& key, const Waiting& waiting, std::stop_token term);
  absl::Status Create(const Key& key, const Waiting& waiting, std::stop_token term);
  nlohmann::json Body(const Waiting& waiting) const;
  void Remember(const Key& key, Series series);

  const KubeApi& api_;
  Clock& clock_;
  const EventRecorderOptions options_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool leads_;                      // guarded by mutex_
  std::stop_source term_;           // guarded by mutex_
  TokenBucket bucket_;              // guarded by mutex_
  std::map<Key, Waiting> waiting_;  // guarded by mutex_
  std::deque<Key> order_;           // guarded by mutex_; of `waiting_`
  bool in_flight_ = false;          // guarded by mutex_
  int64_t last_stamp_ = 0;          // guarded by mutex_
  EventCounts counts_;              // guarded by mutex_

  // Of the thread alone.
  std::map<Key, Series> series_;
  absl::Status logged_;

  std::jthread thread_;
};

}  // namespace rota::kube
