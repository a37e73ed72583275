#pragma once

// "https://api.openai.com/v1" in its parts. Pure and thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rota::table {

struct EndpointUrl {
  bool tls = false;
  std::string host;  // lower case, without brackets
  uint16_t port = 0;
  std::string authority;  // as a Host header has it: without the scheme's default port
  std::string base_path;  // "" or "/v1", never a trailing slash
};

// InvalidArgument says what is wrong; it does not repeat the URL, which may hold a password.
absl::StatusOr<EndpointUrl> ParseEndpointUrl(std::string_view url);

}  // namespace rota::table
