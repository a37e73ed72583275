// What token services are sent, and what is made of their answers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "dataplane/cloud/aws_web_identity.h"
#include "dataplane/cloud/entra.h"
#include "dataplane/cloud/http_answer.h"
#include "dataplane/table/identity.h"

namespace rota::cloud {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

using Variables = std::map<std::string, std::string>;

Environment Of(Variables variables) {
  return [variables = std::move(variables)](const std::string& name) {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional<std::string>(found->second);
  };
}

const Variables kEks = {{"AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/rota"},
                        {"AWS_WEB_IDENTITY_TOKEN_FILE", "/token"},
                        {"AWS_REGION", "eu-west-1"}};
const Variables kAks = {{"AZURE_CLIENT_ID", "client"},
                        {"AZURE_TENANT_ID", "tenant"},
                        {"AZURE_FEDERATED_TOKEN_FILE", "/token"}};

Variables With(Variables variables, const std::string& name, const std::string& value) {
  variables[name] = value;
  return variables;
}

// AWS's example of AssumeRoleWithWebIdentity, shortened.
constexpr char kStsAnswer[] = R"(<AssumeRoleWithWebIdentityResponse
    xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:rota:rota</SubjectFromWebIdentityToken>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::123456789012:assumed-role/FederatedWebIdentityRole/app1</Arn>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>AQoDYXdzEE0a8/ANXXX==</SessionToken>
      <SecretAccessKey>wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY</SecretAccessKey>
      <Expiration>2026-01-01T01:00:00Z</Expiration>
      <AccessKeyId>ASgeIAIOSFODNN7EXAMPLE</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>)";

WallTime Now() { return FakeClock().WallNow(); }  // 2026-01-01T00:00:00Z

std::unique_ptr<TokenService> Aws(const Variables& variables = kEks,
                                  std::string_view session = "rota-1") {
  absl::StatusOr<std::unique_ptr<TokenService>> service =
      AwsWebIdentity::FromEnvironment(Of(variables), session);
  EXPECT_TRUE(service.ok()) << service.status();
  return service.ok() ? *std::move(service) : nullptr;
}

std::unique_ptr<TokenService> Azure(const Variables& variables = kAks) {
  absl::StatusOr<std::unique_ptr<TokenService>> service = Entra::FromEnvironment(Of(variables));
  EXPECT_TRUE(service.ok()) << service.status();
  return service.ok() ? *std::move(service) : nullptr;
}

TEST(AwsWebIdentityTest, AsksTheRegionsEndpointForTheRole) {
  const TokenRequest request = Aws()->Request("a.b/c");

  EXPECT_EQ(request.server.authority, "sts.eu-west-1.amazonaws.com");
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(request.form,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&"
            "RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Frota&RoleSessionName=rota-1&"
            "WebIdentityToken=a.b%2Fc");
  EXPECT_EQ(Aws()->token_file(), "/token");
}

TEST(AwsWebIdentityTest, ReadsTheVariablesThatSdksRead) {
  EXPECT_EQ(Aws(With(kEks, "AWS_REGION", "cn-north-1"))->Request("t").server.authority,
            "sts.cn-north-1.amazonaws.com.cn");
  Variables other_region = With(kEks, "AWS_DEFAULT_REGION", "us-east-2");
  other_region.erase("AWS_REGION");
  EXPECT_EQ(Aws(other_region)->Request("t").server.authority, "sts.us-east-2.amazonaws.com");
  EXPECT_EQ(
      Aws(With(kEks, "AWS_ENDPOINT_URL_STS", "https://127.0.0.1:8443/sts"))->Request("t").path,
      "/sts/");
  EXPECT_THAT(Aws(With(kEks, "AWS_ROLE_SESSION_NAME", "mine"))->Request("t").form,
              HasSubstr("RoleSessionName=mine&"));
}

TEST(AwsWebIdentityTest, MakesASessionNameThatAwsTakes) {
  EXPECT_THAT(Aws(kEks, "a pod:1")->Request("t").form, HasSubstr("RoleSessionName=a-pod-1&"));
  EXPECT_THAT(Aws(kEks, "x")->Request("t").form, HasSubstr("RoleSessionName=rota&"));
  EXPECT_THAT(Aws(kEks, std::string(99, 'x'))->Request("t").form,
              HasSubstr(absl::StrCat("=", std::string(64, 'x'), "&")));
}

TEST(AwsWebIdentityTest, NamesTheVariableThatIsMissing) {
  for (const char* const name : {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_REGION"}) {
    Variables variables = kEks;
    variables.erase(name);
    const absl::Status status = AwsWebIdentity::FromEnvironment(Of(variables), "s").status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
  const absl::Status plain =
      AwsWebIdentity::FromEnvironment(Of(With(kEks, "AWS_ENDPOINT_URL_STS", "http://sts")), "s")
          .status();
  EXPECT_EQ(plain.code(), absl::StatusCode::kFailedPrecondition) << "the token is a credential";
  EXPECT_THAT(std::string(plain.message()), HasSubstr("https://"));
}

TEST(AwsWebIdentityTest, ReadsTheKeysAndHowLongTheyLive) {
  const absl::StatusOr<Grant> grant = Aws()->Read({200, kStsAnswer}, Now());

  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->values.at(table::kAccessKeyId).Reveal(), "ASgeIAIOSFODNN7EXAMPLE");
  EXPECT_EQ(grant->values.at(table::kSecretAccessKey).Reveal(),
            "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
  EXPECT_EQ(grant->values.at(table::kSessionToken).Reveal(), "AQoDYXdzEE0a8/ANXXX==");
  EXPECT_EQ(grant->lifetime, minutes(60));
}

TEST(AwsWebIdentityTest, SaysWhatStsSays) {
  const absl::Status status =
      Aws()
          ->Read({403,
                  "<ErrorResponse><Error><Type>Sender</Type><Code>AccessDenied</Code>"
                  "<Message>Not authorized to perform\n sts:AssumeRoleWithWebIdentity"
                  "</Message></Error></ErrorResponse>"},
                 Now())
          .status();

  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("403 AccessDenied: Not authorized to perform  sts:AssumeRole"));
}

TEST(AwsWebIdentityTest, TakesNoHalfAnswer) {
  for (const char* const element :
       {"AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration"}) {
    const std::string open = absl::StrCat("<", element, ">");
    for (const std::string& other : {std::string("<x>"), open + "<"}) {
      const absl::Status status =
          Aws()->Read({200, absl::StrReplaceAll(kStsAnswer, {{open, other}})}, Now()).status();
      EXPECT_TRUE(absl::IsUnavailable(status)) << element;
      EXPECT_THAT(std::string(status.message()), HasSubstr(element));
      EXPECT_THAT(std::string(status.message()), Not(HasSubstr("wJalr")));
    }
  }
  EXPECT_TRUE(absl::IsUnavailable(Aws()->Read({200, ""}, Now()).status()));
  EXPECT_TRUE(absl::IsUnavailable(Aws()->Read({200, "<AccessKeyId>"}, Now()).status()));
}

TEST(AwsWebIdentityTest, AClockThatIsWrongMakesNoEndlessLife) {
  EXPECT_TRUE(absl::IsUnavailable(Aws()->Read({200, kStsAnswer}, Now() + minutes(61)).status()));
  EXPECT_EQ(Aws()->Read({200, kStsAnswer}, WallTime())->lifetime, kMaxLifetime);
}

TEST(EntraTest, ShowsTheFederatedToken) {
  const TokenRequest request = Azure()->Request("a.b+c");

  EXPECT_EQ(request.server.authority, "login.microsoftonline.com");
  EXPECT_EQ(request.path, "/tenant/oauth2/v2.0/token");
  EXPECT_EQ(request.form,
            "grant_type=client_credentials&client_id=client&"
            "scope=https%3A%2F%2Fcognitiveservices.azure.com%2F.default&client_assertion_type="
            "urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&"
            "client_assertion=a.b%2Bc");
}

TEST(EntraTest, ReadsTheVariablesThatSdksRead) {
  EXPECT_EQ(Azure(With(kAks, "AZURE_AUTHORITY_HOST", "https://login.microsoftonline.us/"))
                ->Request("t")
                .server.authority,
            "login.microsoftonline.us");
  const auto with_secret = Azure(With(kAks, "AZURE_CLIENT_SECRET", "s~1/"));
  EXPECT_EQ(with_secret->token_file(), "");
  EXPECT_THAT(with_secret->Request("").form, HasSubstr("&client_secret=s~1%2F"));
  for (const auto& [name, value] : kAks) {
    Variables variables = kAks;
    variables.erase(name);
    const absl::Status status = Entra::FromEnvironment(Of(variables)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_THAT(std::string(status.message()), HasSubstr(name));
  }
}

TEST(EntraTest, ReadsTheTokenAndHowLongItLives) {
  const absl::StatusOr<Grant> grant = Azure()->Read(
      {200, R"({"token_type":"Bearer","expires_in":3599,"access_token":"eyJ0.e.s"})"}, Now());

  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->values.at(table::kAccessToken).Reveal(), "eyJ0.e.s");
  EXPECT_EQ(grant->lifetime, seconds(3599));
}

TEST(EntraTest, SaysWhatEntraSaysAndTakesNoHalfAnswer) {
  const absl::Status status =
      Azure()
          ->Read(
              {400, R"({"error":"invalid_client","error_description":"AADSTS700016: no.\r\nX"})"},
              Now())
          .status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("400 invalid_client: AADSTS700016: no."));
  for (const char* const body :
       {"", "{}", "[]", R"({"access_token":"x"})", R"({"access_token":"","expires_in":9})",
        R"({"access_token":"x","expires_in":0})", R"({"access_token":7,"expires_in":9})"}) {
    EXPECT_TRUE(absl::IsUnavailable(Azure()->Read({200, body}, Now()).status())) << body;
  }
  EXPECT_EQ(
      Azure()->Read({200, R"({"access_token":"x","expires_in":99999999999})"}, Now())->lifetime,
      kMaxLifetime);
}

TEST(HttpAnswerTest, IsReadWhereverItIsCut) {
  const std::string bytes =
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
  for (size_t size = 0; size < bytes.size(); ++size) {
    const auto part = ParseAnswer(bytes.substr(0, size), false);
    ASSERT_TRUE(part.ok()) << size;
    EXPECT_FALSE(part->has_value()) << size;
    EXPECT_TRUE(absl::IsUnavailable(ParseAnswer(bytes.substr(0, size), true).status())) << size;
  }
  const auto whole = ParseAnswer(bytes, false);
  ASSERT_TRUE(whole.ok() && whole->has_value());
  EXPECT_EQ((*whole)->status, 200);
  EXPECT_EQ((*whole)->body, "abc");
}

TEST(HttpAnswerTest, WithoutALengthTheEndIsTheEnd) {
  const std::string bytes = "HTTP/1.1 403 Forbidden\r\n\r\nno";

  EXPECT_FALSE(ParseAnswer(bytes, false)->has_value());
  EXPECT_EQ((*ParseAnswer(bytes, true))->body, "no");
}

TEST(HttpAnswerTest, IsBoundedAndRefusesWhatIsNoHttp) {
  EXPECT_TRUE(absl::IsUnavailable(ParseAnswer("SSH-2.0-x\r\n\r\n", false).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      ParseAnswer("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n", false).status()));
  EXPECT_TRUE(absl::IsUnavailable(
      ParseAnswer("HTTP/1.1 200 OK\r\n\r\n" + std::string(kMaxAnswerBytes, 'x'), false).status()));
}

}  // namespace
}  // namespace rota::cloud
