#include "controller/reconcile/removal_brake.h"

namespace rota::reconcile {

bool RemovalBrake::MayGo(const Keys& gone, size_t reach, size_t api_count, MonotonicTime now) {
  while (!passed_.empty() && now - passed_.front().first >= options_.window) {
    passed_.pop_front();
  }
  size_t passed = 0;
  for (const auto& [when, count] : passed_) {
    passed += count;
  }
  const size_t removals = passed + reach;
  const bool is_mass =
      removals > options_.free_removals &&
      static_cast<double>(removals) > options_.free_share * static_cast<double>(api_count + passed);
  if (held_.empty() && !is_mass) {
    if (reach > 0) {
      passed_.emplace_back(now, reach);
    }
    return true;
  }
  if (held_.empty()) {
    ++holds_;
    recheck_at_ = now + options_.recheck_after;
  }
  held_.insert(gone.begin(), gone.end());
  return false;
}

void RemovalBrake::OnPresent(const source::ObjectKey& key) {
  if (held_.erase(key) > 0 && held_.empty()) {
    recheck_at_.reset();
    is_asked_ = false;
  }
}

bool RemovalBrake::TakeRecheck(MonotonicTime now) {
  if (!recheck_at_.has_value() || now < *recheck_at_) {
    return false;
  }
  recheck_at_.reset();
  is_asked_ = true;
  return true;
}

RemovalBrake::Keys RemovalBrake::Confirm() {
  if (!is_asked_) {
    return {};
  }
  is_asked_ = false;
  Keys gone(held_.begin(), held_.end());
  held_.clear();
  return gone;
}

}  // namespace rota::reconcile
