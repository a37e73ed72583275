#pragma once

// The Entra identity of a pod (Azure workload identity): a token of the pod's ServiceAccount
// becomes an access token for Azure OpenAI, through the client credentials flow of Entra
// (https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow). The
// environment is the one that Azure's SDKs read and that its webhook sets: AZURE_CLIENT_ID,
// AZURE_TENANT_ID, AZURE_FEDERATED_TOKEN_FILE, AZURE_AUTHORITY_HOST; AZURE_CLIENT_SECRET takes the
// place of the file where there is no webhook.
//
// Pure and thread-safe.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/secret.h"
#include "dataplane/cloud/token_service.h"

namespace rota::cloud {

class Entra final : public TokenService {
 public:
  // FailedPrecondition names the variable that is missing.
  static absl::StatusOr<std::unique_ptr<TokenService>> FromEnvironment(
      const Environment& environment);

  std::string_view name() const override { return "azure"; }
  const std::string& token_file() const override { return token_file_; }
  TokenRequest Request(std::string_view token) const override;
  absl::StatusOr<Grant> Read(const TokenAnswer& answer, WallTime now) const override;

 private:
  Entra() = default;

  table::EndpointUrl server_;
  std::string tenant_;
  std::string client_;
  std::string token_file_;  // "": the secret counts
  SecretString secret_;
};

}  // namespace rota::cloud
