#include "controller/serve/suspension_lane.h"

namespace rota::serve {

void SuspensionLane::Add(const std::vector<SharedSuspension>& statements) {
  for (const SharedSuspension& statement : statements) {
    const StatementKey key{statement.target, statement.origin};
    if (is_walking_ && (!has_begun_ || key > walked_)) {
      continue;  // the walk will come by
    }
    SharedSuspension& pending = pending_[key];
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
  is_walking_ = true;
  has_begun_ = false;
  walked_ = {};
}

rota::sync::v1::SuspensionUpdate SuspensionLane::Next(const Everything& everything,
                                                      MonotonicTime now) {
  rota::sync::v1::SuspensionUpdate update;
  size_t room = kItemsPerMessage;
  for (; !pending_.empty() && room > 0; --room) {
    *update.add_items() = ToProto(pending_.begin()->second, now);
    pending_.erase(pending_.begin());
  }
  if (!is_walking_ || room == 0) {
    return update;
  }
  update.set_full(!has_begun_);
  has_begun_ = true;
  const std::vector<SharedSuspension> next = everything(walked_, room);
  for (const SharedSuspension& statement : next) {
    *update.add_items() = ToProto(statement, now);
  }
  is_walking_ = next.size() == room;
  if (is_walking_) {
    walked_ = {next.back().target, next.back().origin};
  }
  return update;
}

}  // namespace rota::serve
