#pragma once

// What the sync integration tests run: controllers (published snapshot + SyncService) and data
// planes (SyncClient + the real suspension registry), whatever the transport. Test code only.

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "controller/serve/sync_service.h"
#include "controller/serve/test_snapshots.h"
#include "dataplane/sync/sync_client.h"

namespace rota::tests {

// Waits on a condition, with a deadline of real time.
inline bool Await(const std::function<bool()>& condition,
                  std::chrono::seconds patience = std::chrono::seconds(20)) {
  RealClock clock;
  std::mutex mutex;
  std::condition_variable_any never;
  const MonotonicTime deadline = clock.Now() + patience;
  while (!condition()) {
    if (clock.Now() >= deadline) {
      return false;
    }
    std::unique_lock lock(mutex);
    clock.WaitUntil(lock, never, clock.Now() + std::chrono::milliseconds(1), {});
  }
  return true;
}

struct TestController {
  explicit TestController(Clock& clock, serve::ServiceOptions options = {})
      : service(std::move(options), clock), gateway(*service.gateways().Obtain(kGateway)) {}
  void Publish(const std::vector<serve::TestResource>& resources) {
    Publish(serve::MakeSnapshot(resources));
  }
  void Publish(std::shared_ptr<const compile::Snapshot> snapshot) {
    service.Publish(kGateway, std::move(snapshot));
  }

  static constexpr char kGateway[] = "default/rota";  // that SyncClientOptions ask for
  serve::SyncService service;
  serve::ServedGateway& gateway;
};

class TestDataPlane {
 public:
  TestDataPlane(const std::string& node, std::unique_ptr<sync::SyncTransport> transport,
                Clock& clock, sync::SyncClientOptions options = {})
      : clock_(clock),
        registry_(
            node, [this](const rotation::Suspension& s) { client_->ReportSuspension(s); },
            static_cast<uint64_t>(clock.WallNow().time_since_epoch().count())) {
    options.node = node;
    sync::SyncCallbacks callbacks;
    callbacks.apply = [this](const sync::ResourceMap& wanted, const sync::ChangedKeys&,
                             const std::string&) {
      std::lock_guard guard(mutex_);
      in_use_ = wanted;
      ++applied_;
      sync::ApplyResult result;
      for (const auto& [key, resource] : wanted) {
        if (key.second == reject_.first && resource->hash() == reject_.second) {
          sync::v1::Rejection& rejection = result.rejected.emplace_back();
          *rejection.mutable_id() = resource->id();
          rejection.set_code(sync::v1::Rejection::INVALID);
          rejection.set_message("rejected by the test");
        }
      }
      return result;
    };
    callbacks.apply_remote = [this](const auto& items, MonotonicTime now) {
      registry_.ApplyRemote(items, now);
      std::lock_guard guard(mutex_);
      remote_at_ = clock_.Now();
    };
    callbacks.own_suspensions = [this](MonotonicTime now) { return registry_.Own(now); };
    callbacks.known_suspensions = [this](MonotonicTime now) { return registry_.Known(now); };
    callbacks.set_phase = [this](uint64_t phase) { registry_.SetPhase(phase); };
    client_ = std::make_unique<sync::SyncClient>(std::move(options), std::move(transport),
                                                 std::move(callbacks), clock);
    rotation_ = registry_.Resolve({.id = "r", .targets = {{"t0"}, {"t1"}, {"t2"}}});
    client_->Start();
  }
  ~TestDataPlane() { client_.reset(); }

  // The upstream of t<index> says that its quota is used up.
  void Suspend(size_t index, Duration length, rotation::Reason reason = rotation::Reason::kQuota) {
    const MonotonicTime now = clock_.Now();
    rotation_->Suspend(index, reason, now, now + length);
  }
  void Lift(const std::string& target) { registry_.Lift(target, clock_.Now()); }
  bool IsSuspended(const std::string& target) const {
    for (const rotation::Suspension& suspension : registry_.Active(clock_.Now())) {
      if (suspension.target == target) {
        return true;
      }
    }
    return false;
  }
  void Reject(const std::string& name, uint64_t hash) {
    std::lock_guard guard(mutex_);
    reject_ = {name, hash};
  }
  // Version in use; 0 = none.
  uint64_t Version(const std::string& name) const {
    std::lock_guard guard(mutex_);
    const auto found = in_use_.find({sync::v1::API, name});
    return found == in_use_.end() ? 0 : found->second->hash();
  }
  int applied() const {
    std::lock_guard guard(mutex_);
    return applied_;
  }
  size_t resources() const {
    std::lock_guard guard(mutex_);
    return in_use_.size();
  }
  // When a suspension of another data plane was applied here last.
  MonotonicTime remote_at() const {
    std::lock_guard guard(mutex_);
    return remote_at_;
  }
  sync::SyncState state() const { return client_->state(); }

 private:
  Clock& clock_;
  mutable std::mutex mutex_;
  sync::ResourceMap in_use_;
  int applied_ = 0;
  std::pair<std::string, uint64_t> reject_;
  MonotonicTime remote_at_;
  std::unique_ptr<sync::SyncClient> client_;
  rotation::Registry registry_;
  std::shared_ptr<rotation::Rotation> rotation_;
};

}  // namespace rota::tests
