#pragma once

// One short call to the Kubernetes API with secrets in it: what was sent and received is wiped from
// memory, and a server that does not answer holds nobody up for long. Thread-safe.

#include <stop_token>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "controller/kube/transport.h"
#include "nlohmann/json.hpp"

namespace rota::identity {

// The answer's object; the caller wipes it (WipeStrings) when there are secrets in it. `what` says
// what is tried ("review a token"). Errors are the statuses of controller/kube/error.h, Unavailable
// after 10 s.
absl::StatusOr<nlohmann::json> CallKube(kube::HttpTransport& transport, kube::HttpRequest request,
                                        std::string_view what, std::stop_token stop);

// Overwrites every string value in it.
void WipeStrings(nlohmann::json& value);

}  // namespace rota::identity
