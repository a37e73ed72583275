#include "dataplane/provider/field_quirks.h"

#include "common/provider_catalog.h"
#include "gtest/gtest.h"

namespace rota::provider {
namespace {

std::string ForMistral(std::string_view body) {
  return ApplyQuirks(body, FindProvider("mistral")->quirks);
}

TEST(FieldQuirksTest, FieldsGetTheNameThatTheProviderHas) {
  EXPECT_EQ(ForMistral(R"( { "model":"m", "seed" : 7, "max_completion_tokens":5 ,"n":1.50} )"),
            R"({"model":"m","random_seed":7,"max_tokens":5,"n":1.50})");
  EXPECT_EQ(ForMistral(R"({"se\u0065d":7})"), R"({"random_seed":7})");
}

TEST(FieldQuirksTest, RefusedFieldsAreLeftOut) {
  EXPECT_EQ(ForMistral(R"({"stream_options":{"include_usage":true},"stream":true})"),
            R"({"stream":true})");
  EXPECT_EQ(ForMistral(R"({"stream":true,"stream_options":{"include_usage":true}})"),
            R"({"stream":true})");
  EXPECT_EQ(ForMistral(R"({"stream_options":null})"), "{}");
  // Two names of one field: the provider's own wins.
  EXPECT_EQ(ForMistral(R"({"max_completion_tokens":5,"max_tokens":6})"), R"({"max_tokens":6})");
}

TEST(FieldQuirksTest, WhatIsGoodStaysAsItCame) {
  EXPECT_EQ(ForMistral(R"( {"model" : "m","max_tokens":5,"messages":[{"seed":1}]} )"), "");
  EXPECT_EQ(ForMistral("{}"), "");
  EXPECT_EQ(ApplyQuirks(R"({"seed":7})", {}), "");
}

}  // namespace
}  // namespace rota::provider
