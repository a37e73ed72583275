#include "cli/status.h"

#include "cli/exit_code.h"
#include "cli/test_peers.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cli {
namespace {

using namespace testing_peers;  // NOLINT: test helpers
using testing::HasSubstr;
using testing::Not;

constexpr char kRevision[] = "0123456789abcdef";

Json Condition(const char* type, const char* status) {
  return {{"type", type}, {"status", status}, {"reason", "Because"}, {"message", "of that"}};
}

Json StatusPage(const char* accepted, const char* programmed) {
  return {{"apis",
           {{{"namespace", "default"},
             {"name", "chat"},
             {"status",
              {{"conditions",
                {Condition("Accepted", accepted), Condition("ResolvedRefs", "True"),
                 Condition("Programmed", programmed)}},
               {"gateways", {{{"namespace", "default"}, {"name", "edge"}}}}}}}}},
          {"problems", Json::array()}};
}

Json FleetPage(const std::string& snapshot, size_t objections = 0) {
  return {{"dataplanes",
           {{{"node", "plane-a"},
             {"build", "0.1"},
             {"connected_seconds", 61.0},
             {"snapshot", snapshot},
             {"rejected", std::vector<Json>(objections, Json::object())},
             {"refused", Json::array()}}}}};
}

Peer Controller(const Json& status, const Json& fleet, const Answer& readyz = {200, "ok\n"}) {
  return PeerWith("controller-1",
                  {{"GET /debug/status", {200, status.dump()}},
                   {"GET /debug/fleet", {200, fleet.dump()}},
                   {"GET /readyz", readyz},
                   {"GET /metrics",
                    {200, std::string("rota_snapshot_info{version=\"") + kRevision + "\"} 1\n"}}});
}

TEST(StatusTest, AllWellIsOk) {
  const auto report = CollectStatus(
      {Controller(StatusPage("True", "True"), FleetPage(std::string(kRevision) + "00ff"))}, {}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(StatusVerdict(*report), kExitOk) << *report;
  const std::string text = PrintStatus(*report, {});
  EXPECT_THAT(text, HasSubstr("Gateway default/edge, 1 APIs"));
  EXPECT_THAT(text, HasSubstr("controller-1"));
  EXPECT_THAT(text, HasSubstr("plane-a"));
  EXPECT_THAT(text, HasSubstr(kRevision));
  EXPECT_THAT(text, HasSubstr("1m1s"));
  EXPECT_THAT(text, Not(HasSubstr("API NOT AS WRITTEN")));
}

TEST(StatusTest, TheFirstConditionThatIsNotTrueIsShown) {
  const auto report =
      CollectStatus({Controller(StatusPage("False", "Unknown"), FleetPage(kRevision))}, {}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(StatusVerdict(*report), kExitFindings);
  const std::string text = PrintStatus(*report, {});
  EXPECT_THAT(text, HasSubstr("default/chat"));
  EXPECT_THAT(text, HasSubstr("Accepted=False"));
  EXPECT_THAT(text, Not(HasSubstr("Programmed=Unknown")));
  EXPECT_THAT(text, HasSubstr("of that"));
}

TEST(StatusTest, AnOldRevisionAnObjectionAndAnUnreadyControllerAreFindings) {
  const Json good = StatusPage("True", "True");
  for (const Peer& controller :
       {Controller(good, FleetPage("fedcba9876543210")), Controller(good, FleetPage(kRevision, 1)),
        Controller(good, FleetPage(kRevision), {503, "no source yet\n"}),
        Controller(good, {{"dataplanes", Json::array()}})}) {
    const auto report = CollectStatus({controller}, {}, {});
    ASSERT_TRUE(report.ok()) << report.status();
    EXPECT_EQ(StatusVerdict(*report), kExitFindings) << *report;
  }
}

TEST(StatusTest, DataPlanesCanBeAskedThemselves) {
  const Peer plane =
      PeerWith("127.0.0.1:9901",
               {{"GET /readyz", {503, "no configuration yet\n"}},
                {"GET /metrics",
                 {200, "rota_controller_connected 0\nrota_snapshot_rejected_resources 2\n"}}});
  const auto report = CollectStatus({}, {plane}, {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ((*report)["data_planes"][0]["ready"], false);
  EXPECT_EQ((*report)["data_planes"][0]["objections"], 2.0);
  EXPECT_THAT(PrintStatus(*report, {}), HasSubstr("not connected"));
  EXPECT_EQ(StatusVerdict(*report), kExitFindings);
}

TEST(StatusTest, OneThatDoesNotAnswerIsAFindingAndNobodyAnError) {
  const auto report = CollectStatus(
      {DeadPeer("controller-2"), Controller(StatusPage("True", "True"), FleetPage(kRevision))}, {},
      {});
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_THAT(PrintStatus(*report, {}), HasSubstr("! controller-2 does not answer"));
  EXPECT_EQ(StatusVerdict(*report), kExitFindings);
  EXPECT_TRUE(absl::IsUnavailable(CollectStatus({DeadPeer("c")}, {}, {}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(CollectStatus({}, {}, {}).status()));
}

}  // namespace
}  // namespace rota::cli
