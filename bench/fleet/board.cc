#include "bench/fleet/board.h"

#include <utility>

namespace rota::bench {

void Board::Count(std::vector<MonotonicTime>& list, MonotonicTime now) {
  std::lock_guard guard(mutex_);
  list.push_back(now);
}

std::vector<MonotonicTime> Board::Copy(const std::vector<MonotonicTime>& list) const {
  std::lock_guard guard(mutex_);
  return list;
}

void Board::OnClosed(const std::string& reason) {
  std::lock_guard guard(mutex_);
  ++closed_[reason];
}

void Board::OnStatement(const std::string& target) {
  const MonotonicTime now = clock_.Now();
  std::lock_guard guard(mutex_);
  heard_[target].push_back(now);
}

std::vector<MonotonicTime> Board::Heard(const std::string& target) const {
  std::lock_guard guard(mutex_);
  const auto found = heard_.find(target);
  return found == heard_.end() ? std::vector<MonotonicTime>{} : found->second;
}

std::map<std::string, uint64_t> Board::Closed() const {
  std::lock_guard guard(mutex_);
  return closed_;
}

bool Board::Await(const std::function<size_t(const Board&)>& count, size_t wanted,
                  Duration patience) const {
  std::mutex mutex;
  std::condition_variable_any never;
  const MonotonicTime deadline = clock_.Now() + patience;
  while (count(*this) < wanted) {
    if (clock_.Now() >= deadline) {
      return false;
    }
    std::unique_lock lock(mutex);
    clock_.WaitUntil(lock, never, clock_.Now() + std::chrono::milliseconds(5), {});
  }
  return true;
}

}  // namespace rota::bench
