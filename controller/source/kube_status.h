#pragma once

// Writes the status of API resources by server-side apply, only when it has changed, at a bounded
// rate. Writes of one object coalesce: only the newest is sent; one that ends up equal to what the
// server has (a suspension that came and went) is not sent at all. Failures come back after a
// back-off; an object that is gone, or has been replaced by a namesake, is forgotten.
//
// lastTransitionTime is filled in here, in every object of a list `conditions`: the time of before
// while `status` stays the same, else now. The first write of an object reads what the server has.
//
// Thread-safe.

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
#include "nlohmann/json.hpp"

namespace rota::source {

enum class StatusCause {
  kSpec,        // somebody changed the object and waits for the answer
  kSuspension,  // a passing state: may wait, may be dropped
};

struct KubeStatusOptions {
  double spec_writes_per_second = 100;
  double suspension_writes_per_second = 20;
  int writers = 2;
  std::string field_manager = "rota-controller";
  // A first back-off well under a person's patience; the cap keeps a broken object quiet.
  BackoffOptions backoff = {std::chrono::milliseconds(200), std::chrono::minutes(5), 2.0, 0.5};
  Backoff::Random uniform = Backoff::SystemRandom();
};

struct KubeStatusCounts {
  uint64_t written = 0;
  uint64_t unchanged = 0;  // not sent, because the server has it
  uint64_t failed = 0;     // tries, each of which is repeated
  size_t waiting = 0;
};

class KubeStatusWriter {
 public:
  // `api` and `clock` must outlive the writer. Starts its threads.
  KubeStatusWriter(const kube::KubeApi& api, Clock& clock, KubeStatusOptions options = {});
  ~KubeStatusWriter();

  // `status` is the complete set of fields that we own; `uid` says of which incarnation.
  void Write(const resource::ObjectName& name, const std::string& uid, int64_t generation,
             nlohmann::json status, StatusCause cause = StatusCause::kSpec);
  // The object is gone: nothing is written any more and nothing is remembered.
  void Forget(const resource::ObjectName& name);
  // Ends the threads; what is still waiting is not written.
  void Stop();

  KubeStatusCounts counts() const;

 private:
  struct Entry {
    std::string uid;
    int64_t generation = 0;
    nlohmann::json wanted;
    bool pending = false;
    StatusCause cause = StatusCause::kSpec;
    bool server_known = false;
    nlohmann::json server;  // our fields as the server has them
  };

  void Run(std::stop_token stop);
  void WriteOne(const resource::ObjectName& name, std::stop_token stop);
  // Waits for a token of the bucket of `cause`; false when stopped.
  bool AwaitTurn(StatusCause cause, std::stop_token stop);
  // Reads the object's current status; false when the entry is finished with (gone, or to be
  // retried).
  bool LearnServerStatus(const resource::ObjectName& name, const std::string& uid,
                         std::stop_token stop);
  void HandleFailure(const resource::ObjectName& name, const std::string& uid,
                     const absl::Status& error);

  const kube::KubeApi& api_;
  Clock& clock_;
  const KubeStatusOptions options_;
  kube::WorkQueue<resource::ObjectName> queue_;
  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  kube::TokenBucket spec_bucket_;
  kube::TokenBucket suspension_bucket_;
  std::map<resource::ObjectName, Entry> entries_;
  KubeStatusCounts counts_;
  std::vector<std::jthread> threads_;
};

// Fills lastTransitionTime into every condition of `status`, carrying over those of `previous` for
// conditions (of the same place and type) whose `status` has not changed. Pure.
void FillTransitionTimes(const nlohmann::json& previous, const std::string& now,
                         nlohmann::json& status);

}  // namespace rota::source
