#include "dataplane/table/host_rules.h"

#include <string>

#include "gtest/gtest.h"

namespace rota::table {
namespace {

HostRules Rules(const std::vector<std::string>& production,
                const std::vector<std::string>& sandbox) {
  absl::StatusOr<HostRules> rules = HostRules::Make(production, sandbox);
  EXPECT_TRUE(rules.ok()) << rules.status();
  return *std::move(rules);
}

TEST(HostRulesTest, ByDefaultALabelDecides) {
  const HostRules rules;

  for (const char* host : {"sandbox", "sandbox.example.com", "a.sandbox.gw", "SandBox.gw:8443",
                           "sandbox.", "sandbox.:80"}) {
    EXPECT_TRUE(rules.IsSandbox(host)) << host;
  }
  for (const char* host : {"", "gw.example.com", "mysandbox.com", "sandbox2.gw", "sand.box",
                           "127.0.0.1:80", "[::1]:8080", "::1", "[::1", ".", ":80"}) {
    EXPECT_FALSE(rules.IsSandbox(host)) << host;
  }
  EXPECT_FALSE(rules.IsSandbox(std::string(100'000, 'a')));
}

TEST(HostRulesTest, PatternsAreExactNamesOrWildcards) {
  const HostRules rules = Rules({"api.example.com"}, {"*.dev.example.com", "test.example.com"});

  EXPECT_TRUE(rules.IsSandbox("a.dev.example.com:443"));
  EXPECT_TRUE(rules.IsSandbox("a.b.DEV.example.com."));
  EXPECT_TRUE(rules.IsSandbox("test.example.com"));
  EXPECT_FALSE(rules.IsSandbox("dev.example.com"));
  EXPECT_FALSE(rules.IsSandbox("xdev.example.com"));
  EXPECT_FALSE(rules.IsSandbox("api.example.com"));
  // With a sandbox list the default rule is off.
  EXPECT_FALSE(rules.IsSandbox("sandbox.example.com"));
}

TEST(HostRulesTest, TheMoreSpecificPatternDecides) {
  const HostRules rules =
      Rules({"api.dev.example.com", "*.prod.dev.example.com"}, {"*.dev.example.com"});

  EXPECT_FALSE(rules.IsSandbox("api.dev.example.com"));
  EXPECT_FALSE(rules.IsSandbox("x.prod.dev.example.com"));
  EXPECT_TRUE(rules.IsSandbox("other.dev.example.com"));
}

TEST(HostRulesTest, WithoutASandboxListTheDefaultRuleHoldsForOtherHosts) {
  const HostRules rules = Rules({"sandbox.example.com"}, {});

  EXPECT_FALSE(rules.IsSandbox("sandbox.example.com"));
  EXPECT_TRUE(rules.IsSandbox("sandbox.example.org"));
}

TEST(HostRulesTest, AnAddressMayBeAPattern) {
  EXPECT_TRUE(Rules({}, {"[::1]"}).IsSandbox("[::1]:8080"));
  EXPECT_TRUE(Rules({}, {"127.0.0.1"}).IsSandbox("127.0.0.1:8080"));
}

TEST(HostRulesTest, SaysWhichRuleHasDecided) {
  const HostRules rules = Rules({"api.dev.example.com"}, {"*.dev.example.com"});
  EXPECT_EQ(rules.Explain("Other.dev.example.com:8080").because, "host pattern *.dev.example.com");
  EXPECT_EQ(rules.Explain("api.dev.example.com").because, "host pattern api.dev.example.com");
  EXPECT_EQ(rules.Explain("sandbox.org").because, "no sandbox host pattern names the host");
  EXPECT_TRUE(HostRules().Explain("sandbox.org").is_sandbox);
  EXPECT_EQ(HostRules().Explain("sandbox.org").because, "a label of the host is `sandbox`");
  EXPECT_EQ(HostRules().Explain("example.org").because, "no label of the host is `sandbox`");
  EXPECT_FALSE(HostRules().Explain(std::string(300, 'a')).is_sandbox);
}

TEST(HostRulesTest, GivesAHostOfEachEnvironment) {
  for (const HostRules& rules : {HostRules(), Rules({"api.dev.org"}, {"*.dev.org"}),
                                 Rules({"sandbox.example"}, {"sandbox.example", "test.org"})}) {
    for (const bool is_sandbox : {false, true}) {
      const std::optional<std::string> host = rules.ExampleOf(is_sandbox);
      ASSERT_TRUE(host.has_value());
      EXPECT_EQ(rules.IsSandbox(*host), is_sandbox) << *host;
    }
  }
  EXPECT_EQ(Rules({"test.org"}, {"test.org"}).ExampleOf(true), std::nullopt);
}

TEST(HostRulesTest, RefusesPatternsThatAreNone) {
  for (const char* pattern : {"", "*", "*.", "a b", "a/b", "*.*.com", "a*.com"}) {
    const absl::StatusOr<HostRules> rules = HostRules::Make({}, {pattern});
    ASSERT_FALSE(rules.ok()) << pattern;
    EXPECT_NE(std::string(rules.status().message()).find(std::string("\"") + pattern + "\""),
              std::string::npos);
  }
}

}  // namespace
}  // namespace rota::table
