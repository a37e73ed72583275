#pragma once

// The `server` of a kubeconfig, taken apart. Thread-safe (pure functions).

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rota::kube {

struct ServerUrl {
  bool tls = true;
  std::string host;  // no brackets
  uint16_t port = 443;
  std::string path_prefix;  // "" or "/a/b"
};

// "https://10.0.0.1:6443", "https://[::1]:6443/prefix", "http://localhost:8001". InvalidArgument
// names the text and the form that is wanted; user information, queries and fragments are refused.
absl::StatusOr<ServerUrl> ParseServerUrl(std::string_view text);

// Percent-encodes everything but unreserved characters: one path segment or query value.
std::string UrlEncode(std::string_view text);

}  // namespace rota::kube
