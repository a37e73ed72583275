#pragma once

// What happened in the simulated fleet, and when: shared by all of its data planes. Times are of
// CLOCK_MONOTONIC, which is the same for every process of a machine.
//
// Thread-safe.

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "common/clock.h"

namespace rota::bench {

class Board {
 public:
  explicit Board(Clock& clock) : clock_(clock) {}

  Clock& clock() { return clock_; }

  void OnWelcome() { Count(welcomed_, clock_.Now()); }
  // A transaction has come whole; `first` of its stream or a later one.
  void OnApplied(bool first) { Count(first ? first_applied_ : later_applied_, clock_.Now()); }
  void OnClosed(const std::string& reason);
  // A statement of another data plane about `target`.
  void OnStatement(const std::string& target);

  std::vector<MonotonicTime> Welcomed() const { return Copy(welcomed_); }
  std::vector<MonotonicTime> FirstApplied() const { return Copy(first_applied_); }
  std::vector<MonotonicTime> LaterApplied() const { return Copy(later_applied_); }
  std::vector<MonotonicTime> Heard(const std::string& target) const;
  std::map<std::string, uint64_t> Closed() const;

  // False when `patience` is over first.
  bool Await(const std::function<size_t(const Board&)>& count, size_t wanted,
             Duration patience) const;

 private:
  void Count(std::vector<MonotonicTime>& list, MonotonicTime now);
  std::vector<MonotonicTime> Copy(const std::vector<MonotonicTime>& list) const;

  Clock& clock_;
  mutable std::mutex mutex_;
  std::vector<MonotonicTime> welcomed_;
  std::vector<MonotonicTime> first_applied_;
  std::vector<MonotonicTime> later_applied_;
  std::map<std::string, std::vector<MonotonicTime>> heard_;  // by target
  std::map<std::string, uint64_t> closed_;                   // by reason
};

}  // namespace rota::bench
