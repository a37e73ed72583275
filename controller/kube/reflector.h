#pragma once

// Keeps somebody's picture of one collection equal to the server's: lists it, watches it, and
// reports every difference. The state machine is reflector_state.h; this is the thread that runs
// it.
//
// Guarantees: an object that a failure hides is never reported as deleted (a new list is compared
// with what was reported, then replaces it in one go); no event is lost or reported twice; after
// OnSynced() everything that existed at the start has been reported. Holds names and versions, not
// objects. With `streaming` the list is a streaming list as long as the server serves them.
//
// Start() and Stop() belong to one thread; Relist() is thread-safe. The handler is called from the
// reflector's thread only.

#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "common/backoff.h"
#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/reflector_state.h"
#include "controller/kube/retry_pace.h"
#include "controller/kube/streaming_list.h"
#include "nlohmann/json.hpp"

namespace rota::kube {

struct ObjectId {
  std::string ns;  // "" for a cluster-scoped object
  std::string name;
  friend auto operator<=>(const ObjectId&, const ObjectId&) = default;
};

struct ReflectorOptions {
  int page_size = 500;
  // Of one watch, drawn uniformly so that a fleet does not reconnect in step.
  Duration min_watch_timeout = std::chrono::seconds(300);
  Duration max_watch_timeout = std::chrono::seconds(600);
  Duration idle_margin = std::chrono::seconds(5);
  RetryPaceOptions retry;
  // Everything is listed and reported again, changed or not (+- 10 %).
  Duration resync_period = std::chrono::hours(10);
  size_t max_objects = 200'000;
  std::shared_ptr<StreamingListSwitch> streaming;  // null: lists come in pages
  // A streaming list has to be complete by then. Its watch ends at this time as well.
  Duration stream_timeout = std::chrono::seconds(60);
  // Empty: each reflector gets one of its own. One that is given is called from each reflector's
  // thread.
  Backoff::Random uniform;
};

struct ReflectorHealth {
  bool synced = false;     // the first list has been reported
  bool connected = false;  // a watch is open
  absl::Status error;      // of the last try; OK once a watch is open
};

class ReflectorHandler {
 public:
  virtual ~ReflectorHandler() = default;
  virtual void OnUpsert(const ObjectId& id, nlohmann::json object) = 0;
  virtual void OnDelete(const ObjectId& id) = 0;
  // A list lacks all of these.
  virtual void OnGone(const std::vector<ObjectId>& ids) {
    for (const ObjectId& id : ids) {
      OnDelete(id);
    }
  }
  // The list that Relist() has asked for has been reported.
  virtual void OnRelisted() {}
  virtual void OnSynced() = 0;
  virtual void OnHealth(const ReflectorHealth& health) = 0;
};

class Reflector {
 public:
  // Everything passed by reference must outlive the reflector.
  Reflector(const KubeApi& api, Scope scope, ReflectorHandler& handler, Clock& clock,
            ReflectorOptions options = {});
  ~Reflector();  // stops

  void Start();
  // Ends the thread; returns within moments also while a request is under way.
  void Stop();
  // Ends the watch, lists anew (again until it succeeds) and calls OnRelisted().
  void Relist();

 private:
  struct Version {
    std::string uid;
    std::string resource_version;
  };
  // What the list under way has brought: everything's version, and the objects that differ.
  struct SideStore {
    std::map<ObjectId, Version> versions;
    std::map<ObjectId, nlohmann::json> changed;
  };

  void Run(std::stop_token stop);
  void ListOnce(std::stop_token stop);
  void StreamOnce(std::stop_token stop);
  void WatchOnce(std::stop_token stop);
  bool streams() const {
    return state_.phase == ReflectorPhase::kEmpty && !state_.unstreamed &&
           options_.streaming != nullptr && options_.streaming->on();
  }
  // An object of the list under way.
  absl::Status TakeListed(nlohmann::json object);
  bool HandleInitialEvent(WatchEvent event);
  void FailStream(const absl::Status& error, bool in_stream);
  // A watch that was open, or could not be opened, has ended.
  void AfterWatch(const absl::Status& status);
  // True: go on with the stream.
  bool HandleEvent(WatchEvent event);
  void Apply(const Decision& decision);
  void Commit();
  void Upsert(const ObjectId& id, const Version& version, nlohmann::json object);
  void Pause(const Wait& wait, std::stop_token stop);
  void Report(const absl::Status& error);
  void PlanResync();
  // A new token for the next watch.
  std::stop_token BeginRequest();
  void EndRequest();
  // From now on Relist() may end the request: it is not one that lists.
  void AllowInterruption(bool allowed);
  bool TakeRelist();

  const KubeApi& api_;
  const Scope scope_;
  ReflectorHandler& handler_;
  Clock& clock_;
  const ReflectorOptions options_;

  // Of the thread alone.
  ReflectorState state_;
  RetryPace pace_;
  Wait pending_wait_;
  MonotonicTime resync_at_{};
  bool report_all_ = false;
  std::map<ObjectId, Version> store_;
  SideStore side_;
  ReflectorHealth health_;
  absl::Status logged_;
  bool is_relisting_ = false;  // somebody waits for the next list
  // Of the current watch.
  MonotonicTime opened_at_{};
  bool had_events_ = false;
  bool decided_ = false;  // an event has said what comes next

  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool relist_wanted_ = false;     // guarded by mutex_
  bool may_be_ended_ = false;      // the request under way; guarded by mutex_
  std::stop_source request_stop_;  // of it; guarded by mutex_
  std::jthread thread_;
};

}  // namespace rota::kube
