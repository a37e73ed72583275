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

Duration FromProto(const google::protobuf::Duration& duration) {
  // A year is more than any suspension; the bound keeps the sum below from overflowing.
  constexpr int64_t kMaxSeconds = int64_t{365} * 24 * 3600;
  const int64_t seconds = std::clamp<int64_t>(duration.seconds(), 0, kMaxSeconds);
  const int64_t nanos = std::clamp<int64_t>(duration.nanos(), 0, 999'999'999);
  return std::chrono::seconds(seconds) + std::chrono::nanoseconds(nanos);
}

void ToProto(Duration duration, google::protobuf::Duration& out) {
  const int64_t nanos = std::max<int64_t>(duration.count(), 0);
  out.set_seconds(nanos / 1'000'000'000);
  out.set_nanos(static_cast<int32_t>(nanos % 1'000'000'000));
}

void SuspensionOutbox::Add(const rotation::Suspension& suspension, MonotonicTime now) {
  Insert({suspension, suspension.until <= now});
}

void SuspensionOutbox::Insert(Item item) {
  const auto known = items_.find(item.suspension.target);
  if (known != items_.end()) {
    if (known->second.suspension.epoch <= item.suspension.epoch) {
      known->second = std::move(item);
    }
    return;
  }
  if (items_.size() >= capacity_) {
    const auto first_to_end =
        std::min_element(items_.begin(), items_.end(), [](const auto& a, const auto& b) {
          return a.second.suspension.until < b.second.suspension.until;
        });
    items_.erase(first_to_end);
    ++dropped_;
  }
  std::string target = item.suspension.target;
  items_.emplace(std::move(target), std::move(item));
}

v1::SuspensionReport SuspensionOutbox::Take(size_t limit, MonotonicTime now) {
  v1::SuspensionReport report;
  while (!items_.empty() && report.items_size() < static_cast<int>(limit)) {
    const Item& item = items_.begin()->second;
    if (item.lifted || item.suspension.until > now) {
      v1::Suspension& message = *report.add_items();
      message.set_target(item.suspension.target);
      message.set_reason(ToProto(item.suspension.reason));
      message.set_epoch(item.suspension.epoch);
      message.set_origin(item.suspension.origin);
      message.set_lifted(item.lifted);
      ToProto(item.suspension.until - now, *message.mutable_remaining());
    }
    items_.erase(items_.begin());
  }
  return report;
}

void SuspensionOutbox::Restore(const v1::SuspensionReport& report, MonotonicTime now) {
  for (const v1::Suspension& message : report.items()) {
    Item item;
    item.suspension.target = message.target();
    item.suspension.reason = FromProto(message.reason());
    item.suspension.epoch = message.epoch();
    item.suspension.origin = message.origin();
    item.suspension.until = now + FromProto(message.remaining());
    item.lifted = message.lifted();
    Insert(std::move(item));
  }
}

}  // namespace rota::sync
