#include "dataplane/cloud/aws_web_identity.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/status_macros.h"
#include "dataplane/cloud/form.h"
#include "dataplane/table/identity.h"

namespace rota::cloud {
namespace {

constexpr char kFix[] =
    "EKS sets it in pods whose ServiceAccount has the annotation eks.amazonaws.com/role-arn";
constexpr size_t kMaxSession = 64;  // AWS's bound; the least is 2
// What the answer calls them, and what credentials do.
constexpr std::array<std::pair<const char*, const char*>, 3> kElements{
    {{"AccessKeyId", table::kAccessKeyId},
     {"SecretAccessKey", table::kSecretAccessKey},
     {"SessionToken", table::kSessionToken}}};

std::string SessionName(std::string_view wanted) {
  std::string name(wanted.substr(0, kMaxSession));
  std::replace_if(
      name.begin(), name.end(),
      [](char c) {
        return !absl::ascii_isalnum(static_cast<unsigned char>(c)) &&
               std::string_view("+=,.@-_").find(c) == std::string_view::npos;
      },
      '-');
  return name.size() < 2 ? "rota" : name;
}

// The text of the first element of that name, as it stands there; "" when there is none. STS
// answers a handful of elements without attributes; keys and times have no entities in them.
std::string_view TextOf(std::string_view xml, std::string_view element) {
  const std::string open = absl::StrCat("<", std::string(element), ">");
  const size_t begin = xml.find(open);
  if (begin == std::string_view::npos) {
    return {};
  }
  const std::string_view rest = xml.substr(begin + open.size());
  const size_t end = rest.find('<');
  const std::string close = absl::StrCat("</", std::string(element), ">");
  return end != std::string_view::npos && rest.substr(end).starts_with(close) ? rest.substr(0, end)
                                                                              : "";
}

absl::StatusOr<Duration> LifetimeUntil(std::string_view expiration, WallTime now) {
  absl::Time end;
  std::string error;
  if (!absl::ParseTime(absl::RFC3339_full, std::string(expiration), &end, &error)) {
    return absl::UnavailableError("its answer has no Expiration that can be read");
  }
  const Duration left = absl::ToChronoNanoseconds(end - absl::FromChrono(now));
  if (left <= Duration::zero()) {
    return absl::UnavailableError(absl::StrCat("its answer has expired already, at ",
                                               ForLog(expiration),
                                               "; is this host's clock right?"));
  }
  return std::min(left, kMaxLifetime);
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenService>> AwsWebIdentity::FromEnvironment(
    const Environment& environment, std::string_view session) {
  std::unique_ptr<AwsWebIdentity> identity(new AwsWebIdentity);
  ASSIGN_OR_RETURN(identity->role_, Required(environment, "AWS_ROLE_ARN", kFix));
  ASSIGN_OR_RETURN(identity->token_file_,
                   Required(environment, "AWS_WEB_IDENTITY_TOKEN_FILE", kFix));
  std::string region = environment("AWS_REGION").value_or("");
  if (region.empty()) {
    ASSIGN_OR_RETURN(region, Required(environment, "AWS_DEFAULT_REGION",
                                      "nor is AWS_REGION, which EKS sets; set one of them"));
  }
  const char* const domain = region.starts_with("cn-") ? "amazonaws.com.cn" : "amazonaws.com";
  ASSIGN_OR_RETURN(identity->server_, ServerOf(environment, "AWS_ENDPOINT_URL_STS",
                                               absl::StrCat("https://sts.", region, ".", domain)));
  identity->session_ =
      SessionName(environment("AWS_ROLE_SESSION_NAME").value_or(std::string(session)));
  return absl::StatusOr<std::unique_ptr<TokenService>>(std::move(identity));
}

TokenRequest AwsWebIdentity::Request(std::string_view token) const {
  TokenRequest request;
  request.server = server_;
  request.path = server_.base_path + "/";
  request.form = FormOf({{"Action", "AssumeRoleWithWebIdentity"},
                         {"Version", "2011-06-15"},
                         {"RoleArn", role_},
                         {"RoleSessionName", session_},
                         {"WebIdentityToken", token}});
  return request;
}

absl::StatusOr<Grant> AwsWebIdentity::Read(const TokenAnswer& answer, WallTime now) const {
  if (answer.status != 200) {
    return absl::UnavailableError(absl::StrCat("it answers ", answer.status, " ",
                                               ForLog(TextOf(answer.body, "Code")), ": ",
                                               ForLog(TextOf(answer.body, "Message"))));
  }
  Grant grant;
  for (const auto& [element, name] : kElements) {
    const std::string_view value = TextOf(answer.body, element);
    if (value.empty() || value.find('&') != std::string_view::npos) {
      return absl::UnavailableError(absl::StrCat("its answer has no ", element));
    }
    grant.values.emplace(name, SecretString(value));
  }
  ASSIGN_OR_RETURN(grant.lifetime, LifetimeUntil(TextOf(answer.body, "Expiration"), now));
  return grant;
}

}  // namespace rota::cloud
