#include "dataplane/sync/suspension_outbox.h"

#include <algorithm>

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

}  // namespace

v1::SuspensionReason ToProto(rotation::Reason reason) {
  switch (reason) {
    case rotation::Reason::kQuota:
      return v1::QUOTA;
    case rotation::Reason::kFailures:
      return v1::FAILURES;
    case rotation::Reason::kAuth:
      return v1::AUTH;
  }
  return v1::SUSPENSION_REASON_UNSPECIFIED;
}

rotation::Reason FromProto(v1::SuspensionReason reason) {
  switch (reason) {
    case v1::FAILURES:
      return rotation::Reason::kFailures;
    case v1::AUTH:
      return rotation::Reason::kAuth;
    default:
      return rotation::Reason::kQuota;
  }
}

v1::Suspension ToProto(const rotation::Suspension& suspension, MonotonicTime now) {
  v1::Suspension message;
  message.set_target(suspension.target);
  message.set_reason(ToProto(suspension.reason));
  message.set_epoch(suspension.epoch);
  message.set_origin(suspension.origin);
  message.set_lifted(suspension.lifted);
  ToProto(suspension.until - now, *message.mutable_remaining());
  return message;
}

rotation::Suspension FromProto(const v1::Suspension& message, MonotonicTime sent) {
  return {message.target(),
          FromProto(message.reason()),
          sent + FromProto(message.remaining()),
          message.epoch(),
          message.origin(),
          message.lifted()};
}

void SuspensionOutbox::Add(const rotation::Suspension& suspension) {
  const std::pair key(suspension.target, suspension.origin);
  const auto known = items_.find(key);
  if (known != items_.end()) {
    const rotation::Suspension& item = known->second;
    if (item.epoch < suspension.epoch || (item.epoch == suspension.epoch && !item.lifted)) {
      known->second = suspension;
    }
    return;
  }
  if (items_.size() >= capacity_) {
    const auto first_to_end = std::min_element(
        items_.begin(), items_.end(),
        [](const auto& a, const auto& b) { return a.second.until < b.second.until; });
    items_.erase(first_to_end);
    ++dropped_;
  }
  items_.emplace(key, suspension);
}

v1::SuspensionReport SuspensionOutbox::Take(size_t limit, MonotonicTime now) {
  v1::SuspensionReport report;
  while (!items_.empty() && report.items_size() < static_cast<int>(limit)) {
    const rotation::Suspension& item = items_.begin()->second;
    if (item.until > now) {
      *report.add_items() = ToProto(item, now);
    }
    items_.erase(items_.begin());
  }
  return report;
}

void SuspensionOutbox::Restore(const v1::SuspensionReport& report, MonotonicTime sent) {
  for (const v1::Suspension& message : report.items()) {
    Add(FromProto(message, sent));
  }
}

}  // namespace rota::sync
