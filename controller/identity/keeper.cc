#include "controller/identity/keeper.h"

#include <pthread.h>

#include <algorithm>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"

namespace rota::identity {
namespace {

// More steps than a whole life needs at once: something undoes them.
constexpr int kMostWritesInARow = 8;
constexpr Duration kShortestWait = std::chrono::milliseconds(100);

const char* TextOf(Action action) {
  switch (action) {
    case Action::kNothing:
      return "nothing to do";
    case Action::kMakeAuthority:
      return "a new CA is made";
    case Action::kForgetOldKey:
      return "the key of the CA before is forgotten";
    case Action::kForgetOld:
      return "the CA before is trusted no more";
    case Action::kPublishBundle:
      return "the CA bundle is published";
    case Action::kIssueServing:
      return "a serving certificate is issued";
  }
  return "";
}

}  // namespace

absl::StatusOr<std::unique_ptr<Keeper>> Keeper::Create(KeeperOptions options, Store& store,
                                                       Clock& clock) {
  const WallTime now = clock.WallNow();
  ASSIGN_OR_RETURN(const KeyPair placeholder,
                   MakeAuthority("rota: no certificate yet", {now, now + std::chrono::hours(1)}));
  std::unique_ptr<Keeper> keeper(new Keeper(std::move(options), store, clock));
  keeper->certificate_.Publish(std::make_shared<const serve::ServingCertificate>(
      serve::ServingCertificate{placeholder.certificate, placeholder.key}));
  return keeper;
}

Keeper::Keeper(KeeperOptions options, Store& store, Clock& clock)
    : options_(std::move(options)),
      store_(store),
      clock_(clock),
      failures_({std::chrono::milliseconds(500), std::chrono::seconds(30), 2.0, 0.5},
                options_.random),
      conflicts_({std::chrono::milliseconds(50), std::chrono::seconds(2), 2.0, 1.0},
                 options_.random) {}

Keeper::~Keeper() = default;

void Keeper::Start() {
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
  pthread_setname_np(thread_.native_handle(), "certificates");
}

std::string Keeper::trust() const {
  std::lock_guard guard(mutex_);
  return trust_;
}

std::string Keeper::missing() const {
  std::lock_guard guard(mutex_);
  return missing_;
}

std::optional<WallTime> Keeper::expires() const {
  std::lock_guard guard(mutex_);
  return expires_;
}

void Keeper::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    const Duration wait = Step(stop);
    const MonotonicTime until = clock_.Now() + wait;
    std::unique_lock lock(mutex_);
    while (!stop.stop_requested() && clock_.Now() < until) {
      clock_.WaitUntil(lock, wake_, until, stop);
    }
  }
}

Duration Keeper::Step(std::stop_token stop) {
  const bool leads = !options_.is_leader || options_.is_leader();
  const absl::StatusOr<Seen> seen = store_.Read(leads, stop);
  if (!seen.ok()) {
    return Fail(seen.status());
  }
  Publish(seen->stored);
  const Duration poll =
      missing().empty() ? options_.poll : std::min(options_.poll, options_.impatient_poll);
  if (!leads) {
    failures_.Reset();
    logged_problem_.clear();
    return poll;
  }
  const WallTime now = clock_.WallNow();
  const Decision decision = Decide(seen->stored, options_.policy, now);
  if (decision.action == Action::kNothing) {
    failures_.Reset();
    conflicts_.Reset();
    writes_in_a_row_ = 0;
    logged_problem_.clear();
    return std::clamp<Duration>(decision.look_again - now, kShortestWait, poll);
  }
  const absl::StatusOr<Change> change = CarryOut(decision, seen->stored, options_.policy, now);
  if (!change.ok()) {
    return Fail(change.status());
  }
  const absl::Status written = store_.Write(*change, *seen, stop);
  if (absl::IsAborted(written)) {
    log::Debug("identity", "another replica was first", {{"step", TextOf(decision.action)}});
    return conflicts_.Next();
  }
  if (!written.ok()) {
    return Fail(written);
  }
  log::Info("identity", TextOf(decision.action), {{"reason", decision.reason}});
  return ++writes_in_a_row_ < kMostWritesInARow ? Duration::zero() : options_.poll;
}

Duration Keeper::Fail(const absl::Status& status) {
  const std::string problem(status.message());
  if (problem != logged_problem_ && !absl::IsCancelled(status)) {
    log::Warn("identity", "certificates cannot be looked after; what is shown stays",
              {{"reason", problem}});
    logged_problem_ = problem;
  }
  std::lock_guard guard(mutex_);
  if (!missing_.empty()) {
    missing_ = problem;
  }
  return failures_.Next();
}

void Keeper::Publish(const Stored& stored) {
  std::optional<KeyPair> usable = UsableServing(stored);
  if (usable.has_value() && certificate_.Get()->chain != usable->certificate) {
    certificate_.Publish(std::make_shared<const serve::ServingCertificate>(
        serve::ServingCertificate{usable->certificate, std::move(usable->key)}));
  }
  std::lock_guard guard(mutex_);
  if (stored.bundle.has_value() && !stored.bundle->certificates.empty()) {
    trust_ = stored.bundle->certificates;
  }
  if (usable.has_value()) {
    missing_.clear();
    const absl::StatusOr<CertificateFacts> facts = ReadCertificate(usable->certificate);
    expires_ = facts.ok() ? std::optional(facts->validity.not_after) : std::nullopt;
  } else if (!missing_.empty()) {
    missing_ = "none is stored yet that can be used";
  }
}

}  // namespace rota::identity
