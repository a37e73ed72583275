// Asking a token service over TLS, on real sockets.

#include <openssl/ssl.h>

#include <csignal>
#include <filesystem>
#include <map>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "dataplane/cloud/aws_web_identity.h"
#include "dataplane/cloud/fetch.h"
#include "dataplane/cloud/https_post.h"
#include "dataplane/table/identity.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::cloud {
namespace {

using engine::testing::Always;
using engine::testing::Answer;
using engine::testing::Message;
using engine::testing::TestCertificates;
using engine::testing::TestUpstream;
using engine::testing::Wire;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKeys[] =
    "<AccessKeyId>ASIA</AccessKeyId><SecretAccessKey>the-secret</SecretAccessKey>"
    "<SessionToken>the-session</SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration>";

class CloudFetchTest : public ::testing::Test {
 protected:
  CloudFetchTest() {
    signal(SIGPIPE, SIG_IGN);  // as in every program of ours
    const std::string folder = std::filesystem::path(certificates_.ca_file()).parent_path();
    token_file_ = folder + "/token";
    EXPECT_TRUE(WriteFileAtomically(token_file_, "the.web.token\n").ok());
  }

  absl::StatusOr<Grant> Ask(uint16_t port, std::stop_token stop = {}) {
    const std::map<std::string, std::string> variables = {
        {"AWS_ROLE_ARN", "arn:aws:iam::1:role/rota"},
        {"AWS_WEB_IDENTITY_TOKEN_FILE", token_file_},
        {"AWS_REGION", "eu-west-1"},
        {"AWS_ENDPOINT_URL_STS", absl::StrCat("https://127.0.0.1:", port)}};
    auto service = AwsWebIdentity::FromEnvironment(
        [&variables](const std::string& name) {
          const auto found = variables.find(name);
          return found == variables.end() ? std::nullopt
                                          : std::optional<std::string>(found->second);
        },
        "session");
    EXPECT_TRUE(service.ok()) << service.status();
    return Fetch(
        **service, [this] { return Context(); }, clock_, std::move(stop));
  }
  std::shared_ptr<SSL_CTX> Context() const {
    SSL_CTX_up_ref(certificates_.client_context());
    return {certificates_.client_context(), SSL_CTX_free};
  }

  TestCertificates certificates_{"sts.example.com"};
  std::string token_file_;
  RealClock clock_;
};

TEST_F(CloudFetchTest, SendsTheFilesTokenAndReadsTheKeys) {
  TestUpstream sts(Always(Answer(200, kKeys)), certificates_.server_context());

  const absl::StatusOr<Grant> grant = Ask(sts.port());

  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->values.at(table::kSecretAccessKey).Reveal(), "the-secret");
  const Message request = sts.requests().at(0);
  EXPECT_EQ(request.start, "POST / HTTP/1.1");
  EXPECT_EQ(request.Field("host"), absl::StrCat("127.0.0.1:", sts.port()));
  EXPECT_EQ(request.Field("content-type"), "application/x-www-form-urlencoded");
  EXPECT_THAT(request.body, HasSubstr("WebIdentityToken=the.web.token"));
  EXPECT_THAT(request.body, Not(HasSubstr("%0A"))) << "the file's line end is no part of it";
}

TEST_F(CloudFetchTest, ReadsTheFileAnewEachTime) {
  TestUpstream sts(Always(Answer(200, kKeys)), certificates_.server_context());
  ASSERT_TRUE(Ask(sts.port()).ok());
  ASSERT_TRUE(WriteFileAtomically(token_file_, "the.next.token").ok());

  ASSERT_TRUE(Ask(sts.port()).ok());

  EXPECT_THAT(sts.requests().at(1).body, HasSubstr("WebIdentityToken=the.next.token"));
}

TEST_F(CloudFetchTest, ShowsTheTokenToNobodyWhoIsNotTrusted) {
  const TestCertificates others("sts.example.com");
  TestUpstream sts(Always(Answer(200, kKeys)), others.server_context());

  const absl::Status status = Ask(sts.port()).status();

  EXPECT_TRUE(absl::IsUnavailable(status));
  EXPECT_THAT(std::string(status.message()), HasSubstr("is not trusted"));
  EXPECT_THAT(sts.requests(), ::testing::IsEmpty());
}

TEST_F(CloudFetchTest, FollowsNoRedirect) {
  TestUpstream elsewhere(Always(Answer(200, kKeys)), certificates_.server_context());
  TestUpstream sts(
      Always(
          Answer(307, "", absl::StrCat("location: https://127.0.0.1:", elsewhere.port(), "/\r\n"))),
      certificates_.server_context());

  EXPECT_THAT(std::string(Ask(sts.port()).status().message()), HasSubstr("it answers 307"));
  EXPECT_EQ(elsewhere.accepted(), 0U);
}

TEST_F(CloudFetchTest, SaysWhatWentWrong) {
  TestUpstream cut([](const Message&, Wire&) { return false; }, certificates_.server_context());
  uint16_t closed = 0;
  {
    TestUpstream gone(Always(""));
    closed = gone.port();
  }
  for (const uint16_t port : {cut.port(), closed}) {
    const absl::Status status = Ask(port).status();
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(absl::StrCat("127.0.0.1:", port)));
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("the.web.token")));
  }
  std::filesystem::remove(token_file_);
  const absl::Status missing = Ask(cut.port()).status();
  EXPECT_TRUE(absl::IsNotFound(missing));
  EXPECT_THAT(std::string(missing.message()), HasSubstr(token_file_));
}

TEST_F(CloudFetchTest, EndsAtOnceWhenTheProcessDoes) {
  std::stop_source stop;
  TestUpstream sts(
      [&stop](const Message&, Wire& wire) {
        stop.request_stop();
        wire.Receive();  // until the other side closes
        return false;
      },
      certificates_.server_context());

  EXPECT_TRUE(absl::IsCancelled(Ask(sts.port(), stop.get_token()).status()));
}

}  // namespace
}  // namespace rota::cloud
