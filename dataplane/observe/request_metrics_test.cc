#include "dataplane/observe/request_metrics.h"

#include <prometheus/text_serializer.h>

#include <atomic>
#include <sstream>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::observe {
namespace {

using testing::HasSubstr;
using testing::Not;

class RequestMetricsTest : public testing::Test {
 protected:
  std::string Scrape() const {
    std::ostringstream text;
    prometheus::TextSerializer().Serialize(text, metrics_.Collect());
    return text.str();
  }
  static table::SeriesLabels Labels(const std::string& model) {
    return {"default/chat", "production", model, "openai"};
  }
  FakeClock clock_;
  RequestMetrics metrics_{2, clock_};
};

TEST_F(RequestMetricsTest, AScrapeSumsTheLoops) {
  const table::SeriesId series = metrics_.Intern(Labels("gpt-4o"));

  metrics_.loop(0).CountRequest(series, 200);
  metrics_.loop(1).CountRequest(series, 200);
  metrics_.loop(1).CountRequest(series, 429);

  EXPECT_THAT(Scrape(),
              HasSubstr("rota_requests_total{api=\"default/chat\",environment=\"production\","
                        "model=\"gpt-4o\",target=\"openai\",code=\"200\"} 2\n"));
  EXPECT_THAT(Scrape(), HasSubstr("code=\"429\"} 1\n"));
}

TEST_F(RequestMetricsTest, CountsEveryKindUnderItsOwnName) {
  const table::SeriesId series = metrics_.Intern(Labels("gpt-4o"));
  LoopMetrics& loop = metrics_.loop(0);

  loop.CountFailover(series, FailoverReason::kServerError);
  loop.CountSuspension(series, rotation::Reason::kAuth);
  loop.CountTokens(series, TokenKind::kCompletion, 42);
  loop.CountUnmatched(404);
  loop.CountLimit(Limit::kBodyMemory);
  loop.CountUsageSkipped(UsageSkipped::kDamaged);
  loop.CountUnknownWord(*FindProvider("gemini"), ProviderWord::kFinishReason);
  metrics_.loop(1).CountUnknownWord(*FindProvider("gemini"), ProviderWord::kFinishReason);
  loop.AddHeldBodyBytes(int64_t{6} << 30);
  loop.AddHeldBodyBytes(-(int64_t{1} << 30));
  loop.AddOpenRequests(3);
  loop.AddOpenRequests(-1);
  loop.SetQueueWait(std::chrono::milliseconds(7));
  metrics_.loop(1).SetQueueWait(std::chrono::milliseconds(3));
  metrics_.loop(1).AddOpenConnections(5);
  metrics_.loop(1).AddUpstreamConnections(7);

  const std::string text = Scrape();
  EXPECT_THAT(text, HasSubstr("target=\"openai\",reason=\"server_error\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("target=\"openai\",reason=\"auth\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("target=\"openai\",kind=\"completion\"} 42\n"));
  EXPECT_THAT(text,
              HasSubstr("{api=\"\",environment=\"\",model=\"\",target=\"\",code=\"404\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_limits_reached_total{limit=\"body_memory\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_queue_wait_seconds 0.007\n"));
  EXPECT_THAT(text, HasSubstr("rota_usage_skipped_total{reason=\"damaged\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_usage_skipped_total{reason=\"coding\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("rota_unknown_provider_words_total{provider=\"gemini\",kind="
                              "\"finish_reason\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("rota_held_body_bytes 5368709120\n"));
  EXPECT_THAT(text, HasSubstr("rota_open_requests 2\n"));
  EXPECT_THAT(text, HasSubstr("rota_open_connections 5\n"));
  EXPECT_THAT(text, HasSubstr("rota_upstream_connections 7\n"));
}

TEST_F(RequestMetricsTest, HistogramsArePerApiAndEnvironmentAndAppearOnFirstUse) {
  const table::SeriesId first = metrics_.Intern(Labels("gpt-4o"));
  const table::SeriesId second = metrics_.Intern(Labels("gpt-4o-mini"));
  EXPECT_THAT(Scrape(), Not(HasSubstr("rota_overhead_seconds")));

  metrics_.loop(0).ObserveOverhead(first, std::chrono::microseconds(15));
  metrics_.loop(1).ObserveOverhead(second, std::chrono::seconds(1));

  const std::string text = Scrape();
  const std::string labels = "{api=\"default/chat\",environment=\"production\"";
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_count" + labels + "} 2\n"));
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_sum" + labels + "} 1.000015"));
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_bucket" + labels + ",le=\"1e-05\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_bucket" + labels + ",le=\"2e-05\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_bucket" + labels + ",le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("rota_overhead_seconds_bucket" + labels + ",le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("rota_upstream_seconds")));
}

TEST_F(RequestMetricsTest, ASeriesCountsAnyNumberOfStatusCodes) {
  const table::SeriesId series = metrics_.Intern(Labels("gpt-4o"));
  for (int code = 200; code < 300; ++code) {
    metrics_.loop(0).CountRequest(series, code);
    metrics_.loop(0).CountRequest(series, code);
  }

  const std::string text = Scrape();
  for (int code = 200; code < 300; ++code) {
    EXPECT_THAT(text, HasSubstr("code=\"" + std::to_string(code) + "\"} 2\n"));
  }
}

TEST_F(RequestMetricsTest, SeriesNoLongerConfiguredLeaveAndComeBackWithTheirCounts) {
  const table::SeriesId stays = metrics_.Intern(Labels("stays"));
  const table::SeriesId leaves = metrics_.Intern(Labels("leaves"));
  metrics_.loop(0).CountRequest(stays, 200);
  metrics_.loop(0).CountRequest(leaves, 200);

  metrics_.Retire({leaves});
  EXPECT_THAT(Scrape(), Not(HasSubstr("leaves")));
  EXPECT_THAT(Scrape(), HasSubstr("stays"));

  EXPECT_EQ(metrics_.Intern(Labels("leaves")), leaves);
  metrics_.loop(0).CountRequest(leaves, 200);
  EXPECT_THAT(Scrape(), HasSubstr("model=\"leaves\",target=\"openai\",code=\"200\"} 2\n"));
}

TEST_F(RequestMetricsTest, AnIdIsReusedOnlyAfterTheOldOneIsForgottenAndStartsAtZero) {
  const table::SeriesId old = metrics_.Intern({"default/old", "production", "m", "t"});
  metrics_.loop(0).CountRequest(old, 200);
  metrics_.loop(0).ObserveUpstream(old, std::chrono::seconds(1));
  metrics_.Retire({old});

  const table::SeriesId early = metrics_.Intern(Labels("early"));
  EXPECT_NE(early, old);

  clock_.Advance(RequestMetrics::kReuseAfter);
  metrics_.Retire({});
  const table::SeriesId late = metrics_.Intern({"default/late", "production", "m", "t"});
  EXPECT_EQ(late, old);
  EXPECT_THAT(Scrape(), Not(HasSubstr("default/old")));
  EXPECT_THAT(Scrape(), Not(HasSubstr("default/late")));
  EXPECT_THAT(Scrape(), Not(HasSubstr("rota_upstream_seconds")));

  metrics_.loop(0).CountRequest(late, 200);
  EXPECT_THAT(Scrape(),
              HasSubstr("api=\"default/late\",environment=\"production\",model=\"m\",target=\"t\","
                        "code=\"200\"} 1\n"));
}

TEST_F(RequestMetricsTest, OneThatComesAndGoesAgainAndAgainIsForgottenAnHourAfterTheLastTime) {
  const table::SeriesId id = metrics_.Intern(Labels("flaps"));
  metrics_.loop(0).CountRequest(id, 200);
  for (int i = 0; i < 100; ++i) {
    metrics_.Retire({id});
    clock_.Advance(RequestMetrics::kReuseAfter / 2);
    ASSERT_EQ(metrics_.Intern(Labels("flaps")), id);
  }
  metrics_.Retire({id});
  clock_.Advance(RequestMetrics::kReuseAfter - std::chrono::seconds(1));
  metrics_.Retire({});
  EXPECT_NE(metrics_.Intern(Labels("early")), id);
  clock_.Advance(std::chrono::seconds(1));
  metrics_.Retire({});
  EXPECT_EQ(metrics_.Intern(Labels("late")), id);
  EXPECT_NE(metrics_.Intern(Labels("later")), id);
}

TEST_F(RequestMetricsTest, SeriesIdZeroIsNeverHandedOut) {
  EXPECT_NE(metrics_.Intern(Labels("gpt-4o")), 0u);
  EXPECT_EQ(metrics_.LabelsOf(0).api, "(other)");
  EXPECT_EQ(metrics_.LabelsOf(4'000'000'000).api, "");
}

// Run under TSan: loops count while a scrape reads and the configuration changes.
TEST_F(RequestMetricsTest, LoopsCountWhileOthersScrapeAndReconfigure) {
  constexpr int kRounds = 20'000;
  const table::SeriesId series = metrics_.Intern(Labels("gpt-4o"));
  std::atomic<bool> done = false;
  std::jthread scraper([&] {
    while (!done) {
      Scrape();
    }
  });
  std::jthread configurer([&] {
    for (int i = 0; !done; ++i) {
      metrics_.Retire({metrics_.Intern(Labels(std::to_string(i % 50)))});
    }
  });
  {
    std::jthread other([&] {
      for (int i = 0; i < kRounds; ++i) {
        metrics_.loop(1).CountRequest(series, 200 + i % 20);
        metrics_.loop(1).ObserveTimeToFirstToken(series, std::chrono::milliseconds(i));
      }
    });
    for (int i = 0; i < kRounds; ++i) {
      metrics_.loop(0).CountTokens(series, TokenKind::kPrompt, 1);
      metrics_.loop(0).ObserveTimeToFirstToken(series, std::chrono::milliseconds(i));
    }
  }
  done = true;
  scraper.join();
  configurer.join();

  EXPECT_THAT(Scrape(), HasSubstr("kind=\"prompt\"} 20000\n"));
  EXPECT_THAT(Scrape(), HasSubstr("rota_time_to_first_token_seconds_count{api=\"default/chat\","
                                  "environment=\"production\"} 40000\n"));
}

}  // namespace
}  // namespace rota::observe
