#include "controller/resource/label_selector.h"

#include <gtest/gtest.h>

namespace rota::resource {
namespace {

using Operator = LabelRequirement::Operator;

const Labels& Team() {
  static const Labels kLabels = {{"team", "a"}, {"stage", "prod"}};
  return kLabels;
}

TEST(LabelSelectorTest, AnEmptySelectorSelectsEverything) {
  EXPECT_TRUE(Matches({}, {}));
  EXPECT_TRUE(Matches({}, Team()));
}

TEST(LabelSelectorTest, EveryLabelHasToMatch) {
  EXPECT_TRUE(Matches({{{"team", "a"}}, {}}, Team()));
  EXPECT_FALSE(Matches({{{"team", "a"}, {"stage", "test"}}, {}}, Team()));
  EXPECT_FALSE(Matches({{{"absent", ""}}, {}}, Team()));
}

TEST(LabelSelectorTest, ExpressionsMeanWhatKubernetesMeans) {
  const auto matches = [](LabelRequirement requirement) {
    return Matches({{}, {std::move(requirement)}}, Team());
  };
  EXPECT_TRUE(matches({"stage", Operator::kIn, {"test", "prod"}}));
  EXPECT_FALSE(matches({"stage", Operator::kIn, {"test"}}));
  EXPECT_FALSE(matches({"absent", Operator::kIn, {"prod"}}));
  EXPECT_FALSE(matches({"stage", Operator::kNotIn, {"prod"}}));
  EXPECT_TRUE(matches({"stage", Operator::kNotIn, {"test"}}));
  EXPECT_TRUE(matches({"absent", Operator::kNotIn, {"prod"}}));
  EXPECT_TRUE(matches({"team", Operator::kExists, {}}));
  EXPECT_FALSE(matches({"absent", Operator::kExists, {}}));
  EXPECT_FALSE(matches({"team", Operator::kDoesNotExist, {}}));
  EXPECT_TRUE(matches({"absent", Operator::kDoesNotExist, {}}));
}

TEST(LabelSelectorTest, LabelsAndExpressionsHoldTogether) {
  const LabelSelector selector{{{"team", "a"}}, {{"stage", Operator::kNotIn, {"prod"}}}};

  EXPECT_FALSE(Matches(selector, Team()));
  EXPECT_TRUE(Matches(selector, {{"team", "a"}, {"stage", "test"}}));
}

TEST(LabelSelectorTest, IsWrittenAsKubectlReadsIt) {
  EXPECT_EQ(ToString(LabelSelector{}), "");
  EXPECT_EQ(ToString(LabelSelector{{{"team", "a"}},
                                   {{"stage", Operator::kIn, {"prod", "test"}},
                                    {"tier", Operator::kNotIn, {"low"}},
                                    {"public", Operator::kExists, {}},
                                    {"internal", Operator::kDoesNotExist, {}}}}),
            "team=a,stage in (prod,test),tier notin (low),public,!internal");
}

}  // namespace
}  // namespace rota::resource
