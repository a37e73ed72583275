#include "controller/identity/token_review.h"

#include "controller/identity/scripted_transport.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::identity {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kToken[] = "aaaa.bbbb.cccc";

json WithStatus(json status) {
  json review = json::object();
  review["status"] = std::move(status);
  return review;
}

json Answer() {
  json status = json::object();
  status["authenticated"] = true;
  status["audiences"] = json::array({"rota-sync"});
  status["user"]["username"] = "system:serviceaccount:team:rota-dataplane";
  status["user"]["extra"]["authentication.kubernetes.io/pod-name"] = json::array({"proxy-7"});
  return WithStatus(std::move(status));
}

std::string Problem(const json& review) {
  const auto verdict = VerdictOf(review);
  EXPECT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_FALSE(verdict->good);
  return verdict->problem;
}

TEST(TokenReviewTest, AGoodTokenSaysWhoseItIsAndOfWhichPod) {
  const auto verdict = VerdictOf(Answer());
  ASSERT_TRUE(verdict.ok());
  EXPECT_TRUE(verdict->good);
  EXPECT_EQ(verdict->service_account, "team/rota-dataplane");
  EXPECT_EQ(verdict->pod, "proxy-7");
}

TEST(TokenReviewTest, ATokenThatIsBoundToNoPodHasNone) {
  json answer = Answer();
  answer["status"]["user"].erase("extra");
  EXPECT_EQ(VerdictOf(answer)->pod, "");
  EXPECT_TRUE(VerdictOf(answer)->good);
}

TEST(TokenReviewTest, ARefusalSaysWhatTheServerSaid) {
  json expired = json::object();
  expired["error"] = "token has expired";
  EXPECT_THAT(Problem(WithStatus(expired)), HasSubstr("has expired"));
  EXPECT_THAT(Problem(WithStatus(json::object())), HasSubstr("does not know it"));
  expired["error"] = std::string(100'000, 'x');
  EXPECT_LE(Problem(WithStatus(expired)).size(), 512u);
  json no = Answer();
  no["status"]["authenticated"] = false;
  Problem(no);
  no["status"]["authenticated"] = "true";
  Problem(no);
}

TEST(TokenReviewTest, AServerThatIgnoresAudiencesIsNotBelieved) {
  json answer = Answer();
  answer["status"].erase("audiences");
  EXPECT_THAT(Problem(answer), HasSubstr("rota-sync"));
  answer["status"]["audiences"] = json::array({"https://kubernetes.default.svc"});
  Problem(answer);
  answer["status"]["audiences"] = "rota-sync";
  Problem(answer);
}

TEST(TokenReviewTest, AUserWhoIsNoServiceAccountIsRefused) {
  for (const char* user : {"admin", "", "system:serviceaccount:team", "system:serviceaccount::x",
                           "system:serviceaccount:team:", "system:node:team:x"}) {
    json answer = Answer();
    answer["status"]["user"]["username"] = user;
    EXPECT_THAT(Problem(answer), HasSubstr("no ServiceAccount")) << user;
  }
  json answer = Answer();
  answer["status"].erase("user");
  Problem(answer);
}

TEST(TokenReviewTest, AnAnswerThatIsNoneIsNoVerdict) {
  EXPECT_EQ(VerdictOf(json::object()).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(VerdictOf(WithStatus("good")).status().code(), absl::StatusCode::kUnavailable);
}

TEST(TokenReviewTest, OnesOwnAccountStandsInOnesOwnToken) {
  // {"sub":"system:serviceaccount:rota-system:rota-controller"}
  const std::string claims =
      "eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6cm90YS1zeXN0ZW06cm90YS1jb250cm9sbGVyIn0";
  const auto account = AccountOfOwnToken(SecretString("e30." + claims + ".c2ln"));
  ASSERT_TRUE(account.ok()) << account.status();
  EXPECT_EQ(*account, "rota-system/rota-controller");
  for (const char* text : {"", "abc", "a.b", "a.!!.c", "e30.e30.c2ln", "..", "e30.W10.x"}) {
    const auto none = AccountOfOwnToken(SecretString(text));
    EXPECT_EQ(none.status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

// --- What is sent.

TEST(KubeReviewerTest, TheReviewIsForTheAudienceAndAFailureQuotesNoToken) {
  ScriptedTransport transport;
  transport.Answer(201, Answer().dump());
  const auto reviewer = KubeReviewer(transport);
  const auto verdict = reviewer(SecretString(kToken), {});
  ASSERT_TRUE(verdict.ok()) << verdict.status();
  EXPECT_EQ(verdict->service_account, "team/rota-dataplane");
  ASSERT_EQ(transport.requests.size(), 1u);
  EXPECT_EQ(transport.requests[0].method, "POST");
  EXPECT_EQ(transport.requests[0].target, "/apis/authentication.k8s.io/v1/tokenreviews");
  const json sent = json::parse(transport.requests[0].body);
  EXPECT_EQ(sent["spec"]["token"], kToken);
  EXPECT_EQ(sent["spec"]["audiences"], json::array({"rota-sync"}));

  transport.Answer(
      403, R"({"kind":"Status","reason":"Forbidden","message":"tokenreviews is forbidden"})");
  const auto refused = reviewer(SecretString(kToken), {});
  EXPECT_EQ(refused.status().code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(refused.status().message()), HasSubstr("tokenreviews is forbidden"));
  EXPECT_THAT(std::string(refused.status().message()), Not(HasSubstr(kToken)));
}

TEST(KubeReviewerTest, OnesOwnExpiredTokenIsReplacedOnce) {
  ScriptedTransport transport;
  transport.Answer(401, "{}");
  transport.Answer(201, Answer().dump());
  EXPECT_TRUE(KubeReviewer(transport)(SecretString(kToken), {}).ok());
  EXPECT_EQ(transport.requests.size(), 2u);
  transport.Answer(401, "{}");
  transport.Answer(401, "{}");
  EXPECT_FALSE(KubeReviewer(transport)(SecretString(kToken), {}).ok());
  EXPECT_EQ(transport.requests.size(), 4u);
}

}  // namespace
}  // namespace rota::identity
