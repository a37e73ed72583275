#include "controller/serve/transfer_gate.h"

#include <algorithm>
#include <vector>

namespace rota::serve {

bool TransferGate::Enter(uint64_t stream, MonotonicTime now) {
  std::lock_guard guard(mutex_);
  if (inside_.contains(stream)) {
    return true;
  }
  // Who has been inside for too long goes on, but counts no more. Nobody is called in its place:
  // whoever asks next takes it.
  std::erase_if(inside_, [&](const auto& entry) { return now - entry.second >= patience_; });
  const auto in_line = std::find(line_.begin(), line_.end(), stream);
  if (inside_.size() < places_) {
    if (in_line != line_.end()) {
      line_.erase(in_line);
    }
    inside_.emplace(stream, now);
    return true;
  }
  if (in_line == line_.end()) {
    line_.push_back(stream);
  }
  return false;
}

void TransferGate::Leave(uint64_t stream, MonotonicTime now) {
  std::vector<uint64_t> admitted;
  {
    std::lock_guard guard(mutex_);
    inside_.erase(stream);
    std::erase(line_, stream);
    while (inside_.size() < places_ && !line_.empty()) {
      inside_.emplace(line_.front(), now);
      admitted.push_back(line_.front());
      line_.pop_front();
    }
  }
  for (const uint64_t next : admitted) {
    granted_(next);
  }
}

}  // namespace rota::serve
