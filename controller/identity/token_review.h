#pragma once

// Reviewer of tokens by the Kubernetes API: a TokenReview (authentication.k8s.io/v1) for the
// audience rota-sync. Needs `create` on `tokenreviews`. Thread-safe.

#include <string>

#include "absl/status/statusor.h"
#include "controller/identity/token_authenticator.h"
#include "controller/kube/transport.h"
#include "nlohmann/json_fwd.hpp"

namespace rota::identity {

inline constexpr char kAudience[] = "rota-sync";

// `transport` outlives the reviewer.
TokenAuthenticator::Reviewer KubeReviewer(kube::HttpTransport& transport);

// The verdict in the answered TokenReview. Unavailable when it is none.
absl::StatusOr<TokenVerdict> VerdictOf(const nlohmann::json& review);

// "NAMESPACE/NAME" of the ServiceAccount whose token this is, as the token itself says: good enough
// for one's own token only. InvalidArgument when it does not say.
absl::StatusOr<std::string> AccountOfOwnToken(const SecretString& token);

}  // namespace rota::identity
