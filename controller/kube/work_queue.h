#pragma once

// A queue of keys with set semantics: many adds of one key are one turn; a key that is added while
// somebody works on it gets one more turn afterwards, never two at once. Failed keys come back
// after a back-off of their own. The bound is the number of keys; the queue holds no values.
//
// Thread-safe.

#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>

#include "common/backoff.h"
#include "common/clock.h"

namespace rota::kube {

template <typename Key>
class WorkQueue {
 public:
  WorkQueue(Clock& clock, BackoffOptions backoff, Backoff::Random random = Backoff::SystemRandom())
      : clock_(clock), backoff_(backoff), random_(std::move(random)) {}

  void Add(const Key& key) {
    std::lock_guard guard(mutex_);
    AddLocked(key, clock_.Now());
  }

  // Blocks for the next key whose time has come; nullopt when `stop` is requested. The caller must
  // say Done, Retry or Forget afterwards.
  std::optional<Key> Take(std::stop_token stop) {
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested()) {
      const MonotonicTime now = clock_.Now();
      if (!order_.empty() && order_.begin()->first.first <= now) {
        const Key key = order_.begin()->second;
        order_.erase(order_.begin());
        waiting_.erase(key);
        working_.insert(key);
        return key;
      }
      const MonotonicTime next =
          order_.empty() ? now + std::chrono::hours(1) : order_.begin()->first.first;
      clock_.WaitUntil(lock, changed_, next, stop);
    }
    return std::nullopt;
  }

  // The work succeeded: the key's back-off starts over.
  void Done(const Key& key) {
    std::lock_guard guard(mutex_);
    failures_.erase(key);
    Finish(key);
  }

  // The work failed: the key comes back, after at least `minimum`. The delay is returned.
  Duration Retry(const Key& key, Duration minimum = Duration::zero()) {
    std::lock_guard guard(mutex_);
    const auto found = failures_.try_emplace(key, backoff_, random_).first;
    const Duration delay = std::max(minimum, found->second.Next());
    again_.erase(key);
    working_.erase(key);
    AddLocked(key, clock_.Now() + delay);
    return delay;
  }

  // Drops what is known of a key; one that is being worked on is still finished by Done.
  void Forget(const Key& key) {
    std::lock_guard guard(mutex_);
    failures_.erase(key);
    again_.erase(key);
    if (const auto found = waiting_.find(key); found != waiting_.end()) {
      order_.erase(found->second);
      waiting_.erase(found);
    }
  }

  // Drops everything; keys that are being worked on are still finished by Done or Retry.
  void Clear() {
    std::lock_guard guard(mutex_);
    order_.clear();
    waiting_.clear();
    again_.clear();
    failures_.clear();
  }

  size_t size() const {
    std::lock_guard guard(mutex_);
    return waiting_.size() + working_.size();
  }

 private:
  // Due time, then the order of arrival.
  using Turn = std::pair<MonotonicTime, uint64_t>;

  void AddLocked(const Key& key, MonotonicTime due) {
    if (working_.contains(key)) {
      again_.insert(key);
      return;
    }
    if (const auto found = waiting_.find(key); found != waiting_.end()) {
      if (found->second.first <= due) {
        return;
      }
      order_.erase(found->second);  // a new reason does not wait for the old one's back-off
      waiting_.erase(found);
    }
    const Turn turn{due, ++arrivals_};
    order_.emplace(turn, key);
    waiting_.emplace(key, turn);
    changed_.notify_one();
  }

  void Finish(const Key& key) {
    working_.erase(key);
    if (again_.erase(key) > 0) {
      AddLocked(key, clock_.Now());
    }
  }

  Clock& clock_;
  const BackoffOptions backoff_;
  const Backoff::Random random_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<Turn, Key> order_;
  std::map<Key, Turn> waiting_;
  std::set<Key> working_;
  std::set<Key> again_;
  std::map<Key, Backoff> failures_;
  uint64_t arrivals_ = 0;
};

}  // namespace rota::kube
