#include "controller/kube/reflector_state.h"

#include <gtest/gtest.h>

#include "controller/kube/error.h"

namespace rota::kube {
namespace {

absl::Status Http(int code, std::optional<Duration> retry_after = std::nullopt) {
  ApiError error;
  error.http_code = code;
  error.retry_after = retry_after;
  return MakeError(error, "ordered by the test");
}

ReflectorState Listed(const std::string& version) {
  return {ReflectorPhase::kListed, version, "", false};
}
ReflectorState Watching(const std::string& version) {
  return {ReflectorPhase::kWatching, version, "", false};
}
ReflectorState Paging() { return {ReflectorPhase::kPaging, "10", "more", false}; }

TEST(ReflectorStateTest, KeepsTheVersionOfTheFirstPageWhateverLaterPagesSay) {
  const Decision first = AfterPage(ReflectorState(), "10", "more");
  const Decision last = AfterPage(first.next, "12", "");

  EXPECT_EQ(first.next.phase, ReflectorPhase::kPaging);
  EXPECT_EQ(first.next.continue_token, "more");
  EXPECT_FALSE(first.commit);
  EXPECT_EQ(last.next.phase, ReflectorPhase::kListed);
  EXPECT_EQ(last.next.resource_version, "10");
  EXPECT_TRUE(last.next.continue_token.empty());
  EXPECT_TRUE(last.commit);
}

TEST(ReflectorStateTest, AStreamingListIsCommittedAtItsEndAndGoesOnAsAWatch) {
  const Decision opened = AfterStreamOpened(ReflectorState());
  const Decision complete = AfterInitialEvents(opened.next, "12");

  EXPECT_EQ(opened.next.phase, ReflectorPhase::kStreaming);
  EXPECT_FALSE(opened.commit);
  EXPECT_TRUE(complete.commit);
  EXPECT_EQ(complete.next.phase, ReflectorPhase::kWatching);
  EXPECT_EQ(complete.next.resource_version, "12");
}

TEST(ReflectorStateTest, AServerThatCannotStreamListsIsNotAskedAgainAndListedAtOnce) {
  for (const Decision& decision :
       {AfterStreamFailed(Http(422), false), AfterStreamFailed(Http(400), false),
        AfterStreamFailed(Http(500), true), AfterStreamWithoutEnd()}) {
    EXPECT_TRUE(decision.no_streams);
    EXPECT_TRUE(decision.next.unstreamed);
    EXPECT_TRUE(decision.discard);
    EXPECT_EQ(decision.next.phase, ReflectorPhase::kEmpty);
    EXPECT_EQ(decision.wait.kind, Wait::Kind::kNone);
  }
}

TEST(ReflectorStateTest, AStreamThatFailsForAnotherReasonIsFollowedByOneListInPages) {
  for (const Decision& decision :
       {AfterStreamFailed(absl::UnavailableError("refused"), false),
        AfterStreamFailed(Http(429), false), AfterStreamFailed(Http(500), false),
        AfterStreamFailed(Http(403), false),
        AfterStreamFailed(Http(500, std::chrono::seconds(1)), true)}) {
    EXPECT_FALSE(decision.no_streams);
    EXPECT_TRUE(decision.next.unstreamed);
    EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
    EXPECT_FALSE(AfterPage(decision.next, "10", "").next.unstreamed);
  }
  EXPECT_EQ(AfterStreamFailed(Http(410), true).wait.kind, Wait::Kind::kNone);
}

TEST(ReflectorStateTest, AnErrorWhilePagingStartsOverAndCommitsNothing) {
  const Decision decision = AfterListFailed(Paging(), Http(500));

  EXPECT_EQ(decision.next.phase, ReflectorPhase::kEmpty);
  EXPECT_TRUE(decision.discard);
  EXPECT_FALSE(decision.commit);
  EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
}

TEST(ReflectorStateTest, AnExpiredPageIsFollowedByOneListWithoutPages) {
  const Decision expired = AfterListFailed(Paging(), Http(410));
  EXPECT_TRUE(expired.next.unpaged);
  EXPECT_EQ(expired.wait.kind, Wait::Kind::kNone);

  const Decision done = AfterPage(expired.next, "20", "");
  EXPECT_FALSE(done.next.unpaged);
  EXPECT_EQ(done.next.resource_version, "20");
}

TEST(ReflectorStateTest, AServerThatPagesTheUnpagedListAndExpiresItAgainIsNotAskedInALoop) {
  ReflectorState state = Paging();
  state.unpaged = true;

  const Decision decision = AfterListFailed(state, Http(410));

  EXPECT_FALSE(decision.next.unpaged);
  EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
}

TEST(ReflectorStateTest, AMissingResourceIsAskedForEveryThirtySeconds) {
  const Decision decision = AfterListFailed(ReflectorState(), Http(404));

  EXPECT_EQ(decision.wait.kind, Wait::Kind::kExactly);
  EXPECT_EQ(decision.wait.duration, std::chrono::seconds(30));
}

TEST(ReflectorStateTest, AWatchThatCannotBeOpenedIsTriedAgainFromTheSameVersion) {
  for (const absl::Status& error : {Http(429), Http(500), Http(401), Http(403),
                                    absl::FailedPreconditionError("the plugin failed")}) {
    const Decision decision = AfterWatchNotOpened(Listed("7"), error);

    EXPECT_EQ(decision.next.phase, ReflectorPhase::kListed) << error;
    EXPECT_EQ(decision.next.resource_version, "7");
    EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
    EXPECT_FALSE(decision.discard);
  }
}

TEST(ReflectorStateTest, AWatchThatNobodyAnswersIsTriedAgainSoonFromTheSameVersion) {
  const Decision decision = AfterWatchNotOpened(Listed("7"), absl::UnavailableError("refused"));

  EXPECT_EQ(decision.next.phase, ReflectorPhase::kListed);
  EXPECT_EQ(decision.next.resource_version, "7");
  EXPECT_EQ(decision.wait.kind, Wait::Kind::kReconnect);
  EXPECT_FALSE(decision.discard);
}

TEST(ReflectorStateTest, TheServersRetryAfterIsTheLeastWait) {
  const Decision decision = AfterWatchNotOpened(Listed("7"), Http(429, std::chrono::seconds(9)));

  EXPECT_EQ(decision.wait.duration, std::chrono::seconds(9));
}

TEST(ReflectorStateTest, AnExpiredWatchListsAtOnce) {
  for (const Decision& decision :
       {AfterWatchNotOpened(Listed("7"), Http(410)), AfterErrorEvent(Watching("7"), Http(410))}) {
    EXPECT_EQ(decision.next.phase, ReflectorPhase::kEmpty);
    EXPECT_EQ(decision.next.resource_version, "");
    EXPECT_EQ(decision.wait.kind, Wait::Kind::kNone);
    EXPECT_TRUE(decision.discard);
  }
}

TEST(ReflectorStateTest, AVersionThatTheServerDoesNotUnderstandIsGivenUp) {
  ApiError too_large;
  too_large.http_code = 504;
  too_large.resource_version_too_large = true;
  for (const absl::Status& error : {Http(400), MakeError(too_large, "too large")}) {
    const Decision decision = AfterWatchNotOpened(Listed("7"), error);

    EXPECT_EQ(decision.next.phase, ReflectorPhase::kEmpty);
    EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
  }
}

TEST(ReflectorStateTest, EventsAndBookmarksAdvanceTheVersion) {
  const Decision opened = AfterWatchOpened(Listed("7"));
  const Decision event = AfterEvent(opened.next, "8");

  EXPECT_EQ(opened.next.phase, ReflectorPhase::kWatching);
  EXPECT_EQ(event.next.resource_version, "8");
  EXPECT_EQ(event.next.phase, ReflectorPhase::kWatching);
}

TEST(ReflectorStateTest, AnEndedWatchGoesOnAtOnceUnlessItWasVeryShortAndSilent) {
  const auto wait = [](Duration lifetime, bool had_events) {
    const Decision decision = AfterWatchEnded(Watching("9"), lifetime, had_events);
    EXPECT_EQ(decision.next.phase, ReflectorPhase::kListed);
    EXPECT_EQ(decision.next.resource_version, "9");
    return decision.wait.kind;
  };

  EXPECT_EQ(wait(std::chrono::seconds(300), false), Wait::Kind::kNone);
  EXPECT_EQ(wait(std::chrono::milliseconds(10), true), Wait::Kind::kNone);
  EXPECT_EQ(wait(std::chrono::milliseconds(10), false), Wait::Kind::kBackoff);
}

TEST(ReflectorStateTest, AnotherErrorEventGoesOnFromTheLastVersionAfterAWait) {
  const Decision decision = AfterErrorEvent(Watching("9"), Http(500, std::chrono::seconds(1)));

  EXPECT_EQ(decision.next.phase, ReflectorPhase::kListed);
  EXPECT_EQ(decision.next.resource_version, "9");
  EXPECT_EQ(decision.wait.duration, std::chrono::seconds(1));
}

TEST(ReflectorStateTest, AnEventThatCannotBeUnderstoodStartsOver) {
  const Decision decision = AfterUnreadableEvent(Watching("9"));

  EXPECT_EQ(decision.next.phase, ReflectorPhase::kEmpty);
  EXPECT_TRUE(decision.discard);
  EXPECT_EQ(decision.wait.kind, Wait::Kind::kBackoff);
}

}  // namespace
}  // namespace rota::kube
