#include "dataplane/provider/sigv4.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"

namespace rota::provider {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

// The credentials, time and expected signatures are those of AWS's published test suite
// (aws-sig-v4-test-suite).
constexpr AwsKeys kKeys{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", ""};
constexpr int64_t kSuiteTime = 1440938160;  // 2015-08-30T12:36:00Z

using Pieces = std::vector<std::string_view>;

SigningInput SuiteInput(std::string_view method, std::string_view path = "/",
                        std::string_view query = "", const Pieces& body = {}) {
  return {method, "example.amazonaws.com", path, query, body, "us-east-1", "service", kSuiteTime,
          {}};
}

struct Vector {
  const char* name;
  const char* method;
  const char* path;
  const char* query;
  std::vector<HeaderField> headers;
  const char* body;
  const char* session_token;
  const char* signed_names;
  const char* signature;
};

const std::vector<Vector>& SuiteVectors() {
  static const std::vector<Vector> vectors = {
      {"get-vanilla",
       "GET",
       "/",
       "",
       {},
       "",
       "",
       "host;x-amz-date",
       "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"},
      {"post-vanilla",
       "POST",
       "/",
       "",
       {},
       "",
       "",
       "host;x-amz-date",
       "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"},
      {"get-vanilla-query-order-key-case",
       "GET",
       "/",
       "Param2=value2&Param1=value1",
       {},
       "",
       "",
       "host;x-amz-date",
       "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500"},
      {"get-utf8",
       "GET",
       "/\xE1\x88\xB4",
       "",
       {},
       "",
       "",
       "host;x-amz-date",
       "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"},
      {"get-space",
       "GET",
       "/example space/",
       "",
       {},
       "",
       "",
       "host;x-amz-date",
       "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741"},
      {"get-unreserved",
       "GET",
       "/-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
       "",
       {},
       "",
       "",
       "host;x-amz-date",
       "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f"},
      {"get-header-value-trim",
       "GET",
       "/",
       "",
       {{"My-Header1", " value1"}, {"My-Header2", " \"a   b   c\""}},
       "",
       "",
       "host;my-header1;my-header2;x-amz-date",
       "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736"},
      {"get-header-value-order",
       "GET",
       "/",
       "",
       {{"My-Header1", "value4"},
        {"My-Header1", "value1"},
        {"My-Header1", "value3"},
        {"My-Header1", "value2"}},
       "",
       "",
       "host;my-header1;x-amz-date",
       "08c7e5a9acfcfeb3ab6b2185e75ce8b1deb5e634ec47601a50643f830c755c01"},
      {"post-x-www-form-urlencoded",
       "POST",
       "/",
       "",
       {{"Content-Type", "application/x-www-form-urlencoded"}},
       "Param1=value1",
       "",
       "content-type;host;x-amz-date",
       "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a"},
      {"post-sts-header-before",
       "POST",
       "/",
       "",
       {},
       "",
       "AQoDYXdzEPT//////////"
       "wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSP"
       "fIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/"
       "kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT"
       "7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAkiY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+"
       "scqKmlz"
       "m8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA==",
       "host;x-amz-date;x-amz-security-token",
       "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"},
  };
  return vectors;
}

std::vector<HeaderField> Sign(const Vector& vector, SigningKeyCache* cache) {
  const Pieces body = {vector.body};
  SigningInput input = SuiteInput(vector.method, vector.path, vector.query, body);
  input.headers = vector.headers;
  AwsKeys keys = kKeys;
  keys.session_token = vector.session_token;
  return SignV4(input, keys, cache);
}

TEST(SigV4Test, SignsThePublishedTestSuite) {
  SigningKeyCache cache;
  for (const Vector& vector : SuiteVectors()) {
    SCOPED_TRACE(vector.name);
    const HeaderField date{"x-amz-date", "20150830T123600Z"};
    const HeaderField authorization{
        "authorization",
        absl::StrCat("AWS4-HMAC-SHA256 "
                     "Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
                     "SignedHeaders=",
                     vector.signed_names, ", Signature=", vector.signature)};
    std::vector<HeaderField> expected = {date, authorization};
    if (*vector.session_token != '\0') {
      expected.push_back({"x-amz-security-token", vector.session_token});
    }

    EXPECT_EQ(Sign(vector, nullptr), expected);
    EXPECT_EQ(Sign(vector, &cache), expected);
    EXPECT_EQ(Sign(vector, &cache), expected);
  }
  EXPECT_EQ(cache.size(), 1u);
}

std::string SignatureOf(const SigningInput& input) { return SignV4(input, kKeys).at(1).value; }

TEST(SigV4Test, ThePathIsEncodedAgain) {
  const std::string model = "arn:aws:bedrock:eu-west-1:1:inference-profile/eu.model-v1:0";
  const std::string path = "/model/" + PercentEncoded(model) + "/converse";

  EXPECT_EQ(path,
            "/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Feu.model-v1%3A0"
            "/converse");
  // Computed with an independent implementation (Python's hmac and hashlib) from the canonical path
  // /model/arn%253Aaws%253Abedrock...
  EXPECT_THAT(
      SignatureOf(SuiteInput("POST", path)),
      EndsWith("Signature=ebfb864f4aa407272135a7041fea764e60ac91e26e8f0884cc5c9ea835e7b263"));
}

TEST(SigV4Test, AQueryIsSignedAsAwsWouldWriteIt) {
  const std::string tidy = SignatureOf(SuiteInput("GET", "/", "a=&b=x%2Fy&tilde=~"));

  EXPECT_EQ(SignatureOf(SuiteInput("GET", "/", "tilde=%7e&b=x/y&a")), tidy);
  EXPECT_EQ(SignatureOf(SuiteInput("GET", "/", "&&tilde=~&a=&b=x%2fy")), tidy);
  EXPECT_NE(SignatureOf(SuiteInput("GET", "/", "a=&b=x%252Fy&tilde=~")), tidy);
}

TEST(SigV4Test, EveryPartOfARequestIsSigned) {
  const Pieces body = {"{}"};
  const Pieces other = {"{ }"};
  std::set<std::string> signatures;
  SigningInput input = SuiteInput("POST", "/a", "b=c", body);
  signatures.insert(SignatureOf(input));
  signatures.insert(SignatureOf(SuiteInput("PUT", "/a", "b=c", body)));
  signatures.insert(SignatureOf(SuiteInput("POST", "/A", "b=c", body)));
  signatures.insert(SignatureOf(SuiteInput("POST", "/a", "b=C", body)));
  signatures.insert(SignatureOf(SuiteInput("POST", "/a", "b=c", other)));
  input.authority = "example.amazonaws.com:8443";
  signatures.insert(SignatureOf(input));
  input.unix_time += 1;
  signatures.insert(SignatureOf(input));
  input.service = "bedrock";
  signatures.insert(SignatureOf(input));
  input.region = "eu-west-1";
  signatures.insert(SignatureOf(input));

  EXPECT_EQ(signatures.size(), 9u);
}

TEST(SigV4Test, ABodyInPiecesIsSignedAsTheWhole) {
  const Pieces whole = {"{\"a\":1}"};
  const Pieces pieces = {"{\"a", "", "\":1}"};

  EXPECT_EQ(SignatureOf(SuiteInput("POST", "/", "", pieces)),
            SignatureOf(SuiteInput("POST", "/", "", whole)));
}

TEST(SigV4Test, AnEmptyPathIsTheRoot) {
  EXPECT_EQ(SignatureOf(SuiteInput("GET", "")), SignatureOf(SuiteInput("GET", "/")));
}

TEST(SigV4Test, TheSecretIsInNothingThatIsSent) {
  for (const HeaderField& header : Sign(SuiteVectors().back(), nullptr)) {
    EXPECT_THAT(header.value, Not(HasSubstr("wJalr"))) << header.name;
  }
}

TEST(SigV4Test, AHostSaysItsRegion) {
  EXPECT_EQ(AwsRegionOf("bedrock-runtime.eu-west-1.amazonaws.com"), "eu-west-1");
  EXPECT_EQ(AwsRegionOf("bedrock-runtime-fips.us-gov-west-1.amazonaws.com"), "us-gov-west-1");
  EXPECT_EQ(AwsRegionOf("bedrock-runtime.cn-north-1.amazonaws.com.cn"), "cn-north-1");
  EXPECT_EQ(AwsRegionOf("vpce-1-a.bedrock-runtime.us-east-1.vpce.amazonaws.com"), "us-east-1");
  EXPECT_EQ(AwsRegionOf("example.com"), "");
  EXPECT_EQ(AwsRegionOf("x.amazonaws.com.example.com"), "");
}

TEST(SigningKeyCacheTest, AKeyIsOfOneSecretDayRegionAndService) {
  SigningKeyCache cache;
  const SigningKey key = cache.Get("one", "20260101", "us-east-1", "bedrock");

  EXPECT_EQ(cache.Get("one", "20260101", "us-east-1", "bedrock"), key);
  EXPECT_EQ(cache.size(), 1u);
  EXPECT_NE(cache.Get("two", "20260101", "us-east-1", "bedrock"), key);
  EXPECT_NE(cache.Get("one", "20260102", "us-east-1", "bedrock"), key);
  EXPECT_NE(cache.Get("one", "20260101", "eu-west-1", "bedrock"), key);
  EXPECT_NE(cache.Get("one", "20260101", "us-east-1", "sts"), key);
  EXPECT_EQ(cache.size(), 5u);
}

TEST(SigningKeyCacheTest, HoldsABoundedNumberAndForgetsTheOldest) {
  SigningKeyCache cache;
  for (int round = 0; round < 3; ++round) {
    for (int day = 0; day < 100; ++day) {
      SigningKeyCache fresh;
      const std::string name = std::to_string(day);

      EXPECT_EQ(cache.Get("one", name, "r", "s"), fresh.Get("one", name, "r", "s"));
      EXPECT_LE(cache.size(), SigningKeyCache::kMaxKeys);
    }
  }
}

}  // namespace
}  // namespace rota::provider
