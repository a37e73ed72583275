#include "dataplane/provider/field_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace rota::provider {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr FieldRule kRules[] = {
    {"messages", FieldUse::kTranslated, ""},
    {"seed", FieldUse::kDropped, ""},
    {"n", FieldUse::kRefused, "gives one choice only"},
    {"logprobs", FieldUse::kRefused, "gives none"},
};

absl::StatusOr<std::vector<std::string>> Review(std::string_view request) {
  return ReviewFields(*ParseJson(request), kRules);
}

TEST(FieldRulesTest, NamesWhatIsDroppedOnce) {
  EXPECT_THAT(
      *Review(R"({"model":"m","stream":true,"messages":[],"seed":1,"seed":2,"new_one":{}})"),
      ElementsAre("seed", "new_one"));
}

TEST(FieldRulesTest, DefaultValuesNeedNoProvider) {
  EXPECT_THAT(*Review(R"({"n":1,"logprobs":false,"seed":null,"store":false,"stop":[],
      "response_format":{"type":"text"},"presence_penalty":0.0,"modalities":["text"],
      "logit_bias":{},"service_tier":"auto"})"),
              IsEmpty());
}

TEST(FieldRulesTest, RefusesWhatWouldChangeTheAnswerAndSaysWhich) {
  const absl::StatusOr<std::vector<std::string>> reviewed = Review(R"({"seed":1,"n":2})");
  ASSERT_FALSE(reviewed.ok());
  const FieldProblem problem = ProblemOf(reviewed.status());
  EXPECT_EQ(problem.field, "n");
  EXPECT_EQ(problem.code, "unsupported_parameter");
  EXPECT_EQ(problem.message,
            "'n' cannot be used here: the provider of this model gives one choice only");
}

TEST(FieldRulesTest, NamesAreSafeInAHeaderAndBounded) {
  std::string request = R"({"a\r\nb":1,"ä":1,"":1)";
  for (size_t i = 0; i < 2 * kMaxDropped; ++i) {
    request += ",\"f" + std::to_string(i) + "\":1";
  }
  request += ",\"" + std::string(65, 'x') + "\":1}";
  const auto dropped = *Review(request);
  EXPECT_EQ(dropped.size(), kMaxDropped);
  EXPECT_EQ(dropped.front(), "f0");
}

TEST(FieldRulesTest, AnyOtherErrorIsAnInvalidValueWithoutAField) {
  const FieldProblem problem = ProblemOf(absl::InvalidArgumentError("broken"));
  EXPECT_EQ(problem.field, "");
  EXPECT_EQ(problem.code, "invalid_value");
  EXPECT_EQ(problem.message, "broken");
}

}  // namespace
}  // namespace rota::provider
