#include "controller/identity/token_authenticator.h"

#include <future>
#include <map>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::identity {
namespace {

using std::chrono::seconds;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Answer = absl::StatusOr<serve::PeerIdentity>;

// An API server that knows some tokens, may be away, and may take its time.
class FakeApi {
 public:
  TokenAuthenticator::Reviewer reviewer() {
    return [this](const SecretString& token, std::stop_token stop) { return Review(token, stop); };
  }
  void Know(const std::string& token, const std::string& account, const std::string& pod = "") {
    std::lock_guard guard(mutex_);
    accounts_[token] = {account, pod};
  }
  void SetAway(bool away) {
    std::lock_guard guard(mutex_);
    away_ = away;
  }
  // Reviews wait until Release().
  void Hold() {
    std::lock_guard guard(mutex_);
    held_ = true;
  }
  void Release() {
    std::lock_guard guard(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void AwaitReviews(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ >= count; });
  }
  int reviews() {
    std::lock_guard guard(mutex_);
    return begun_;
  }

 private:
  absl::StatusOr<TokenVerdict> Review(const SecretString& token, std::stop_token stop) {
    std::unique_lock lock(mutex_);
    ++begun_;
    changed_.notify_all();
    changed_.wait(lock, stop, [this] { return !held_; });
    if (stop.stop_requested()) {
      return absl::CancelledError("stopped");
    }
    if (away_) {
      return absl::UnavailableError("connection refused");
    }
    TokenVerdict verdict;
    const auto found = accounts_.find(std::string(token.Reveal()));
    if (found == accounts_.end()) {
      verdict.problem = "invalid bearer token";
      return verdict;
    }
    verdict.good = true;
    verdict.service_account = found->second.first;
    verdict.pod = found->second.second;
    return verdict;
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::pair<std::string, std::string>> accounts_;
  bool away_ = false;
  bool held_ = false;
  int begun_ = 0;
};

class TokenAuthenticatorTest : public ::testing::Test {
 protected:
  std::future<Answer> Begin(const std::string& authorization) {
    auto promise = std::make_shared<std::promise<Answer>>();
    serve::PeerIdentity peer;
    peer.address = "ipv4:10.0.0.1:1234";
    authenticator_.Authenticate(peer, SecretString(authorization),
                                [promise](Answer answer) { promise->set_value(answer); });
    return promise->get_future();
  }
  Answer Show(const std::string& token) { return Begin("Bearer " + token).get(); }

  FakeClock clock_;
  FakeApi api_;
  TokenAuthenticator authenticator_{
      {.cache = {}, .threads = 2, .max_waiting = 3, .max_bytes = 1000}, api_.reviewer(), clock_};
};

TEST_F(TokenAuthenticatorTest, AGoodTokenBecomesAnIdentity) {
  api_.Know("a.b.c", "team/rota-dataplane", "proxy-7");
  const Answer answer = Show("a.b.c");
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_TRUE(answer->authenticated);
  EXPECT_EQ(answer->service_account, "team/rota-dataplane");
  EXPECT_EQ(answer->pod, "proxy-7");
  EXPECT_EQ(answer->address, "ipv4:10.0.0.1:1234");
  EXPECT_EQ(authenticator_.stats().good, 1u);
}

TEST_F(TokenAuthenticatorTest, ABadTokenIsRefusedWithTheReasonAndWithoutTheToken) {
  const Answer answer = Show("s3cr3t.b.c");
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnauthenticated);
  EXPECT_THAT(std::string(answer.status().message()),
              AllOf(HasSubstr("invalid bearer token"), Not(HasSubstr("s3cr3t"))));
  EXPECT_EQ(authenticator_.stats().bad, 1u);
}

TEST_F(TokenAuthenticatorTest, WhatIsNoTokenIsRefusedWithoutAskingAnybody) {
  EXPECT_THAT(std::string(Begin("").get().status().message()), HasSubstr("--token-file"));
  for (const std::string& text :
       {std::string("Bearer"), std::string("Bearer "), std::string("Basic dXNlcjpw"),
        std::string("Bearer a b"), std::string("Bearer a\"b"), std::string("Bearer a\nb"),
        "Bearer " + std::string(1001, 'a'), std::string("Bearer \xff")}) {
    const Answer answer = Begin(text).get();
    EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnauthenticated) << text;
  }
  EXPECT_EQ(api_.reviews(), 0);
  EXPECT_EQ(authenticator_.stats().bad, 9u);
}

TEST_F(TokenAuthenticatorTest, TheSchemesNameHasNoCase) {
  api_.Know("a.b.c", "ns/sa");
  EXPECT_TRUE(Begin("bearer a.b.c").get().ok());
  EXPECT_TRUE(Begin("BEARER a.b.c").get().ok());
}

TEST_F(TokenAuthenticatorTest, ATokenIsReviewedOnceAMinute) {
  api_.Know("a.b.c", "ns/sa");
  EXPECT_TRUE(Show("a.b.c").ok());
  clock_.Advance(seconds(59));
  EXPECT_TRUE(Show("a.b.c").ok());
  EXPECT_EQ(api_.reviews(), 1);
  clock_.Advance(seconds(1));
  EXPECT_TRUE(Show("a.b.c").ok());
  EXPECT_EQ(api_.reviews(), 2);
}

TEST_F(TokenAuthenticatorTest, ABadTokenIsReviewedOnceInTenSeconds) {
  EXPECT_FALSE(Show("x").ok());
  EXPECT_FALSE(Show("x").ok());
  EXPECT_EQ(api_.reviews(), 1);
  api_.Know("x", "ns/sa");
  clock_.Advance(seconds(10));
  EXPECT_TRUE(Show("x").ok());
}

TEST_F(TokenAuthenticatorTest, WhileTheApiIsAwayOnlyWhatIsKnownIsGood) {
  api_.Know("known", "ns/sa");
  api_.Know("new", "ns/sa");
  EXPECT_TRUE(Show("known").ok());
  api_.SetAway(true);
  EXPECT_TRUE(Show("known").ok());
  const Answer unknown = Show("new");
  EXPECT_EQ(unknown.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Show("made.up").status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(authenticator_.stats().unknown, 2u);
  clock_.Advance(seconds(60));
  EXPECT_EQ(Show("known").status().code(), absl::StatusCode::kUnavailable);
  api_.SetAway(false);
  EXPECT_TRUE(Show("new").ok()) << "that it could not be said is not remembered";
}

TEST_F(TokenAuthenticatorTest, ManyStreamsOfOneTokenCostAFewReviews) {
  api_.Know("a.b.c", "ns/sa");
  api_.Hold();
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 5; ++i) {  // two under way, three in line
    answers.push_back(Begin("Bearer a.b.c"));
    api_.AwaitReviews(std::min(i + 1, 2));
  }
  api_.Release();
  for (std::future<Answer>& answer : answers) {
    EXPECT_TRUE(answer.get().ok());
  }
  EXPECT_EQ(api_.reviews(), 2) << "one for each thread";
}

TEST_F(TokenAuthenticatorTest, TheLineIsBounded) {
  api_.Hold();
  std::vector<std::future<Answer>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(Begin("Bearer t" + std::to_string(i)));
    api_.AwaitReviews(std::min(i + 1, 2));
  }
  EXPECT_EQ(Show("one.more").status().code(), absl::StatusCode::kResourceExhausted);
  api_.Release();
  for (std::future<Answer>& answer : waiting) {
    EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kUnauthenticated);
  }
}

TEST_F(TokenAuthenticatorTest, AStopAnswersEverybody) {
  api_.Know("known", "ns/sa");
  EXPECT_TRUE(Show("known").ok());
  api_.Hold();
  std::vector<std::future<Answer>> waiting;
  for (int i = 0; i < 5; ++i) {
    waiting.push_back(Begin("Bearer t" + std::to_string(i)));
    api_.AwaitReviews(std::min(i + 2, 3));
  }
  authenticator_.Stop();
  for (std::future<Answer>& answer : waiting) {
    EXPECT_EQ(answer.get().status().code(), absl::StatusCode::kUnavailable);
  }
  EXPECT_EQ(Show("known").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rota::identity
