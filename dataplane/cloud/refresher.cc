#include "dataplane/cloud/refresher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"

namespace rota::cloud {
namespace {

constexpr char kComponent[] = "identity";

int64_t Seconds(Duration duration) {
  return std::chrono::duration_cast<std::chrono::seconds>(duration).count();
}

}  // namespace

Refresher::Refresher(std::string name, Callbacks callbacks, Clock& clock, Backoff::Random random)
    : name_(std::move(name)),
      callbacks_(std::move(callbacks)),
      clock_(clock),
      plan_(std::move(random)),
      thread_([this](std::stop_token stop) { Run(std::move(stop)); }) {}

Refresher::~Refresher() {
  thread_.request_stop();
  thread_.join();
}

void Refresher::Want() {
  std::lock_guard guard(mutex_);
  if (!std::exchange(state_.is_wanted, true)) {
    wake_.notify_all();
  }
}

Refresher::State Refresher::state() const {
  std::lock_guard guard(mutex_);
  return state_;
}

void Refresher::Run(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  if (!wake_.wait(lock, stop, [this] { return state_.is_wanted; })) {
    return;
  }
  while (!stop.stop_requested()) {
    const MonotonicTime now = clock_.Now();
    const std::optional<MonotonicTime> end = plan_.usable_until();
    if (end.has_value() && now >= *end) {
      End(lock);
    } else if (now >= plan_.next_fetch()) {
      FetchOnce(lock, stop);
    } else {
      clock_.WaitUntil(lock, wake_, std::min(plan_.next_fetch(), end.value_or(plan_.next_fetch())),
                       stop);
    }
  }
}

void Refresher::FetchOnce(std::unique_lock<std::mutex>& lock, const std::stop_token& stop) {
  lock.unlock();
  absl::StatusOr<Grant> grant = callbacks_.fetch(stop);
  if (stop.stop_requested()) {
    lock.lock();
    return;
  }
  const MonotonicTime now = clock_.Now();
  if (grant.ok()) {
    const Duration lifetime = grant->lifetime;
    plan_.OnGrant(lifetime, now);
    callbacks_.publish(std::move(grant->values));
    log::Info(kComponent, "cloud identity obtained",
              {{"identity", name_}, {"lifetime_seconds", Seconds(lifetime)}});
  } else {
    plan_.OnFailure(now);
    log::Warn(kComponent, "cloud identity not obtained",
              {{"identity", name_},
               {"reason", std::string(grant.status().message())},
               {"next_try_in_seconds", Seconds(plan_.next_fetch() - now)},
               {"usable_for_seconds", Seconds(plan_.usable_until().value_or(now) - now)}});
  }
  lock.lock();
  state_.has_asked = true;
  state_.usable_until = plan_.usable_until();
  state_.problem = grant.ok() ? "" : std::string(grant.status().message());
  ++(grant.ok() ? state_.fetched : state_.failed);
}

void Refresher::End(std::unique_lock<std::mutex>& lock) {
  plan_.OnEnd();
  state_.usable_until.reset();
  const std::string problem = state_.problem;
  lock.unlock();
  callbacks_.publish(absl::UnavailableError(absl::StrCat("it has expired (", problem, ")")));
  log::Error(kComponent, "cloud identity expired; the targets that use it are off the rota",
             {{"identity", name_}, {"reason", problem}});
  lock.lock();
}

}  // namespace rota::cloud
