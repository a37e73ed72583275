#pragma once

// The role of a pod on EKS (IAM roles for service accounts): a token of the pod's ServiceAccount
// becomes temporary keys, through AssumeRoleWithWebIdentity of the regional STS endpoint
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html). The
// environment is the one that AWS's SDKs read and that EKS sets: AWS_ROLE_ARN,
// AWS_WEB_IDENTITY_TOKEN_FILE, AWS_REGION (or AWS_DEFAULT_REGION), AWS_ROLE_SESSION_NAME,
// AWS_ENDPOINT_URL_STS.
//
// Pure and thread-safe.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

class AwsWebIdentity final : public TokenService {
 public:
  // FailedPrecondition names the variable that is missing. `session` is what AWS's logs call this
  // process (AWS_ROLE_SESSION_NAME wins); bytes that AWS does not take there become '-'.
  static absl::StatusOr<std::unique_ptr<TokenService>> FromEnvironment(
      const Environment& environment, std::string_view session);

  std::string_view name() const override { return "aws"; }
  const std::string& token_file() const override { return token_file_; }
  TokenRequest Request(std::string_view token) const override;
  absl::StatusOr<Grant> Read(const TokenAnswer& answer, WallTime now) const override;

 private:
  AwsWebIdentity() = default;

  table::EndpointUrl server_;
  std::string role_;
  std::string session_;
  std::string token_file_;
};

}  // namespace rota::cloud
