#include "controller/identity/token_authenticator.h"

#include <pthread.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace rota::identity {
namespace {

// RFC 6750 writes it so; the scheme's name has no case (RFC 9110).
constexpr std::string_view kScheme = "bearer ";

bool IsTokenByte(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~' || c == '+' || c == '/' || c == '=';
}

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The token of an `authorization`, looked at no further.
absl::StatusOr<SecretString> TokenOf(const SecretString& authorization, size_t max_bytes) {
  const std::string_view text = authorization.Reveal();
  if (text.empty()) {
    return absl::UnauthenticatedError(
        "no token was shown: start the client with --token-file and a ServiceAccount token of "
        "audience rota-sync");
  }
  const bool bearer =
      text.size() > kScheme.size() &&
      std::equal(kScheme.begin(), kScheme.end(), text.begin(),
                 [](char expected, char found) { return expected == Lower(found); });
  const std::string_view token = bearer ? text.substr(kScheme.size()) : std::string_view();
  if (token.empty() || token.size() > max_bytes ||
      !std::all_of(token.begin(), token.end(), IsTokenByte)) {
    return absl::UnauthenticatedError("what was shown is no bearer token");
  }
  return SecretString(token);
}

}  // namespace

TokenAuthenticator::TokenAuthenticator(TokenAuthenticatorOptions options, Reviewer reviewer,
                                       Clock& clock)
    : options_(options), reviewer_(std::move(reviewer)), clock_(clock), cache_(options.cache) {
  for (int i = 0; i < options_.threads; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Work(stop); });
    pthread_setname_np(threads_.back().native_handle(), "token-review");
  }
}

TokenAuthenticator::~TokenAuthenticator() { Stop(); }

void TokenAuthenticator::Stop() {
  std::deque<Waiting> left;
  {
    std::lock_guard guard(mutex_);
    stopping_ = true;
    left.swap(waiting_);
  }
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  for (const Waiting& waiting : left) {
    Refuse(waiting.done, absl::UnavailableError("this controller is shutting down"));
  }
  threads_.clear();
}

void TokenAuthenticator::Authenticate(serve::PeerIdentity peer, SecretString authorization,
                                      Done done) {
  absl::StatusOr<SecretString> token = TokenOf(authorization, options_.max_bytes);
  if (!token.ok()) {
    log::Warn("identity", "a stream is refused",
              {{"peer", peer.address}, {"reason", std::string(token.status().message())}});
    Refuse(done, token.status());
    return;
  }
  Waiting waiting{std::move(peer), *std::move(token), "", std::move(done)};
  waiting.key = TokenCache::KeyOf(waiting.token.Reveal());
  std::optional<TokenVerdict> known;
  absl::Status refusal;
  {
    std::lock_guard guard(mutex_);
    known = cache_.Find(waiting.key, clock_.Now());
    if (stopping_) {
      refusal = absl::UnavailableError("this controller is shutting down");
    } else if (!known.has_value() && waiting_.size() >= options_.max_waiting) {
      refusal = absl::ResourceExhaustedError("too many tokens wait for their review");
    } else if (!known.has_value()) {
      waiting_.push_back(std::move(waiting));
      changed_.notify_one();
      return;
    }
  }
  if (!refusal.ok()) {
    Refuse(waiting.done, refusal);
    return;
  }
  Tell(waiting, *known);
}

void TokenAuthenticator::Work(std::stop_token stop) {
  while (true) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
    if (waiting_.empty()) {
      return;  // asked to stop
    }
    Waiting waiting = std::move(waiting_.front());
    waiting_.pop_front();
    // Somebody else with the same token may have had it reviewed meanwhile.
    const std::optional<TokenVerdict> known = cache_.Find(waiting.key, clock_.Now());
    lock.unlock();
    if (known.has_value()) {
      Tell(waiting, *known);
    } else {
      Review(std::move(waiting), stop);
    }
  }
}

void TokenAuthenticator::Review(Waiting waiting, std::stop_token stop) {
  const absl::StatusOr<TokenVerdict> verdict = reviewer_(waiting.token, stop);
  {
    std::lock_guard guard(mutex_);
    ++stats_.reviews;
    if (verdict.ok()) {
      cache_.Remember(waiting.key, *verdict, clock_.Now());
    }
  }
  NoteOutage(verdict.status());
  if (!verdict.ok()) {
    Refuse(waiting.done,
           absl::UnavailableError("the Kubernetes API cannot say now whether the token is good"));
    return;
  }
  if (!verdict->good) {
    log::Warn("identity", "a stream is refused: its token is no good",
              {{"peer", waiting.peer.address}, {"reason", verdict->problem}});
  }
  Tell(waiting, *verdict);
}

void TokenAuthenticator::Tell(Waiting& waiting, const TokenVerdict& verdict) {
  if (!verdict.good) {
    Refuse(waiting.done,
           absl::UnauthenticatedError(absl::StrCat("the token is no good: ", verdict.problem)));
    return;
  }
  {
    std::lock_guard guard(mutex_);
    ++stats_.good;
  }
  waiting.peer.authenticated = true;
  waiting.peer.service_account = verdict.service_account;
  waiting.peer.pod = verdict.pod;
  waiting.done(std::move(waiting.peer));
}

void TokenAuthenticator::Refuse(const Done& done, const absl::Status& status) {
  {
    std::lock_guard guard(mutex_);
    ++(absl::IsUnauthenticated(status) ? stats_.bad : stats_.unknown);
  }
  done(status);
}

// Once per outage, not once per data plane.
void TokenAuthenticator::NoteOutage(const absl::Status& status) {
  const std::string outage(status.message());
  {
    std::lock_guard guard(mutex_);
    if (outage == outage_ || stopping_) {
      return;
    }
    outage_ = outage;
  }
  if (status.ok()) {
    log::Info("identity", "tokens are reviewed again");
  } else {
    log::Warn("identity", "tokens cannot be reviewed; new streams wait", {{"reason", outage}});
  }
}

TokenStats TokenAuthenticator::stats() const {
  std::lock_guard guard(mutex_);
  return stats_;
}

}  // namespace rota::identity
