#pragma once

// How a rotation behaves, as far as somebody has said it. An API says it in its policy, a gateway
// in the defaults that its APIs inherit. Plain values; what is absent is inherited, each field by
// itself, and in the end has the default that is given here.

#include <cstdint>
#include <optional>

#include "common/clock.h"

namespace rota::resource {

enum class OnAllSuspended { kReject, kWait, kPassThrough };

struct RotationSettings {
  std::optional<Duration> quota_suspension;     // 0: never suspended on quota; default 0
  std::optional<Duration> max_suspension;       // default 1 h
  std::optional<OnAllSuspended> all_suspended;  // default kReject
  std::optional<Duration> wait_timeout;         // default 30 s
  std::optional<uint32_t> attempts;             // default: number of targets, at most 5
  std::optional<bool> retry_non_idempotent;     // default false
  std::optional<bool> passive_health_checks;    // default true
  std::optional<uint32_t> failure_threshold;    // default 3
  std::optional<Duration> failure_suspension;   // default 60 s

  friend bool operator==(const RotationSettings&, const RotationSettings&) = default;
};

// `own`, and what it does not say from `defaults`.
inline RotationSettings Inherit(RotationSettings own, const RotationSettings& defaults) {
  const auto take = [](auto& mine, const auto& inherited) {
    if (!mine.has_value()) {
      mine = inherited;
    }
  };
  take(own.quota_suspension, defaults.quota_suspension);
  take(own.max_suspension, defaults.max_suspension);
  take(own.all_suspended, defaults.all_suspended);
  take(own.wait_timeout, defaults.wait_timeout);
  take(own.attempts, defaults.attempts);
  take(own.retry_non_idempotent, defaults.retry_non_idempotent);
  take(own.passive_health_checks, defaults.passive_health_checks);
  take(own.failure_threshold, defaults.failure_threshold);
  take(own.failure_suspension, defaults.failure_suspension);
  return own;
}

}  // namespace rota::resource
