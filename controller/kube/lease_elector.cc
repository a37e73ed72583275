#include "controller/kube/lease_elector.h"

#include <pthread.h>

#include <utility>

#include "common/log.h"
#include "controller/kube/error.h"

namespace rota::kube {
namespace {

constexpr Duration kIdle = std::chrono::hours(1);
// A renewal that takes longer has to leave time for another try before the deadline.
constexpr HttpLimits kLimits = {std::chrono::seconds(4), std::chrono::seconds(4), size_t{1} << 20};
// Of the requests that a process makes while it ends.
constexpr HttpLimits kReleaseLimits = {std::chrono::seconds(1), std::chrono::seconds(1),
                                       size_t{1} << 20};
// A look, and three tries with a look after each that came too late.
constexpr int kReleaseRequests = 6;

}  // namespace

LeaseElector::LeaseElector(const KubeApi& api, Clock& clock, LeaseOptions options)
    : api_(api),
      clock_(clock),
      options_(std::move(options)),
      state_(options_.ns, options_.name, options_.identity, options_.timings) {}

LeaseElector::~LeaseElector() { Stop(); }

void LeaseElector::Start() {
  watcher_ = std::jthread([this](std::stop_token stop) { Watch(stop); });
  pthread_setname_np(watcher_.native_handle(), "lease-watch");
  elector_ = std::jthread([this](std::stop_token stop) { Elect(stop); });
  pthread_setname_np(elector_.native_handle(), "lease");
}

void LeaseElector::Stop() {
  if (!elector_.joinable()) {
    return;
  }
  elector_.request_stop();
  elector_.join();
  watcher_.request_stop();
  watcher_.join();
  bool led = false;
  {
    std::lock_guard guard(mutex_);
    state_.GiveUp();
    led = std::exchange(report_.leads, false);
    report_.changes += led ? 1 : 0;
  }
  if (led && options_.on_change) {
    options_.on_change(false);
  }
  Release();
}

bool LeaseElector::leads() const {
  std::lock_guard guard(mutex_);
  return state_.Leads(clock_.Now());
}

bool LeaseElector::healthy() const {
  std::lock_guard guard(mutex_);
  return !state_.IsStuck(clock_.Now());
}

LeaseReport LeaseElector::report() const {
  std::lock_guard guard(mutex_);
  LeaseReport report = report_;
  report.leads = state_.Leads(clock_.Now());
  report.identity = options_.identity;
  report.holder = state_.holder();
  return report;
}

void LeaseElector::Elect(std::stop_token stop) {
  while (!stop.stop_requested()) {
    TakeTurn(stop);
    std::unique_lock lock(mutex_);
    const MonotonicTime due = clock_.Now() + state_.NextTurn(options_.uniform());
    while (!stop.stop_requested() && clock_.Now() < due) {
      clock_.WaitUntil(lock, changed_, due, stop);
    }
  }
}

void LeaseElector::TakeTurn(std::stop_token stop) {
  std::optional<LeaseRequest> request;
  {
    std::lock_guard guard(mutex_);
    request = state_.Begin(clock_.WallNow());
  }
  while (request.has_value()) {
    const MonotonicTime sent = clock_.Now();
    const absl::StatusOr<nlohmann::json> answer = Send(*request, stop, kLimits);
    if (stop.stop_requested()) {
      return;
    }
    std::lock_guard guard(mutex_);
    request = state_.OnAnswer(answer, sent, clock_.Now(), clock_.WallNow());
    if (!request.has_value()) {
      Note(answer.status());
    }
    changed_.notify_all();
  }
}

absl::StatusOr<nlohmann::json> LeaseElector::Send(const LeaseRequest& request, std::stop_token stop,
                                                  const HttpLimits& limits) const {
  const bool is_create = request.kind == LeaseRequest::Kind::kCreate;
  const char* const method = request.kind == LeaseRequest::Kind::kRead ? "GET"
                             : is_create                               ? "POST"
                                                                       : "PUT";
  return api_.Call(method,
                   KubeApi::PathOf(LeaseResource(), options_.ns, is_create ? "" : options_.name),
                   request.body, "application/json", stop, limits);
}

// REQUIRES: mutex_ is held.
void LeaseElector::Note(const absl::Status& status) {
  // Somebody else was quicker: that is how an election goes.
  const bool is_trouble = !status.ok() && ErrorOf(status).http_code != 409;
  report_.failures += is_trouble ? 1 : 0;
  report_.error = is_trouble ? std::string(status.message()) : "";
  if (is_trouble && status != logged_) {
    log::Warn("lease",
              "the lease cannot be read or written; this controller serves, and writes statuses "
              "and Events only while it holds it",
              {{"namespace", options_.ns}, {"name", options_.name}, {"error", report_.error}});
  }
  logged_ = is_trouble ? status : absl::OkStatus();
}

// Tells whoever wants to know, and ends a term that nobody has renewed.
void LeaseElector::Watch(std::stop_token stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    const MonotonicTime now = clock_.Now();
    const bool leads = state_.Leads(now);
    if (state_.held() && !leads) {
      state_.GiveUp();
    }
    if (leads != report_.leads) {
      report_.leads = leads;
      report_.changes += 1;
      lock.unlock();
      log::Info("lease", leads ? "this controller writes from now on" : "another one may write now",
                {{"namespace", options_.ns}, {"name", options_.name}, {"leader", leads}});
      if (options_.on_change) {
        options_.on_change(leads);
      }
      lock.lock();
      continue;  // it may have changed again meanwhile
    }
    clock_.WaitUntil(lock, changed_, leads ? state_.leads_until() : now + kIdle, stop);
  }
}

void LeaseElector::Release() {
  for (int i = 0; i < kReleaseRequests; ++i) {
    std::optional<LeaseRequest> request;
    {
      std::lock_guard guard(mutex_);
      request = state_.Release(clock_.WallNow());
    }
    if (!request.has_value()) {
      return;
    }
    absl::StatusOr<nlohmann::json> answer = Send(*request, {}, kReleaseLimits);
    if (answer.ok()) {
      std::lock_guard guard(mutex_);
      state_.Look(*std::move(answer), clock_.Now());
    } else if (ErrorOf(answer.status()).http_code != 409) {
      return;  // what is not released ends by itself
    }
  }
}

}  // namespace rota::kube
