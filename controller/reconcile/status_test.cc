#include "controller/reconcile/status.h"

#include "controller/reconcile/status_json.h"
#include "controller/reconcile/status_tracker.h"
#include "gtest/gtest.h"

namespace rota::reconcile {
namespace {

NodeReport Node(const std::string& name, uint64_t applied) {
  NodeReport report;
  report.node = name;
  report.connected = true;
  report.applied_hash = [applied](const std::string& api) {
    return api == "default/chat" ? applied : 0;
  };
  return report;
}

Condition Programmed(const FleetView& fleet, uint64_t hash = 7, bool refs_are_resolved = true) {
  return ComputeProgrammed(Summarise(fleet, "default/chat", hash), 3, refs_are_resolved);
}

TEST(ProgrammedTest, IsTrueWhenOneDataPlaneServesTheVersionAndNoneObjects) {
  const Condition condition = Programmed({{Node("a", 7), Node("b", 6)}});

  EXPECT_EQ(condition.status, ConditionStatus::kTrue);
  EXPECT_EQ(condition.observed_generation, 3);
  // Pods come and go; the text stays.
  EXPECT_TRUE(SaysTheSame(condition, Programmed({{Node("a", 7)}})));
}

TEST(ProgrammedTest, IsUnknownUntilADataPlaneHasConfirmed) {
  EXPECT_EQ(Programmed({{Node("a", 6)}}).status, ConditionStatus::kUnknown);
}

TEST(ProgrammedTest, IsFalseWithoutAnyDataPlane) {
  NodeReport gone = Node("a", 7);
  gone.connected = false;

  EXPECT_EQ(Programmed({{gone}}).reason, "NoDataPlane");
}

TEST(ProgrammedTest, IsFalseWithTheTextOfARejectionOfThisVersion) {
  NodeReport node = Node("a", 6);
  node.rejected = {{"default/chat", 7, "INVALID", "endpoints[0].url", "no host"}};

  const Condition condition = Programmed({{node, Node("b", 7)}});

  EXPECT_EQ(condition.status, ConditionStatus::kFalse);
  EXPECT_EQ(condition.reason, "RejectedByDataPlane");
  EXPECT_NE(condition.message.find("endpoints[0].url: no host"), std::string::npos);
  // What was said about another version or API is no news.
  EXPECT_EQ(Programmed({{node, Node("b", 8)}}, 8).status, ConditionStatus::kTrue);
}

TEST(ProgrammedTest, IsFalseWhenOperationsAreRefusedForLackOfAuthentication) {
  NodeReport node = Node("a", 7);
  node.refused = {
      {"default/chat", 7, "AUTH_NOT_ENFORCED", "", "start it with --allow-unauthenticated"}};

  const Condition condition = Programmed({{node, node}});

  EXPECT_EQ(condition.status, ConditionStatus::kFalse);
  EXPECT_EQ(condition.reason, "AuthNotEnforced");
  EXPECT_EQ(condition.message, "start it with --allow-unauthenticated");
}

TEST(ProgrammedTest, DoesNotRepeatWhatResolvedRefsSays) {
  NodeReport node = Node("a", 7);
  node.refused = {{"default/chat", 7, "SECRET_MISSING", "", "no Secret"}};

  EXPECT_EQ(Programmed({{node}}, 7, false).status, ConditionStatus::kTrue);
  EXPECT_EQ(Programmed({{node}}, 7, true).reason, "SecretMissing");
}

TEST(JoinTest, IsBounded) {
  resource::Diagnostics many(1000, {resource::Severity::kError, "R", "field", "message"});

  const std::string text = Join(many);

  EXPECT_LT(text.size(), 4096U);
  EXPECT_NE(text.find("and 990 more"), std::string::npos);
}

ApiStatus Status(ConditionStatus accepted, ConditionStatus programmed, const std::string& reason) {
  ApiStatus status;
  status.name = {"default", "chat"};
  status.generation = 1;
  status.accepted = {"Accepted", accepted, "R", "m", 1, ""};
  status.resolved_refs = {"ResolvedRefs", ConditionStatus::kTrue, "R", "m", 1, ""};
  status.programmed = {"Programmed", programmed, reason, "m", 1, ""};
  return status;
}

class StatusTrackerTest : public testing::Test {
 protected:
  std::optional<ApiStatus> Offer(const ApiStatus& status) {
    return tracker_.Offer(status, now_, wall_);
  }

  StatusTracker tracker_;
  MonotonicTime now_{std::chrono::hours(1)};
  WallTime wall_{std::chrono::seconds(1'800'000'000)};
  const ApiStatus pending_ = Status(ConditionStatus::kTrue, ConditionStatus::kUnknown, "Pending");
  const ApiStatus done_ = Status(ConditionStatus::kTrue, ConditionStatus::kTrue, "Programmed");
};

TEST_F(StatusTrackerTest, TellsOneStatusForOneChangeThatIsConfirmedSoon) {
  EXPECT_FALSE(Offer(pending_).has_value());
  const std::optional<ApiStatus> told = Offer(done_);

  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->programmed.last_transition_time, "2027-01-15T08:00:00Z");
  EXPECT_FALSE(Offer(done_).has_value());
  EXPECT_FALSE(tracker_.NextDue().has_value());
}

TEST_F(StatusTrackerTest, TellsThatDataPlanesAreMissingAfterAWhile) {
  EXPECT_FALSE(Offer(pending_).has_value());
  EXPECT_EQ(tracker_.NextDue(), now_ + kProgrammedGrace);
  EXPECT_TRUE(tracker_.Due(now_, wall_).empty());

  now_ += kProgrammedGrace;

  EXPECT_EQ(tracker_.Due(now_, wall_).size(), 1U);
  EXPECT_FALSE(tracker_.NextDue().has_value());
}

TEST_F(StatusTrackerTest, TellsAFindingAtOnceWhateverTheDataPlanesDo) {
  Offer(done_);
  ApiStatus refused = Status(ConditionStatus::kFalse, ConditionStatus::kUnknown, "Pending");

  const std::optional<ApiStatus> told = Offer(refused);

  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->accepted.status, ConditionStatus::kFalse);
  EXPECT_EQ(told->programmed.status, ConditionStatus::kTrue);
  EXPECT_TRUE(tracker_.NextDue().has_value());
}

TEST_F(StatusTrackerTest, DoesNotBlameDataPlanesThatHaveHadNoTimeToConnect) {
  ApiStatus refused = Status(ConditionStatus::kTrue, ConditionStatus::kFalse, "NoDataPlane");
  refused.resolved_refs.status = ConditionStatus::kFalse;

  EXPECT_EQ(Offer(refused)->programmed.status, ConditionStatus::kUnknown);
  now_ += kProgrammedGrace;
  EXPECT_EQ(tracker_.Due(now_, wall_)[0].programmed.reason, "NoDataPlane");
}

TEST_F(StatusTrackerTest, ChangesATransitionTimeOnlyWithTheStatus) {
  Offer(done_);
  wall_ += std::chrono::hours(1);
  ApiStatus later = done_;
  later.accepted.message = "another";

  const std::optional<ApiStatus> told = Offer(later);

  ASSERT_TRUE(told.has_value());
  EXPECT_EQ(told->accepted.last_transition_time, "2027-01-15T08:00:00Z");
}

TEST_F(StatusTrackerTest, TellsOnceAfterARestartWhatTheObjectSaysAlreadyAndThatItIsNoNews) {
  ApiStatus before = *Offer(done_);
  EXPECT_TRUE(before.accepted_is_news);
  StatusTracker restarted;
  wall_ += std::chrono::hours(1);

  restarted.Seed(before.name, *FromJson(ToJson(before)));
  const std::optional<ApiStatus> told = restarted.Offer(done_, now_, wall_);

  ASSERT_TRUE(told.has_value());
  EXPECT_FALSE(told->accepted_is_news);
  EXPECT_FALSE(told->resolved_refs_is_news);
  EXPECT_EQ(told->programmed.last_transition_time, before.programmed.last_transition_time);
  EXPECT_FALSE(restarted.Offer(done_, now_, wall_).has_value());
}

TEST_F(StatusTrackerTest, SaysWhichConditionIsNews) {
  Offer(done_);
  ApiStatus later = done_;
  later.resolved_refs.status = ConditionStatus::kFalse;

  const std::optional<ApiStatus> told = Offer(later);

  ASSERT_TRUE(told.has_value());
  EXPECT_FALSE(told->accepted_is_news);
  EXPECT_TRUE(told->resolved_refs_is_news);
}

TEST_F(StatusTrackerTest, FollowsPodsThatComeAndGoWithoutAWord) {
  Offer(done_);
  ApiStatus none = Status(ConditionStatus::kTrue, ConditionStatus::kFalse, "NoDataPlane");

  EXPECT_FALSE(Offer(none).has_value());
  EXPECT_FALSE(Offer(done_).has_value());
  EXPECT_FALSE(tracker_.NextDue().has_value());
}

TEST(StatusJsonTest, HasTheShapeOfTheResource) {
  ApiStatus status = Status(ConditionStatus::kTrue, ConditionStatus::kTrue, "Programmed");
  status.models = {"gpt-4o"};
  status.accepted.message.clear();
  status.gateways = {{.gateway = "team/edge",
                      .accepted = status.accepted,
                      .resolved_refs = status.resolved_refs,
                      .programmed = status.programmed}};

  const nlohmann::json json = ToJson(status);

  EXPECT_EQ(json["observedGeneration"], 1);
  EXPECT_EQ(json["conditions"].size(), 3U);
  EXPECT_EQ(json["conditions"][0]["type"], "Accepted");
  EXPECT_EQ(json["conditions"][0]["status"], "True");
  // An empty message is refused by some API servers.
  EXPECT_EQ(json["conditions"][0]["message"], "R");
  EXPECT_EQ(json["gateways"].size(), 1U);
  EXPECT_EQ(json["gateways"][0]["namespace"], "team");
  EXPECT_EQ(json["gateways"][0]["name"], "edge");
  EXPECT_EQ(json["gateways"][0]["conditions"][0]["type"], "Accepted");
  EXPECT_EQ(json["gateways"][0]["conditions"][2]["type"], "Programmed");
  EXPECT_TRUE(SaysTheSame(FromJson(json)->gateways[0].programmed, status.programmed));
  EXPECT_EQ(json["models"], nlohmann::json::array({"gpt-4o"}));
}

TEST(StatusJsonTest, ReadsNothingFromAStatusOfAnotherShape) {
  EXPECT_FALSE(FromJson(nullptr).has_value());
  EXPECT_FALSE(FromJson({{"conditions", "x"}}).has_value());
  EXPECT_TRUE(FromJson({{"conditions", {1, {{"type", 5}}}}}).has_value());
}

Condition At(ConditionStatus status, const std::string& reason) {
  return {"Accepted", status, reason, "message of " + reason, 1, ""};
}

TEST(AggregateTest, IsTheWorstAndNamesTheGatewaysWhenTheyDiffer) {
  std::vector<ApiAtGateway> gateways(3);
  gateways[0].gateway = "a/a";
  gateways[0].accepted = At(ConditionStatus::kTrue, "Accepted");
  gateways[1].gateway = "b/b";
  gateways[1].accepted = At(ConditionStatus::kFalse, "PathConflict");
  gateways[2].gateway = "c/c";
  gateways[2].accepted = At(ConditionStatus::kUnknown, "Pending");

  const Condition all = Aggregate(gateways, &ApiAtGateway::accepted);

  EXPECT_EQ(all.status, ConditionStatus::kFalse);
  EXPECT_EQ(all.reason, "PathConflict");
  EXPECT_EQ(all.message, "gateway b/b: message of PathConflict");
  gateways[0].accepted = gateways[2].accepted = gateways[1].accepted;
  EXPECT_EQ(Aggregate(gateways, &ApiAtGateway::accepted).message, "message of PathConflict");
}

GatewayStatus Edge(size_t nodes, const std::string& applied) {
  GatewayStatus status;
  status.gateway = "team/edge";
  status.snapshot = "new";
  FleetView fleet;
  for (size_t i = 0; i < nodes; ++i) {
    fleet.nodes.push_back(Node("node-" + std::to_string(100 + i), 1));
    fleet.nodes.back().snapshot = applied;
  }
  AddFleet(fleet, status);
  return status;
}

TEST(GatewayStatusTest, CountsAllDataPlanesAndListsSome) {
  const GatewayStatus status = Edge(60, "new");

  EXPECT_EQ(status.programmed.status, ConditionStatus::kTrue);
  const nlohmann::json json = ToJson(status);
  EXPECT_EQ(json["dataPlanes"]["connected"], 60);
  EXPECT_EQ(json["dataPlanes"]["current"], 60);
  EXPECT_EQ(json["dataPlanes"]["omitted"], 10);
  EXPECT_EQ(json["dataPlanes"]["nodes"].size(), kMaxListedNodes);
  EXPECT_EQ(Edge(2, "old").current, 0U);
  EXPECT_EQ(Edge(2, "").programmed.status, ConditionStatus::kUnknown);
  EXPECT_EQ(Edge(0, "").programmed.reason, "NoDataPlane");
}

TEST(GatewayTrackerTest, TellsConditionsAtOnceAndCountsNowAndThen) {
  GatewayTracker tracker;
  MonotonicTime now{std::chrono::hours(1)};
  EXPECT_TRUE(tracker.Offer(Edge(0, ""), now).has_value());
  EXPECT_TRUE(tracker.Offer(Edge(1, "new"), now).has_value()) << "Programmed has changed";
  EXPECT_FALSE(tracker.Offer(Edge(1, "new"), now).has_value());
  EXPECT_FALSE(tracker.NextDue().has_value());

  EXPECT_FALSE(tracker.Offer(Edge(2, "new"), now).has_value());
  EXPECT_EQ(tracker.NextDue(), now + kGatewayStatusInterval);
  now += kGatewayStatusInterval;
  EXPECT_TRUE(tracker.Offer(Edge(2, "new"), now).has_value());

  EXPECT_EQ(tracker.KeepOnly({}), std::vector<std::string>{"team/edge"});
}

GatewayStatus Accepted(const std::string& uid, const std::string& message) {
  GatewayStatus status = Edge(1, "new");
  status.uid = uid;
  status.accepted = {"Accepted", ConditionStatus::kTrue, "Accepted", message, 1, ""};
  status.resolved_refs = {"ResolvedRefs", ConditionStatus::kTrue, "ResolvedRefs", "there", 1, ""};
  return status;
}

TEST(GatewayTrackerTest, WhatTheResourceSaysOrWasToldIsNoNews) {
  GatewayTracker tracker;
  const MonotonicTime now{std::chrono::hours(1)};
  const std::optional<GatewayConditions> said =
      GatewayConditionsFromJson(ToJson(Accepted("uid-1", "valid")));
  ASSERT_TRUE(said.has_value());
  tracker.Seed("team/edge", *said);

  const std::optional<GatewayStatus> first = tracker.Offer(Accepted("uid-1", "valid"), now);
  ASSERT_TRUE(first.has_value());
  EXPECT_FALSE(first->accepted_is_news);
  EXPECT_FALSE(first->resolved_refs_is_news);

  const std::optional<GatewayStatus> other = tracker.Offer(Accepted("uid-1", "otherwise"), now);
  ASSERT_TRUE(other.has_value());
  EXPECT_TRUE(other->accepted_is_news);
  EXPECT_FALSE(other->resolved_refs_is_news);

  EXPECT_TRUE(tracker.Offer(Accepted("uid-2", "otherwise"), now)->accepted_is_news)
      << "a namesake has Events of its own";
}

TEST(FleetDifferenceTest, NamesTheApisOfNewAndOfSettledFindings) {
  const NodeFinding old_finding{"default/a", 1, "INVALID", "x", "no"};
  const NodeFinding new_finding{"default/b", 1, "INVALID", "x", "no"};
  const NodeFinding kept_finding{"default/c", 1, "INVALID", "x", "no"};
  FleetView before{{Node("n", 1)}};
  before.nodes[0].rejected = {old_finding, kept_finding};
  FleetView after = before;
  after.nodes[0].rejected = {kept_finding};
  after.nodes[0].refused = {new_finding};

  const FleetDifference difference = Compare({{"g", before}}, {{"g", after}});

  EXPECT_FALSE(difference.nodes);
  EXPECT_EQ(difference.apis, (std::set<std::string>{"default/a", "default/b"}));
  EXPECT_TRUE(Compare({{"g", after}}, {{"g", after}}).apis.empty());
}

TEST(FleetDifferenceTest, SeesThatADataPlaneHasComeOrGone) {
  const FleetView view{{Node("n", 1)}};

  EXPECT_TRUE(Compare({}, {{"g", view}}).nodes);
  EXPECT_TRUE(Compare({{"g", view}}, {}).nodes);
  EXPECT_TRUE(Compare({{"g", view}}, {{"h", view}}).nodes);
  EXPECT_FALSE(Compare({{"g", view}}, {{"g", view}}).nodes);
}

}  // namespace
}  // namespace rota::reconcile
