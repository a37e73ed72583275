#include "dataplane/cloud/entra.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "dataplane/cloud/form.h"
#include "dataplane/provider/json.h"
#include "dataplane/provider/sigv4.h"
#include "dataplane/table/identity.h"

namespace rota::cloud {
namespace {

constexpr char kFix[] =
    "Azure workload identity sets it in pods with the label azure.workload.identity/use: \"true\" "
    "whose ServiceAccount has the annotation azure.workload.identity/client-id";
constexpr char kScope[] = "https://cognitiveservices.azure.com/.default";
constexpr char kAssertionType[] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

// Strings of a tree are freed as they are.
void WipeStrings(provider::Json& json) {
  if (json.is_string()) {
    WipeString(json.get_ref<std::string&>());
  } else if (json.is_structured()) {
    for (provider::Json& child : json) {
      WipeStrings(child);
    }
  }
}

absl::StatusOr<Grant> GrantOf(const provider::Json& json) {
  const std::string_view token = provider::FindText(json, "access_token");
  const std::optional<uint64_t> seconds = provider::FindCount(json, "expires_in");
  if (token.empty() || seconds.value_or(0) == 0) {
    return absl::UnavailableError("its answer has no access_token with an expires_in");
  }
  constexpr auto kMaxSeconds =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(kMaxLifetime).count());
  Grant grant;
  grant.values.emplace(table::kAccessToken, SecretString(token));
  grant.lifetime = std::chrono::seconds(std::min(*seconds, kMaxSeconds));
  return grant;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TokenService>> Entra::FromEnvironment(
    const Environment& environment) {
  std::unique_ptr<Entra> identity(new Entra);
  ASSIGN_OR_RETURN(identity->client_, Required(environment, "AZURE_CLIENT_ID", kFix));
  ASSIGN_OR_RETURN(identity->tenant_, Required(environment, "AZURE_TENANT_ID", kFix));
  if (std::optional<std::string> secret = environment("AZURE_CLIENT_SECRET");
      secret.has_value() && !secret->empty()) {
    identity->secret_ = SecretString(*secret);
    WipeString(*secret);
  } else {
    ASSIGN_OR_RETURN(identity->token_file_,
                     Required(environment, "AZURE_FEDERATED_TOKEN_FILE", kFix));
  }
  ASSIGN_OR_RETURN(identity->server_, ServerOf(environment, "AZURE_AUTHORITY_HOST",
                                               "https://login.microsoftonline.com"));
  return absl::StatusOr<std::unique_ptr<TokenService>>(std::move(identity));
}

TokenRequest Entra::Request(std::string_view token) const {
  TokenRequest request;
  request.server = server_;
  request.path =
      absl::StrCat(server_.base_path, "/", provider::PercentEncoded(tenant_), "/oauth2/v2.0/token");
  request.form = token_file_.empty() ? FormOf({{"grant_type", "client_credentials"},
                                               {"client_id", client_},
                                               {"scope", kScope},
                                               {"client_secret", secret_.Reveal()}})
                                     : FormOf({{"grant_type", "client_credentials"},
                                               {"client_id", client_},
                                               {"scope", kScope},
                                               {"client_assertion_type", kAssertionType},
                                               {"client_assertion", token}});
  return request;
}

absl::StatusOr<Grant> Entra::Read(const TokenAnswer& answer, WallTime) const {
  absl::StatusOr<provider::Json> json = provider::ParseJson(answer.body);
  if (answer.status != 200) {
    const provider::Json error = json.ok() ? *std::move(json) : provider::Json();
    return absl::UnavailableError(
        absl::StrCat("it answers ", answer.status, " ", ForLog(provider::FindText(error, "error")),
                     ": ", ForLog(provider::FindText(error, "error_description"))));
  }
  if (!json.ok()) {
    return absl::UnavailableError(
        absl::StrCat("its answer is no JSON: ", std::string(json.status().message())));
  }
  absl::StatusOr<Grant> grant = GrantOf(*json);
  WipeStrings(*json);
  return grant;
}

}  // namespace rota::cloud
