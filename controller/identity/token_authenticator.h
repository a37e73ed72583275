#pragma once

// Authenticator of ServiceAccount tokens: asks a reviewer (the Kubernetes API) about each token
// that it does not know, on threads of its own, and remembers the answers for a while.
//
// The reviewer away: tokens that were found good less than a minute ago are good still, others get
// UNAVAILABLE and their data planes come back. Streams that are open are not asked again: they end
// with their connection's maximum age.
//
// Thread-safe. No token is logged, kept or quoted.

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "controller/identity/token_cache.h"
#include "controller/serve/authenticator.h"

namespace rota::identity {

struct TokenAuthenticatorOptions {
  TokenCacheOptions cache;
  int threads = 4;             // reviews at once
  size_t max_waiting = 2000;   // streams; beyond: RESOURCE_EXHAUSTED
  size_t max_bytes = 8 << 10;  // of a token
};

// Counters since start.
struct TokenStats {
  uint64_t good = 0;     // streams whose token was found good
  uint64_t bad = 0;      // or bad, or missing
  uint64_t unknown = 0;  // nobody could say, or too many were waiting
  uint64_t reviews = 0;  // the reviewer was asked
};

class TokenAuthenticator final : public serve::Authenticator {
 public:
  // The verdict, or why there is none now. May block; must end soon after a request to stop.
  using Reviewer =
      std::function<absl::StatusOr<TokenVerdict>(const SecretString& token, std::stop_token stop)>;

  // `clock` outlives the authenticator.
  TokenAuthenticator(TokenAuthenticatorOptions options, Reviewer reviewer, Clock& clock);
  ~TokenAuthenticator() override;  // stops

  void Authenticate(serve::PeerIdentity peer, SecretString authorization, Done done) override;
  // Everybody who waits, and whoever comes from now on, is told UNAVAILABLE. Returns when nobody
  // waits any more.
  void Stop();

  TokenStats stats() const;

 private:
  struct Waiting {
    serve::PeerIdentity peer;
    SecretString token;
    std::string key;
    Done done;
  };
  void Work(std::stop_token stop);
  void Review(Waiting waiting, std::stop_token stop);
  void Tell(Waiting& waiting, const TokenVerdict& verdict);
  void Refuse(const Done& done, const absl::Status& status);
  void NoteOutage(const absl::Status& status);

  const TokenAuthenticatorOptions options_;
  const Reviewer reviewer_;
  Clock& clock_;

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  TokenCache cache_;
  std::deque<Waiting> waiting_;
  TokenStats stats_;
  bool stopping_ = false;
  std::string outage_;  // as it was logged; "" while the reviewer answers

  std::vector<std::jthread> threads_;  // last: use the rest
};

}  // namespace rota::identity
