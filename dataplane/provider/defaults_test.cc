#include "dataplane/provider/defaults.h"

#include <gtest/gtest.h>

#include <string>

namespace rota::provider {
namespace {

std::string Fill(std::string_view body, std::string_view defaults) {
  return FillDefaults(body, *ReadDefaults(defaults));
}

TEST(DefaultsTest, PutsInWhatIsMissingAndLeavesTheRestAsItCame) {
  EXPECT_EQ(
      Fill(R"( { "messages" : [ {"temperature":0} ] , "top_p": 0.50 } )",
           R"({"temperature":1.0,"top_p":1,"stop":["a","b"]})"),
      R"( {"temperature":1.0,"stop":["a","b"], "messages" : [ {"temperature":0} ] , "top_p": 0.50 } )");
  EXPECT_EQ(Fill("{}", R"({"a":1})"), R"({"a":1})");
}

TEST(DefaultsTest, ChangesNothingWhenNothingIsMissing) {
  EXPECT_EQ(Fill(R"({"temperature":null})", R"({"temperature":1})"), "");
  EXPECT_EQ(Fill(R"({"t\u0065mperature":0})", R"({"temperature":1})"), "");
  EXPECT_EQ(Fill(R"({"a":"}","b":[{}],"c":-1.5e3,"d":true})", R"({"d":1,"c":1,"b":1})"), "");
  EXPECT_EQ(Fill(R"({"a":1})", ""), "");
}

TEST(DefaultsTest, BothNamesOfTheTokenLimitAreOne) {
  EXPECT_EQ(Fill(R"({"max_completion_tokens":9})", R"({"max_tokens":100})"), "");
}

TEST(DefaultsTest, AreAnObject) {
  for (const std::string_view text : {"[]", "1", "{", "{} x"}) {
    EXPECT_FALSE(ReadDefaults(text).ok()) << text;
  }
}

}  // namespace
}  // namespace rota::provider
