#include "cli/explain.h"

#include "cli/exit_code.h"
#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::HasSubstr;
using testing::Not;

Json Page() {
  return Json::parse(R"({
    "request": {"host": "sandbox.example", "verb": "POST", "path": "/chat/1.0/chat/completions"},
    "environment": "sandbox", "environment_because": "a label of the host is `sandbox`",
    "api": "default/chat", "answer": 0, "because": "the rotation picks a target",
    "operation": {"verb": "POST", "target": "/chat/completions", "kind": "CHAT"},
    "model": {"name": "gpt-4o", "configured": true, "share": 0.0},
    "rotation": {"first_return_seconds": 41.2, "next": [{"model": "o1"}, {"model": "o1"}],
      "targets": [
        {"model": "gpt-4o", "target": "openai", "weight": 2, "tier": 1, "eligible": false,
         "share": 0.0,
         "suspension": {"reason": "quota", "remaining_seconds": 41.2, "seen_by": "plane-b"}},
        {"model": "o1", "target": "openai", "weight": 1, "tier": 1, "eligible": true,
         "share": 1.0, "suspension": null},
        {"model": "mini", "target": "openai", "weight": 1, "tier": 2, "eligible": true,
         "share": 0.0, "suspension": null},
        {"model": "keyless", "target": "azure", "weight": 1, "tier": 1, "eligible": false,
         "credential_missing": true, "share": 0.0, "suspension": null},
        {"model": "spare", "target": "azure", "weight": 0, "tier": 1, "eligible": false,
         "share": 0.0, "suspension": null}]}})");
}

TEST(ExplainTest, PrintsTheWayOfTheRequest) {
  const std::string text = PrintExplanation(Page(), {});
  EXPECT_THAT(text, HasSubstr("POST /chat/1.0/chat/completions   Host: sandbox.example"));
  EXPECT_THAT(text, HasSubstr("sandbox: a label of the host is `sandbox`"));
  EXPECT_THAT(text, HasSubstr("next          o1, o1\n"));
  EXPECT_THAT(text, HasSubstr("gpt-4o: gets nothing now"));
  EXPECT_THAT(text, HasSubstr("suspended: quota"));
  EXPECT_THAT(text, HasSubstr("42s"));
  EXPECT_THAT(text, HasSubstr("100%"));
  for (const char* state : {"on the rota", "waits: other tier", "credential missing", "weight 0"}) {
    EXPECT_THAT(text, HasSubstr(state));
  }
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  EXPECT_THAT(PrintExplanation(Page(), {.colours = true}), HasSubstr("\x1b[31msuspended"));
}

TEST(ExplainTest, TheVerdictIsWhetherTheRequestOrTheModelGetsThrough) {
  Json page = Page();
  EXPECT_EQ(ExplanationVerdict(page), kExitFindings);
  page["model"]["share"] = 0.5;
  EXPECT_EQ(ExplanationVerdict(page), kExitOk);
  page.erase("model");
  EXPECT_EQ(ExplanationVerdict(page), kExitOk);
  page["answer"] = 429;
  EXPECT_EQ(ExplanationVerdict(page), kExitFindings);
  EXPECT_THAT(PrintExplanation(page, {}), HasSubstr("the gateway answers 429: "));
}

TEST(ExplainTest, AsksTheFirstDataPlaneThatAnswers) {
  const Peer alive = PeerWith(
      "b", {{"GET /debug/explain?api=default%2Fchat&environment=sandbox", {200, Page().dump()}}});
  const auto report =
      CollectExplanation({DeadPeer("a"), alive}, {.api = "default/chat", .environment = "sandbox"});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["data_plane"], "b");
  EXPECT_THAT(PrintExplanation(*report, {}), HasSubstr("! a does not answer"));
  EXPECT_TRUE(absl::IsUnavailable(CollectExplanation({DeadPeer("a")}, {.api = "x"}).status()));
}

TEST(ExplainTest, WhatTheDataPlaneSaysAgainstTheQuestionIsTheError) {
  const auto report = CollectExplanation(
      {PeerWith("a", {{"GET /debug/explain?api=x", {400, R"({"error":"more than one"})"}}})},
      {.api = "x"});
  EXPECT_TRUE(absl::IsInvalidArgument(report.status()));
  EXPECT_THAT(std::string(report.status().message()), HasSubstr("a: more than one"));
}

TEST(ExplainTest, WithoutARotationItSaysWhereTheRequestGoes) {
  const Json page = Json::parse(R"({"request": {"host": "h", "verb": "GET", "path": "/p"},
    "environment": "production", "environment_because": "", "api": null, "answer": 0,
    "because": "first endpoint", "first_endpoint": {"url": "https://api.openai.com/v1"}})");
  const std::string text = PrintExplanation(page, {});
  EXPECT_THAT(text, HasSubstr("API           none"));
  EXPECT_THAT(text, HasSubstr("https://api.openai.com/v1"));
}

}  // namespace
}  // namespace rota::cli
