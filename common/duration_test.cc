#include "common/duration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rota {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

TEST(DurationTest, ReadsSecondsAndUnits) {
  EXPECT_EQ(ParseDuration("60").value(), seconds(60));
  EXPECT_EQ(ParseDuration("0").value(), seconds(0));
  EXPECT_EQ(ParseDuration("1m").value(), minutes(1));
  EXPECT_EQ(ParseDuration("6m0s").value(), minutes(6));
  EXPECT_EQ(ParseDuration("120ms").value(), milliseconds(120));
  EXPECT_EQ(ParseDuration("1.5s").value(), milliseconds(1500));
  EXPECT_EQ(ParseDuration("1h30m").value(), minutes(90));
}

TEST(DurationTest, RefusesEverythingElseAndNamesIt) {
  for (const char* text : {"", "1 m", "-1s", "soon", "1d", "1e3", "inf", "99999999h"}) {
    const auto parsed = ParseDuration(text);
    ASSERT_FALSE(parsed.ok()) << text;
    EXPECT_THAT(std::string(parsed.status().message()),
                testing::HasSubstr(std::string("'") + text + "'"));
  }
}

TEST(DurationTest, WritesWhatItReads) {
  for (const Duration duration :
       {Duration(0), Duration(milliseconds(250)), Duration(seconds(90)), Duration(hours(2))}) {
    EXPECT_EQ(ParseDuration(FormatDuration(duration)).value(), duration)
        << FormatDuration(duration);
  }
}

}  // namespace
}  // namespace rota
