#include "cli/output.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

TEST(OutputTest, ColumnsAreAlignedByWhatIsSeen) {
  Table table({"MODEL", "SHARE"});
  table.Add({Cell("gpt-4o", Colour::kBad), "50%"});
  table.Add({"größer", "5%"});
  table.Add({"", ""});
  EXPECT_EQ(table.Print({}),
            "MODEL    SHARE\n"
            "gpt-4o   50%\n"
            "größer   5%\n"
            "-        -\n");
  EXPECT_EQ(table.Print({.colours = true}),
            "MODEL    SHARE\n"
            "\x1b[31mgpt-4o\x1b[0m   50%\n"
            "größer   5%\n"
            "-        -\n");
}

TEST(OutputTest, ControlCharactersDoNotReachTheTerminal) {
  EXPECT_EQ(Printable("a\x1b[31mb\nc\x7f"), "a?[31mb?c?");
  EXPECT_EQ(Printable("\xC2\x9B"
                      "31m \xC3\xA4"),
            "??31m \xC3\xA4");
}

TEST(OutputTest, TimesSharesAndRatesAreShort) {
  EXPECT_EQ(FormatSeconds(0.2), "1s");
  EXPECT_EQ(FormatSeconds(-1), "0s");
  EXPECT_EQ(FormatSeconds(60), "1m0s");
  EXPECT_EQ(FormatSeconds(3725), "1h2m");
  EXPECT_EQ(FormatSeconds(90000), "1d1h");
  EXPECT_EQ(FormatShare(0.5), "50%");
  EXPECT_EQ(FormatShare(1.0 / 3), "33.3%");
  EXPECT_EQ(FormatRate(0), "0");
  EXPECT_EQ(FormatRate(0.421), "0.42");
  EXPECT_EQ(FormatRate(12.34), "12.3");
  EXPECT_EQ(FormatRate(1234.5), "1234");
}

TEST(OutputTest, JsonIsIndentedOrOneLine) {
  const Json value = {{"b", 1}, {"a", {1, 2}}};
  EXPECT_EQ(ToJson(value, true), "{\"b\":1,\"a\":[1,2]}\n");
  EXPECT_EQ(ToJson(value, false), "{\n  \"b\": 1,\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
}

TEST(OutputTest, YamlKeepsStringsStrings) {
  const Json value = {{"plain", "gpt-4o"},     {"version", "1.0"},
                      {"truth", "Yes"},        {"text", "a: b"},
                      {"empty", ""},           {"number", 1.5},
                      {"nothing", nullptr},    {"list", {{{"a", true}}}},
                      {"none", Json::array()}, {"nobody", Json::object()}};
  EXPECT_EQ(ToYaml(value),
            "plain: gpt-4o\n"
            "version: \"1.0\"\n"
            "truth: \"Yes\"\n"
            "text: \"a: b\"\n"
            "empty: \"\"\n"
            "number: 1.5\n"
            "nothing: ~\n"
            "list:\n"
            "  - a: true\n"
            "none: []\n"
            "nobody: {}\n");
}

}  // namespace
}  // namespace rota::cli
