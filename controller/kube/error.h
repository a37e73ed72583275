#pragma once

// How a failed call to the Kubernetes API is told: an absl::Status whose message reads well in a
// log, and beside it the facts that decide what happens next (HTTP code, reason, when to come
// back).
//
// 404 NotFound, 401 Unauthenticated, 403 PermissionDenied, 409 Aborted, 410 OutOfRange, 429
// ResourceExhausted, other 4xx InvalidArgument, 5xx and no answer at all Unavailable. Thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "common/clock.h"
#include "controller/kube/transport.h"
#include "nlohmann/json_fwd.hpp"

namespace rota::kube {

struct ApiError {
  int http_code = 0;  // 0: there was no answer
  std::string
      reason;  // of the Kubernetes Status: "NotFound", "Expired", "Conflict"; "" when it was none
  bool resource_version_too_large = false;
  std::optional<Duration> retry_after;  // at most kMaxRetryAfter

  // What we hold is too old for the server's history: list again. Both forms, HTTP and in-stream.
  bool expired() const { return http_code == 410 || reason == "Expired" || reason == "Gone"; }
};

// A server that asks for more is asked again after this time all the same.
inline constexpr Duration kMaxRetryAfter = std::chrono::minutes(5);

absl::Status MakeError(const ApiError& error, std::string_view message);

// The facts of a status made by this folder; http_code 0 for every other one.
ApiError ErrorOf(const absl::Status& status);

// An answer with a code of 300 or more. The body may be a Kubernetes Status or plain text (429 is).
// `what` says what was tried ("list apis in namespace default").
absl::Status ErrorFromResponse(const HttpResponse& response, std::string_view what);

// The object of an ERROR event of a watch.
absl::Status ErrorFromStatusObject(const nlohmann::json& object, std::string_view what);

}  // namespace rota::kube
