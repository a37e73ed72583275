#include "dataplane/cloud/refresh_plan.h"

#include <algorithm>

namespace rota::cloud {
namespace {

constexpr double kFreshShare = 0.7;
constexpr double kSpread = 0.1;
constexpr Duration kMaxMargin = std::chrono::minutes(1);

Duration Part(Duration whole, double share) {
  return std::chrono::duration_cast<Duration>(whole * share);
}

}  // namespace

RefreshPlan::RefreshPlan(Backoff::Random random)
    : random_(random),
      backoff_({.initial = std::chrono::seconds(1), .maximum = std::chrono::seconds(30)}, random) {}

void RefreshPlan::OnGrant(Duration lifetime, MonotonicTime now) {
  backoff_.Reset();
  next_fetch_ = now + Part(lifetime, kFreshShare + kSpread * random_());
  usable_until_ = now + lifetime - std::min(kMaxMargin, lifetime / 10);
}

void RefreshPlan::OnFailure(MonotonicTime now) { next_fetch_ = now + backoff_.Next(); }

}  // namespace rota::cloud
