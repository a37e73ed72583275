#include "dataplane/provider/evidence.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/provider/reset_time.h"
#include "gtest/gtest.h"
#include "tests/support/paths.h"

namespace rota::provider {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// 2026-01-01T00:00:00Z.
const WallTime kNow = WallTime(seconds(1'767'225'600));

using Headers = std::vector<std::pair<std::string, std::string>>;

Evidence JudgeAnswer(Dialect dialect, int status, const Headers& headers = {},
                     const std::string& body = "") {
  AnswerHeaders answer;
  for (const auto& [name, value] : headers) {
    answer.Add(name, value);
  }
  return Judge(dialect, status, answer, body, kNow);
}

std::string OpenAiError(const std::string& code, const std::string& message = "m") {
  return R"({"error":{"message":")" + message + R"(","type":"t","param":null,"code":")" + code +
         R"("}})";
}

std::string GoogleError(int code, const std::string& status, const std::string& reason) {
  return R"({"error":{"code":)" + std::to_string(code) + R"(,"message":"m","status":")" + status +
         R"(","details":[{"@type":"x","reason":")" + reason + R"("}]}})";
}

std::string AnthropicError(const std::string& type) {
  return R"({"type":"error","error":{"type":")" + type + R"(","message":"m"}})";
}

// One example per row of the table.
struct Example {
  std::string rule;
  Dialect dialect;
  int status;
  Headers headers;
  std::string body;
};

std::vector<Example> Examples() {
  using enum Dialect;
  std::vector<Example> examples = {
      {"nothing-left", kOpenAi, 200, {{"X-RateLimit-Remaining-Tokens", "0"}}, ""},
      {"payload-too-large", kOpenAi, 413, {}, ""},
      {"request-over-limit",
       kOpenAi,
       429,
       {},
       OpenAiError("rate_limit_exceeded",
                   "Request too large for gpt-4o in organization o on tokens per min (TPM): Limit "
                   "30000, Requested 40000.")},
      {"aws-throttling",
       kBedrock,
       400,
       {{"x-amzn-ErrorType", "ThrottlingException:http://x/"}},
       ""},
      {"aws-too-many-requests",
       kBedrock,
       400,
       {},
       R"({"__type":"com.amazon#TooManyRequestsException"})"},
      {"aws-service-quota",
       kBedrock,
       400,
       {{"x-amzn-errortype", "ServiceQuotaExceededException"}},
       ""},
      {"aws-model-not-ready", kBedrock, 429, {{"x-amzn-errortype", "ModelNotReadyException"}}, ""},
      {"aws-access-denied", kBedrock, 403, {{"x-amzn-errortype", "AccessDeniedException"}}, ""},
      {"aws-unrecognized-client",
       kBedrock,
       403,
       {{"x-amzn-errortype", "UnrecognizedClientException"}},
       ""},
      {"aws-invalid-signature",
       kBedrock,
       403,
       {{"x-amzn-errortype", "InvalidSignatureException"}},
       ""},
      {"aws-expired-token", kBedrock, 403, {{"x-amzn-errortype", "ExpiredTokenException"}}, ""},
      {"aws-missing-token",
       kBedrock,
       403,
       {},
       R"({"message":"Missing Authentication Token","__type":"MissingAuthenticationTokenException"})"},
      {"too-many-requests", kAzure, 429, {}, ""},
      {"unauthorized", kOpenAi, 401, {}, ""},
      {"google-key-invalid",
       kGoogle,
       400,
       {},
       GoogleError(400, "INVALID_ARGUMENT", "API_KEY_INVALID")},
      {"google-rate-limit",
       kGoogle,
       403,
       {},
       R"({"error":{"code":403,"errors":[{"reason":"rateLimitExceeded"}],"message":"m"}})"},
      {"google-user-rate-limit",
       kGoogle,
       403,
       {},
       R"({"error":{"code":403,"errors":[{"reason":"userRateLimitExceeded"}],"message":"m"}})"},
      {"google-daily-limit",
       kGoogle,
       403,
       {},
       R"({"error":{"code":403,"errors":[{"reason":"dailyLimitExceeded"}],"message":"m"}})"},
      {"insufficient-balance",
       kOpenAi,
       402,
       {},
       OpenAiError("invalid_request_error", "Insufficient Balance")},
      {"insufficient-credits",
       kOpenAi,
       402,
       {},
       R"({"error":{"message":"Insufficient credits. Add more.","code":402}})"},
      {"anthropic-billing", kAnthropic, 403, {}, AnthropicError("billing_error")},
      {"authentication-error", kAnthropic, 403, {}, AnthropicError("authentication_error")},
      {"anthropic-permission", kAnthropic, 403, {}, AnthropicError("permission_error")},
      {"anthropic-overloaded", kAnthropic, 529, {}, AnthropicError("overloaded_error")},
      {"unavailable-until", kOpenAi, 503, {{"Retry-After", "7"}}, ""},
      {"server-error", kOpenAi, 500, {}, ""},
      {"bad-gateway", kOpenAi, 503, {}, ""},
      {"overloaded", kOpenAi, 529, {}, ""},
      {"other-server-error", kOpenAi, 501, {}, ""},
      {"stream-overloaded", kAnthropic, kStreamStatus, {}, AnthropicError("overloaded_error")},
      {"stream-rate-limit", kAnthropic, kStreamStatus, {}, AnthropicError("rate_limit_error")},
      {"stream-authentication",
       kAnthropic,
       kStreamStatus,
       {},
       AnthropicError("authentication_error")},
      {"stream-api-error", kAnthropic, kStreamStatus, {}, AnthropicError("api_error")},
      {"stream-aws-throttling", kBedrock, kStreamStatus, {{"event", "throttlingException"}}, "{}"},
      {"stream-aws-internal",
       kBedrock,
       kStreamStatus,
       {{"event", "internalServerException"}},
       "{}"},
      {"stream-aws-unavailable",
       kBedrock,
       kStreamStatus,
       {{"event", "serviceUnavailableException"}},
       "{}"},
      {"stream-aws-model-stream-error",
       kBedrock,
       kStreamStatus,
       {{"event", "modelStreamErrorException"}},
       "{}"},
  };
  const std::vector<std::pair<std::string, std::string>> codes = {
      {"insufficient-quota", "insufficient_quota"},
      {"billing-hard-limit", "billing_hard_limit_reached"},
      {"billing-not-active", "billing_not_active"},
      {"quota-exceeded", "quota_exceeded"},
      {"insufficient-balance-code", "insufficient_balance"},
      {"insufficient-credits-code", "insufficient_credits"},
      {"rate-limit-code", "rate_limit_exceeded"},
      {"resource-exhausted", "RESOURCE_EXHAUSTED"},
      {"invalid-api-key", "invalid_api_key"},
      {"incorrect-api-key", "incorrect_api_key"},
      {"expired-api-key", "expired_api_key"},
      {"invalid-authentication", "invalid_authentication"},
      {"invalid-organization", "invalid_organization"},
      {"account-deactivated", "account_deactivated"}};
  for (const auto& [rule, code] : codes) {
    examples.push_back({rule, kOpenAi, 403, {}, OpenAiError(code)});
  }
  for (const auto& [rule, reason] : std::vector<std::pair<std::string, std::string>>{
           {"google-key-forbidden", "API_KEY_INVALID"},
           {"google-key-blocked", "API_KEY_SERVICE_BLOCKED"},
           {"google-consumer-suspended", "CONSUMER_SUSPENDED"},
           {"google-consumer-invalid", "CONSUMER_INVALID"}}) {
    examples.push_back({rule, kGoogle, 403, {}, GoogleError(403, "PERMISSION_DENIED", reason)});
  }
  for (const auto& [rule, code] : std::vector<std::pair<std::string, std::string>>{
           {"stream-rate-limit-exceeded", "rate_limit_exceeded"},
           {"stream-insufficient-quota", "insufficient_quota"},
           {"stream-resource-exhausted", "RESOURCE_EXHAUSTED"},
           {"stream-server-error", "server_error"},
           {"stream-unavailable", "UNAVAILABLE"},
           {"stream-internal", "INTERNAL"}}) {
    examples.push_back({rule, kOpenAi, kStreamStatus, {}, OpenAiError(code)});
  }
  for (const std::string number : {"429", "500", "502", "503", "504", "529"}) {
    examples.push_back({"stream-" + number,
                        kOpenAi,
                        kStreamStatus,
                        {},
                        R"({"error":{"code":)" + number + R"(,"message":"no"}})"});
  }
  examples.push_back({"stream-request-over-limit",
                      kOpenAi,
                      kStreamStatus,
                      {},
                      OpenAiError("rate_limit_exceeded", "Request too large for m")});
  return examples;
}

TEST(EvidenceTest, EveryRowOfTheTableDecidesItsExample) {
  std::set<std::string> seen;
  for (const Example& example : Examples()) {
    const std::string event = example.status == kStreamStatus && !example.headers.empty()
                                  ? example.headers[0].second
                                  : "";
    const Evidence evidence =
        example.status == kStreamStatus
            ? JudgeStreamEvent(example.dialect, event, example.body, kNow)
            : JudgeAnswer(example.dialect, example.status, example.headers, example.body);
    EXPECT_EQ(evidence.rule, example.rule);
    const auto rule = std::find_if(Rules().begin(), Rules().end(), [&](const Rule& candidate) {
      return candidate.name == example.rule;
    });
    ASSERT_NE(rule, Rules().end()) << example.rule;
    EXPECT_EQ(evidence.verdict, rule->verdict) << example.rule;
    EXPECT_EQ(evidence.fails_over, rule->fails_over) << example.rule;
    seen.insert(example.rule);
  }
  for (const Rule& rule : Rules()) {
    EXPECT_TRUE(seen.contains(std::string(rule.name))) << "no example for " << rule.name;
  }
}

TEST(EvidenceTest, RuleNamesAreUnique) {
  std::set<std::string_view> names;
  for (const Rule& rule : Rules()) {
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
  }
}

TEST(EvidenceTest, SaysNothingAboutTheClientsOwnErrors) {
  for (const int status : {400, 402, 403, 404, 405, 409, 415, 422}) {
    const Evidence evidence =
        JudgeAnswer(Dialect::kOpenAi, status, {}, OpenAiError("content_policy_violation"));
    EXPECT_EQ(evidence.verdict, Verdict::kNone) << status;
    EXPECT_FALSE(evidence.fails_over);
  }
  EXPECT_EQ(JudgeAnswer(Dialect::kOpenAi, 403, {}, "<html>blocked</html>").verdict, Verdict::kNone);
  EXPECT_EQ(
      JudgeAnswer(Dialect::kOpenAi, 403, {}, OpenAiError("unsupported_country_region_territory"))
          .verdict,
      Verdict::kNone);
}

TEST(EvidenceTest, ATooLargeRequestIsTheRequestsOwnMatter) {
  const auto judge = [](const std::string& message) {
    return JudgeAnswer(Dialect::kOpenAi, 429, {{"retry-after", "5"}},
                       OpenAiError("rate_limit_exceeded", message))
        .verdict;
  };

  EXPECT_EQ(judge("Rate limit reached: Limit 10000, Used 0, Requested 10001."),
            Verdict::kRequestTooLarge);
  EXPECT_EQ(judge("Rate limit reached: Limit 10000, Used 9990, Requested 20."), Verdict::kQuota);
}

std::optional<Duration> WindowOf(const Headers& headers, int status = 429,
                                 Dialect dialect = Dialect::kOpenAi, const std::string& body = "") {
  return JudgeAnswer(dialect, status, headers, body).upstream_window;
}

TEST(EvidenceTest, ReadsRetryAfterInEveryForm) {
  EXPECT_EQ(WindowOf({{"Retry-After", "20"}}), seconds(20));
  EXPECT_EQ(WindowOf({{"retry-after", "Thu, 01 Jan 2026 00:01:30 GMT"}}), seconds(90));
  EXPECT_EQ(WindowOf({{"retry-after", "Thursday, 01-Jan-26 00:01:30 GMT"}}), seconds(90));
  EXPECT_EQ(WindowOf({{"retry-after", "Thu Jan  1 00:01:30 2026"}}), seconds(90));
  EXPECT_EQ(WindowOf({{"retry-after", "Wed, 31 Dec 2025 23:00:00 GMT"}}), seconds(0));
  EXPECT_EQ(WindowOf({{"retry-after-ms", "1500"}}), milliseconds(1500));
  EXPECT_EQ(WindowOf({{"x-ms-retry-after-ms", "250"}}), milliseconds(250));
  for (const char* nonsense : {"soon", "-5", "1e9", "", "20 seconds", "0x10"}) {
    EXPECT_EQ(WindowOf({{"retry-after", nonsense}}), std::nullopt) << nonsense;
  }
  EXPECT_EQ(WindowOf({{"retry-after", "99999999999999999999"}}), kLongestReset);
}

TEST(EvidenceTest, ReadsTheExhaustedBucketsResetAndNoOther) {
  EXPECT_EQ(WindowOf({{"x-ratelimit-remaining-requests", "0"},
                      {"x-ratelimit-reset-requests", "6m0s"},
                      {"x-ratelimit-remaining-tokens", "900"},
                      {"x-ratelimit-reset-tokens", "2h"}}),
            minutes(6));
  EXPECT_EQ(
      WindowOf({{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "120ms"}}),
      milliseconds(120));
  EXPECT_EQ(WindowOf({{"x-ratelimit-remaining-input-images", "0"},
                      {"x-ratelimit-reset-input-images", "1m30.5s"}}),
            milliseconds(90'500));
  EXPECT_EQ(WindowOf({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1767225605000"}}),
            seconds(5));
  EXPECT_EQ(WindowOf({{"x-ratelimit-remaining", "0"}, {"x-ratelimit-reset", "1767225607"}}),
            seconds(7));
  EXPECT_EQ(WindowOf({{"x-ratelimit-remaining-tokens", "0"}, {"x-ratelimit-reset-tokens", "11.5"}}),
            milliseconds(11'500));
  EXPECT_EQ(
      WindowOf({{"x-ratelimit-remaining-requests", "1"}, {"x-ratelimit-reset-requests", "6m0s"}}),
      std::nullopt);
  EXPECT_EQ(
      WindowOf({{"x-ratelimit-remaining-requests", "-1"}, {"x-ratelimit-reset-requests", "6m0s"}}),
      std::nullopt);
}

TEST(EvidenceTest, TakesTheLongestOfWhatTheUpstreamSays) {
  EXPECT_EQ(WindowOf({{"retry-after", "2"},
                      {"x-ratelimit-remaining-tokens", "0"},
                      {"x-ratelimit-reset-tokens", "6m0s"}}),
            minutes(6));
}

TEST(EvidenceTest, ReadsAnthropicsBuckets) {
  EXPECT_EQ(WindowOf({{"anthropic-ratelimit-requests-remaining", "3"},
                      {"anthropic-ratelimit-requests-reset", "2026-01-01T02:00:00Z"},
                      {"anthropic-ratelimit-input-tokens-remaining", "0"},
                      {"anthropic-ratelimit-input-tokens-reset", "2026-01-01T00:00:42Z"}},
                     429, Dialect::kAnthropic),
            seconds(42));
  EXPECT_EQ(WindowOf({{"anthropic-ratelimit-unified-5h-status", "rejected"},
                      {"anthropic-ratelimit-unified-5h-reset", "1767232800"},
                      {"anthropic-ratelimit-unified-7d-status", "allowed"},
                      {"anthropic-ratelimit-unified-7d-reset", "1767800000"}},
                     429, Dialect::kAnthropic),
            hours(2));
}

TEST(EvidenceTest, AWarningOfASuccessIsExactlyItsBucketsReset) {
  const Evidence evidence = JudgeAnswer(Dialect::kOpenAi, 200,
                                        {{"x-ratelimit-remaining-requests", "0"},
                                         {"x-ratelimit-reset-requests", "8s"},
                                         {"x-ratelimit-remaining-tokens", "5"},
                                         {"x-ratelimit-reset-tokens", "1h"}});
  const SuspensionPolicy policy{seconds(60), hours(1), seconds(60)};

  EXPECT_EQ(evidence.verdict, Verdict::kQuota);
  EXPECT_FALSE(evidence.fails_over);
  EXPECT_EQ(SuspensionWindow(evidence, policy), seconds(8));
  EXPECT_EQ(SuspensionWindow(
                JudgeAnswer(Dialect::kAzure, 200, {{"x-ratelimit-remaining-tokens", "0"}}), policy),
            seconds(60));
  EXPECT_EQ(SuspensionWindow(JudgeAnswer(Dialect::kOpenAi, 200,
                                         {{"x-ratelimit-remaining-tokens", "0"},
                                          {"x-ratelimit-reset-tokens", "0s"}}),
                             policy),
            std::nullopt);
}

TEST(EvidenceTest, SuccessesWithSomethingLeftSayNothing) {
  EXPECT_EQ(JudgeAnswer(Dialect::kOpenAi, 200, {{"x-ratelimit-remaining-tokens", "1"}}).verdict,
            Verdict::kNone);
  EXPECT_EQ(JudgeAnswer(Dialect::kAnthropic, 200,
                        {{"anthropic-ratelimit-unified-status", "rejected"},
                         {"anthropic-ratelimit-unified-reset", "1767232800"}})
                .verdict,
            Verdict::kNone);
  EXPECT_EQ(JudgeAnswer(Dialect::kOpenAi, 200, {{"retry-after", "9"}}).verdict, Verdict::kNone);
}

TEST(EvidenceTest, TheWindowOfAnErrorIsTheLargerOfConfiguredAndUpstreamWithinTheCap) {
  const SuspensionPolicy policy{seconds(60), seconds(300), seconds(45)};
  const auto window = [&policy](const Headers& headers) {
    return SuspensionWindow(JudgeAnswer(Dialect::kOpenAi, 429, headers), policy);
  };

  EXPECT_EQ(window({}), seconds(60));
  EXPECT_EQ(window({{"retry-after", "10"}}), seconds(60));
  EXPECT_EQ(window({{"retry-after", "90"}}), seconds(90));
  EXPECT_EQ(window({{"retry-after", "9000"}}), seconds(300));
  // The configured length is not capped.
  EXPECT_EQ(SuspensionWindow(JudgeAnswer(Dialect::kOpenAi, 429),
                             {seconds(7200), seconds(300), seconds(45)}),
            seconds(7200));
}

TEST(EvidenceTest, ConfiguredZeroNeverSuspendsOnQuotaButStillFailsOver) {
  const SuspensionPolicy policy{Duration{}, seconds(300), seconds(45)};
  const Evidence evidence = JudgeAnswer(Dialect::kOpenAi, 429, {{"retry-after", "90"}});

  EXPECT_TRUE(evidence.fails_over);
  EXPECT_EQ(SuspensionWindow(evidence, policy), std::nullopt);
  EXPECT_EQ(SuspensionWindow(JudgeAnswer(Dialect::kOpenAi, 401), policy), seconds(45));
}

TEST(EvidenceTest, AnUnavailableServerIsSuspendedForTheTimeThatItSaysOrOnlyCounted) {
  const SuspensionPolicy policy{seconds(60), seconds(300), seconds(45)};
  const Evidence with_time = JudgeAnswer(Dialect::kOpenAi, 503, {{"retry-after", "7"}});
  const Evidence bare = JudgeAnswer(Dialect::kOpenAi, 503);

  EXPECT_EQ(SuspensionWindow(with_time, policy), seconds(7));
  EXPECT_EQ(bare.verdict, Verdict::kFailure);
  EXPECT_TRUE(bare.counts_as_failure);
  EXPECT_TRUE(bare.fails_over);
  EXPECT_EQ(SuspensionWindow(bare, policy), std::nullopt);
}

TEST(EvidenceTest, ReadsOnlyTheBodiesThatDecideSomething) {
  EXPECT_TRUE(NeedsBody(Dialect::kOpenAi, 429));
  EXPECT_TRUE(NeedsBody(Dialect::kOpenAi, 403));
  EXPECT_TRUE(NeedsBody(Dialect::kGoogle, 400));
  for (const int status : {200, 201, 204, 301, 400, 401, 404, 413, 500, 503}) {
    EXPECT_FALSE(NeedsBody(Dialect::kOpenAi, status)) << status;
  }
}

TEST(EvidenceTest, SurvivesBodiesAndHeadersOfAnyKind) {
  for (const std::string& body :
       {std::string("null"), std::string("[]"), std::string("[1]"), std::string("\"x\""),
        std::string(R"({"error":null})"), std::string(R"({"error":[1]})"),
        std::string(R"({"error":{"code":{"a":1},"details":{},"message":7}})"),
        std::string(60000, '['), std::string(R"({"error":{"details":[1,null,{"retryDelay":5}]}})"),
        std::string("\xFF\xFE")}) {
    EXPECT_EQ(JudgeAnswer(Dialect::kGoogle, 429, {}, body).verdict, Verdict::kQuota);
  }
  Headers many;
  for (int i = 0; i < 100; ++i) {
    many.emplace_back("x-ratelimit-remaining-b" + std::to_string(i), "1");
  }
  EXPECT_EQ(JudgeAnswer(Dialect::kOpenAi, 429, many).verdict, Verdict::kQuota);
}

TEST(EvidenceTest, ReadsGooglesListForm) {
  EXPECT_EQ(WindowOf({}, 429, Dialect::kGoogle,
                     R"([{"error":{"code":429,"details":[{"retryDelay":"3s"}]}}])"),
            seconds(3));
}

TEST(EvidenceTest, KnowsTheDialectsByTheirNames) {
  EXPECT_EQ(DialectOf("openai"), Dialect::kOpenAi);
  EXPECT_EQ(DialectOf("Azure-OpenAI"), Dialect::kAzure);
  EXPECT_EQ(DialectOf("anthropic"), Dialect::kAnthropic);
  EXPECT_EQ(DialectOf("vertexai"), Dialect::kGoogle);
  EXPECT_EQ(DialectOf("aws-bedrock"), Dialect::kBedrock);
  EXPECT_EQ(DialectOf("something new"), Dialect::kOpenAi);
}

TEST(EvidenceTest, ReadsTheRetryDelayOfARecordedGoogleAnswer) {
  const char* shared = std::getenv("ROTA_SHARED_DIR");
  const std::filesystem::path file =
      std::filesystem::path(shared != nullptr ? shared : test::SourceDir() + "/../shared") /
      "recordings/google/google-429-retry-info.json";
  if (!std::filesystem::exists(file)) {
    GTEST_SKIP() << file << " is not there; set ROTA_SHARED_DIR to the folder of the recordings";
  }
  std::stringstream body;
  body << std::ifstream(file).rdbuf();

  EXPECT_EQ(WindowOf({}, 429, Dialect::kGoogle, body.str()), milliseconds(34'400));
}

}  // namespace
}  // namespace rota::provider
