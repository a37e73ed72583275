#include "controller/serve/suspension_lane.h"

namespace rota::serve {

void SuspensionLane::Add(const std::vector<SharedSuspension>& statements) {
  for (const SharedSuspension& statement : statements) {
    SharedSuspension& pending = pending_[{statement.target, statement.origin}];
    if (statement.epoch > pending.epoch || (statement.epoch == pending.epoch && !pending.lifted)) {
      pending = statement;
    }
  }
  if (pending_.size() > kMaxPending) {
    Restart();
  }
}

void SuspensionLane::Restart() {
  pending_.clear();
  everything_told_ = false;
}

rota::sync::v1::SuspensionUpdate SuspensionLane::Next(
    const std::vector<SharedSuspension>& everything, MonotonicTime now) {
  rota::sync::v1::SuspensionUpdate update;
  if (!everything_told_) {
    everything_told_ = true;
    update.set_full(true);
    // What does not fit into this message follows with the next ones.
    for (const SharedSuspension& statement : everything) {
      if (update.items_size() < static_cast<int>(kItemsPerMessage)) {
        *update.add_items() = ToProto(statement, now);
      } else {
        pending_.insert_or_assign({statement.target, statement.origin}, statement);
      }
    }
    return update;
  }
  while (!pending_.empty() && update.items_size() < static_cast<int>(kItemsPerMessage)) {
    *update.add_items() = ToProto(pending_.begin()->second, now);
    pending_.erase(pending_.begin());
  }
  return update;
}

}  // namespace rota::serve
