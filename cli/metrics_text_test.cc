#include "cli/metrics_text.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

TEST(MetricsTextTest, ReadsNamesLabelsAndValues) {
  const Samples samples = ParseMetrics(
      "# HELP rota_requests_total x\n# TYPE rota_requests_total counter\n"
      "rota_requests_total{api=\"a/b\",model=\"say \\\"hi\\\",\\\\\\n}\"} 12\n"
      "rota_apis 3.5e2 1700000000\n"
      "rota_empty{} 1\n");
  ASSERT_EQ(samples.size(), 3u);
  EXPECT_EQ(samples[0].name, "rota_requests_total");
  EXPECT_EQ(samples[0].labels.at("api"), "a/b");
  EXPECT_EQ(samples[0].labels.at("model"), "say \"hi\",\\\n}");
  EXPECT_EQ(samples[0].value, 12);
  EXPECT_EQ(samples[1].name, "rota_apis");
  EXPECT_EQ(samples[1].value, 350);
  EXPECT_TRUE(samples[2].labels.empty());
}

TEST(MetricsTextTest, PassesOverWhatIsNoSample) {
  for (const char* text : {"", "\n\n", "name", "name{", "name{a", "name{a=\"", "name{a=\"b\"",
                           "name{a=\"b\"}", "name{a=\"b\"}1", "name one", "{a=\"b\" 1", "<html>"}) {
    EXPECT_TRUE(ParseMetrics(text).empty()) << text;
  }
}

}  // namespace
}  // namespace rota::cli
