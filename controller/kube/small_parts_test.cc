// Error, watch stream, token bucket, work queue and server URL: the small parts of the client.

#include <gmock/gmock.h>

#include <thread>

#include "controller/kube/error.h"
#include "controller/kube/server_url.h"
#include "controller/kube/token_bucket.h"
#include "controller/kube/watch_stream.h"
#include "controller/kube/work_queue.h"

namespace rota::kube {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(ErrorTest, ReadsAPlainText429WithItsRetryAfter) {
  const HttpResponse response{429, {{"retry-after", "7"}}, "Too many requests, please try again."};

  const absl::Status status = ErrorFromResponse(response, "list x");

  EXPECT_TRUE(absl::IsResourceExhausted(status));
  EXPECT_EQ(ErrorOf(status).retry_after, std::chrono::seconds(7));
  EXPECT_THAT(std::string(status.message()), HasSubstr("list x: HTTP 429"));
}

TEST(ErrorTest, CapsWhatAServerMayAskForAndWhatItMaySay) {
  const HttpResponse response{503, {{"retry-after", "99999999"}}, std::string(5000, 'x') + "\n"};

  const absl::Status status = ErrorFromResponse(response, "get");

  EXPECT_EQ(ErrorOf(status).retry_after, kMaxRetryAfter);
  EXPECT_LT(status.message().size(), 1000u);
}

TEST(ErrorTest, KnowsExpiredInAllItsForms) {
  const HttpResponse http{410, {}, "{}"};
  EXPECT_TRUE(ErrorOf(ErrorFromResponse(http, "w")).expired());
  for (const char* reason : {"Expired", "Gone"}) {
    EXPECT_TRUE(ErrorOf(ErrorFromStatusObject({{"reason", reason}, {"code", 500}}, "w")).expired());
  }
  EXPECT_FALSE(ErrorOf(ErrorFromStatusObject(json::object(), "w")).expired());
  EXPECT_EQ(ErrorOf(absl::UnavailableError("x")).http_code, 0);
}

TEST(ErrorTest, SurvivesRubbishInPlaceOfAStatus) {
  for (const json& object : {json(), json::array(), json(1), json{{"code", "x"}, {"details", 1}},
                             json{{"code", -1}, {"details", {{"causes", {1, "a"}}}}}}) {
    EXPECT_EQ(ErrorOf(ErrorFromStatusObject(object, "w")).http_code, 500);
  }
}

std::vector<std::string> Versions(const std::vector<std::string>& pieces, absl::Status& status) {
  WatchStream stream;
  std::vector<std::string> versions;
  for (const std::string& piece : pieces) {
    status = stream.Feed(piece, [&](WatchEvent event) {
      versions.push_back(event.resource_version);
      return true;
    });
    if (!status.ok()) {
      break;
    }
  }
  return versions;
}

constexpr char kEvent[] =
    "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":\"5\"}}}\n";

TEST(WatchStreamTest, ChunkBoundariesMeanNothing) {
  const std::string two = std::string(kEvent) + kEvent;
  for (size_t cut = 0; cut <= two.size(); ++cut) {
    absl::Status status;
    EXPECT_THAT(Versions({two.substr(0, cut), two.substr(cut)}, status), ElementsAre("5", "5"));
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST(WatchStreamTest, StopsWhenTheReceiverHasEnough) {
  WatchStream stream;
  int count = 0;

  const absl::Status status = stream.Feed(std::string(kEvent) + kEvent, [&](WatchEvent) {
    ++count;
    return false;
  });

  EXPECT_TRUE(status.ok());
  EXPECT_EQ(count, 1);
  EXPECT_TRUE(stream.ended());
}

TEST(WatchStreamTest, RefusesWhatIsNoEvent) {
  for (const char* line :
       {"not json\n", "[]\n", "{}\n", "{\"type\":1,\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":[]}\n", "{\"type\":\"RENAMED\",\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":{\"metadata\":{\"resourceVersion\":5}}}\n"}) {
    absl::Status status;
    Versions({line}, status);
    EXPECT_TRUE(absl::IsDataLoss(status)) << line;
  }
}

TEST(WatchStreamTest, RefusesALineWithoutAnEnd) {
  WatchStream stream;
  const std::string piece(1 << 20, 'x');
  absl::Status status;
  for (int i = 0; i < 9 && status.ok(); ++i) {
    status = stream.Feed(piece, [](WatchEvent) { return true; });
  }

  EXPECT_TRUE(absl::IsResourceExhausted(status)) << status;
}

TEST(TokenBucketTest, GivesItsBurstThenItsRate) {
  FakeClock clock;
  TokenBucket bucket(10, 3, clock.Now());

  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(bucket.Take(clock.Now()), Duration::zero());
  }
  const Duration wait = bucket.Take(clock.Now());
  EXPECT_GT(wait, std::chrono::milliseconds(99));
  EXPECT_LE(wait, std::chrono::milliseconds(101));
  clock.Advance(wait);
  EXPECT_EQ(bucket.Take(clock.Now()), Duration::zero());
  clock.Advance(std::chrono::hours(1));
  int taken = 0;
  while (bucket.Take(clock.Now()) == Duration::zero()) {
    ++taken;
  }
  EXPECT_EQ(taken, 3);
}

class WorkQueueTest : public ::testing::Test {
 protected:
  FakeClock clock_;
  WorkQueue<std::string> queue_{
      clock_, {std::chrono::seconds(1), std::chrono::seconds(8), 2.0, 1.0}, [] { return 0.5; }};
};

TEST_F(WorkQueueTest, ManyAddsAreOneTurn) {
  queue_.Add("a");
  queue_.Add("a");
  queue_.Add("b");

  EXPECT_EQ(queue_.Take({}), "a");
  EXPECT_EQ(queue_.Take({}), "b");
  queue_.Done("a");
  queue_.Done("b");
  EXPECT_EQ(queue_.size(), 0u);
}

TEST_F(WorkQueueTest, AKeyThatIsAddedWhileWorkedOnGetsOneMoreTurnAfterwards) {
  queue_.Add("a");
  ASSERT_EQ(queue_.Take({}), "a");
  queue_.Add("a");
  queue_.Add("a");
  queue_.Add("b");

  EXPECT_EQ(queue_.Take({}), "b");  // not "a" a second time at once
  queue_.Done("a");
  EXPECT_EQ(queue_.Take({}), "a");
  queue_.Done("a");
  queue_.Done("b");
  EXPECT_EQ(queue_.size(), 0u);
}

TEST_F(WorkQueueTest, AFailedKeyComesBackLaterEachTimeUntilItSucceeds) {
  queue_.Add("a");
  ASSERT_EQ(queue_.Take({}), "a");
  EXPECT_EQ(queue_.Retry("a"), std::chrono::milliseconds(1500));
  clock_.Advance(std::chrono::milliseconds(1500));
  ASSERT_EQ(queue_.Take({}), "a");
  EXPECT_EQ(queue_.Retry("a"), std::chrono::seconds(3));
  clock_.Advance(std::chrono::seconds(3));
  ASSERT_EQ(queue_.Take({}), "a");
  EXPECT_EQ(queue_.Retry("a", std::chrono::seconds(60)), std::chrono::seconds(60));
  clock_.Advance(std::chrono::seconds(60));
  ASSERT_EQ(queue_.Take({}), "a");
  queue_.Done("a");
  queue_.Add("a");
  ASSERT_EQ(queue_.Take({}), "a");
  EXPECT_EQ(queue_.Retry("a"), std::chrono::milliseconds(1500));
}

TEST_F(WorkQueueTest, ANewReasonDoesNotWaitForTheBackoffOfTheOldOne) {
  queue_.Add("a");
  ASSERT_EQ(queue_.Take({}), "a");
  queue_.Retry("a", std::chrono::hours(1));

  queue_.Add("a");

  EXPECT_EQ(queue_.Take({}), "a");
}

TEST_F(WorkQueueTest, AWaitingTakerIsWokenByAnAddAndByStop) {
  std::stop_source stop;
  std::vector<std::string> taken;
  std::thread taker([&] {
    while (const auto key = queue_.Take(stop.get_token())) {
      taken.push_back(*key);
      queue_.Done(*key);
    }
  });
  clock_.AwaitWaiters(1);
  queue_.Add("a");
  while (queue_.size() > 0) {
    std::this_thread::yield();
  }
  stop.request_stop();
  taker.join();

  EXPECT_THAT(taken, ElementsAre("a"));
}

TEST(ServerUrlTest, TakesApartWhatKubeconfigsHold) {
  const auto url = ParseServerUrl("HTTPS://[::1]:6443/prefix/");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->port, 6443);
  EXPECT_EQ(url->path_prefix, "/prefix");
  EXPECT_EQ(ParseServerUrl("https://kube")->port, 443);
  EXPECT_EQ(ParseServerUrl("http://kube")->port, 80);
}

TEST(ServerUrlTest, RefusesWhatItCannotHonour) {
  for (const char* text : {"", "kube:6443", "https://", "https://:6443", "https://a:0",
                           "https://a:66000", "https://a:b", "https://u:p@a", "https://a?x=1",
                           "https://[::1", "https://[::1]x", "https://a b", "https://a\r\nX: y"}) {
    EXPECT_FALSE(ParseServerUrl(text).ok()) << text;
  }
}

TEST(ServerUrlTest, EncodesOneSegment) { EXPECT_EQ(UrlEncode("a/b c%~é"), "a%2Fb%20c%25~%C3%A9"); }

}  // namespace
}  // namespace rota::kube
