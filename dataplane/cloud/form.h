#pragma once

// Pieces that the token services share. Pure and thread-safe.

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"
#include "dataplane/cloud/token_service.h"
#include "dataplane/table/endpoint_url.h"

namespace rota::cloud {

// "a=1&b=%2F". Leaves no copy of a value behind.
std::string FormOf(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

// The https:// URL in the environment variable `name`, else `otherwise`. FailedPrecondition names
// the variable and the fix.
absl::StatusOr<table::EndpointUrl> ServerOf(const Environment& environment, const std::string& name,
                                            const std::string& otherwise);

// The variable's value. FailedPrecondition: it is not set or empty; `fix` says what sets it.
absl::StatusOr<std::string> Required(const Environment& environment, const std::string& name,
                                     std::string_view fix);

// Text of a service for a log line: one line, at most 300 bytes.
std::string ForLog(std::string_view text);

}  // namespace rota::cloud
