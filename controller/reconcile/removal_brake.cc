#include "controller/reconcile/removal_brake.h"

namespace rota::reconcile {

bool RemovalBrake::MayGo(const Names& gone, size_t api_count, MonotonicTime now) {
  while (!passed_.empty() && now - passed_.front().first >= options_.window) {
    passed_.pop_front();
  }
  size_t passed = 0;
  for (const auto& [when, count] : passed_) {
    passed += count;
  }
  const size_t removals = passed + gone.size();
  const bool is_mass =
      removals > options_.free_removals &&
      static_cast<double>(removals) > options_.free_share * static_cast<double>(api_count + passed);
  if (held_.empty() && !is_mass) {
    if (!gone.empty()) {
      passed_.emplace_back(now, gone.size());
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

void RemovalBrake::OnPresent(const resource::ObjectName& name) {
  if (held_.erase(name) > 0 && held_.empty()) {
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

RemovalBrake::Names RemovalBrake::Confirm() {
  if (!is_asked_) {
    return {};
  }
  is_asked_ = false;
  Names gone(held_.begin(), held_.end());
  held_.clear();
  return gone;
}

}  // namespace rota::reconcile
