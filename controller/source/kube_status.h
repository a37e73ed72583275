#pragma once

// Writes the status of one kind of resource by server-side apply, only when it has changed, at a
// bounded rate, and only while this process is the one that writes. Writes of one object coalesce:
// only the newest is sent; one that ends up equal to what the server has (a suspension that came
// and went) is not sent at all. Failures come back after a back-off; an object that is gone, or has
// been replaced by a namesake, is forgotten.
//
// Two lanes with a rate each: what somebody waits for, and passing states (the members
// `suspensions` and `suspended` of APIs: a write that changes nothing else is one). Nobody in the
// first lane waits for the second one.
//
// lastTransitionTime is filled in here, in every object of a list `conditions`: the time of before
// while `status` stays the same, else now. The first write of an object reads what the server has;
// when many wait for that, one list tells about all of them.
//
// Thread-safe.

#include <array>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/clock.h"
#include "controller/kube/api.h"
#include "controller/kube/token_bucket.h"
#include "controller/kube/work_queue.h"
#include "controller/resource/api.h"
#include "controller/source/kube_source.h"
#include "nlohmann/json.hpp"

namespace rota::source {

enum class StatusCause {
  kSpec,        // somebody changed the object and waits for the answer
  kSuspension,  // a passing state: may wait, may be dropped
};

struct KubeStatusOptions {
  kube::Resource resource = ApiResource();  // whose status is written
  double spec_writes_per_second = 100;
  double suspension_writes_per_second = 20;
  int writers = 2;  // of the first lane; the other one has one
  std::string field_manager = "rota-controller";
  std::vector<std::string> namespaces;  // that are served; empty: all
  // False: nothing is written before Lead().
  bool leads = true;
  // Asked right before each write; false: not now. Empty: always.
  std::function<bool()> may_write;
  // A first back-off well under a person's patience; the cap keeps a broken object quiet.
  BackoffOptions backoff = {std::chrono::milliseconds(200), std::chrono::minutes(5), 2.0, 0.5};
  // Empty: each lane gets one of its own. One that is given is called from every thread.
  Backoff::Random uniform;
};

struct KubeStatusCounts {
  uint64_t written = 0;
  uint64_t unchanged = 0;  // not sent, because the server has it
  uint64_t failed = 0;     // tries, each of which is repeated
  size_t waiting = 0;

  KubeStatusCounts& operator+=(const KubeStatusCounts& other) {
    written += other.written;
    unchanged += other.unchanged;
    failed += other.failed;
    waiting += other.waiting;
    return *this;
  }
};

class KubeStatusWriter {
 public:
  // `api` and `clock` must outlive the writer. Starts its threads.
  KubeStatusWriter(const kube::KubeApi& api, Clock& clock, KubeStatusOptions options = {});
  ~KubeStatusWriter();

  // `status` is the complete set of fields that we own; `uid` says of which incarnation. `cause` is
  // for as long as it is not known what the server has. Nothing happens while somebody else writes.
  void Write(const resource::ObjectName& name, const std::string& uid, nlohmann::json status,
             StatusCause cause = StatusCause::kSpec);
  // The object is gone: nothing is written any more and nothing is remembered.
  void Forget(const resource::ObjectName& name);
  // From now on this process writes. What it knew of the server's state may be out of date, so it
  // begins with nothing: the caller tells every status again.
  void Lead();
  // Somebody else may write now: a request under way is cancelled, everything is forgotten.
  void Retire();
  // Ends the threads; what is still waiting is not written.
  void Stop();

  KubeStatusCounts counts() const;

 private:
  // Statuses are kept as text: a tenth of the memory of the parsed form.
  struct Entry {
    std::string uid;
    std::string wanted;  // while `pending`
    bool pending = false;
    bool in_flight = false;  // one lane works on it: the other one leaves it alone
    StatusCause cause = StatusCause::kSpec;
    bool server_known = false;
    std::string server;  // our fields as the server has them
  };

  struct Lane {
    Lane(Clock& clock, const KubeStatusOptions& options, double writes_per_second);
    kube::WorkQueue<resource::ObjectName> queue;
    kube::TokenBucket bucket;  // guarded by the writer's mutex_
  };

  // One write under way.
  struct Job {
    resource::ObjectName name;
    std::string uid;
    StatusCause cause = StatusCause::kSpec;
    std::stop_token term;
  };

  Lane& LaneOf(StatusCause cause) { return lanes_[static_cast<size_t>(cause)]; }
  void Run(StatusCause cause, std::stop_token stop);
  void WriteOne(const resource::ObjectName& name, StatusCause cause, std::stop_token stop);
  // The entry that this lane has to write; null when there is nothing to do. REQUIRES: mutex_.
  Entry* Due(const resource::ObjectName& name, StatusCause cause);
  Entry* EntryOf(const Job& job);  // null: gone meanwhile. REQUIRES: mutex_.
  // Compares with what the server has: false when that is the same, and nothing is to be done any
  // more. Else `entry.cause` is right. REQUIRES: mutex_, entry.server_known.
  bool Differs(Entry& entry);
  // Waits for a token of the lane; false when stopped.
  bool AwaitTurn(Lane& lane, std::stop_token stop);
  // Reads what the server has of all, when many wait for that.
  void LearnWhenMany(const resource::ObjectName& name, StatusCause cause);
  // What the server has already costs no turn, and what only looked urgent waits in its own lane.
  bool IsWorthATurn(const resource::ObjectName& name, StatusCause cause);
  absl::Status Learn(const Job& job);
  // Reads the server's status of everything that has an entry.
  absl::Status LearnAll(std::stop_token stop);
  absl::Status Send(const Job& job);
  void Finish(const Job& job, const absl::Status& result);

  const kube::KubeApi& api_;
  Clock& clock_;
  const KubeStatusOptions options_;
  std::array<Lane, 2> lanes_;  // by cause
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  bool leads_;
  bool is_listing_ = false;
  std::stop_source term_;  // of the requests under way
  std::map<resource::ObjectName, Entry> entries_;
  KubeStatusCounts counts_;
  std::vector<std::jthread> threads_;
};

// Fills lastTransitionTime into every condition of `status`, carrying over those of `previous` for
// conditions (of the same place and type) whose `status` has not changed. Pure.
void FillTransitionTimes(const nlohmann::json& previous, const std::string& now,
                         nlohmann::json& status);

}  // namespace rota::source
