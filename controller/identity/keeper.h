#pragma once

// Keeps this replica's certificate the newest one that is stored, and, while it leads, what is
// stored in order: reads, decides (plan.h), writes one step, begins again. Reading is by name and
// by the clock (`poll`): a certificate is renewed days before it ends, so nothing is lost by not
// watching.
//
// An API server that is away changes nothing that is shown. Every write holds the version that was
// read, so that more than one replica may lead without harm; leading only spares them the race.
//
// Start() and the destructor belong to one thread; the rest is thread-safe. One thread of its own.

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/statusor.h"
#include "common/backoff.h"
#include "common/clock.h"
#include "common/published.h"
#include "controller/identity/plan.h"
#include "controller/identity/store.h"
#include "controller/serve/serving_certificate.h"

namespace rota::identity {

struct KeeperOptions {
  Policy policy;
  std::function<bool()> is_leader;  // empty: every replica may write
  Duration poll = std::chrono::seconds(15);
  // While there is no certificate yet, or this replica waits for somebody to issue it.
  Duration impatient_poll = std::chrono::seconds(1);
  Backoff::Random random = Backoff::SystemRandom();
};

class Keeper {
 public:
  // Shows a certificate that nobody trusts until there is one. `store` and `clock` outlive it.
  static absl::StatusOr<std::unique_ptr<Keeper>> Create(KeeperOptions options, Store& store,
                                                        Clock& clock);
  ~Keeper();
  void Start();
  // One look and at most one write; returns how long to wait before the next. What the thread does
  // again and again: for tests, which do not Start().
  Duration Step(std::stop_token stop);

  // Never holds null.
  const Published<serve::ServingCertificate>& certificate() const { return certificate_; }
  // The CAs that are trusted now (PEM); "" as long as that is not known.
  std::string trust() const;
  // Why there is no certificate yet; "" once there is one.
  std::string missing() const;
  // Of the certificate that is shown; nullopt as long as there is none.
  std::optional<WallTime> expires() const;

 private:
  Keeper(KeeperOptions options, Store& store, Clock& clock);
  void Run(std::stop_token stop);
  Duration Fail(const absl::Status& status);
  void Publish(const Stored& stored);

  const KeeperOptions options_;
  Store& store_;
  Clock& clock_;
  Published<serve::ServingCertificate> certificate_;

  // Of the thread alone.
  Backoff failures_;
  Backoff conflicts_;
  int writes_in_a_row_ = 0;
  std::string logged_problem_;

  mutable std::mutex mutex_;
  std::condition_variable_any wake_;
  std::string trust_;
  std::string missing_ = "it has not been read yet";
  std::optional<WallTime> expires_;

  std::jthread thread_;  // last: uses the rest
};

}  // namespace rota::identity
