#include "dataplane/table/endpoint_url.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace rota::table {
namespace {

bool IsHostCharacter(char c) {
  return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '.' || c == '_';
}

bool IsAddressCharacter(char c) {
  return absl::ascii_isxdigit(static_cast<unsigned char>(c)) || c == ':' || c == '.';
}

// Visible ASCII without what would end a path.
bool IsPathCharacter(char c) { return c > 0x20 && c < 0x7F && c != '?' && c != '#' && c != '\\'; }

}  // namespace

absl::StatusOr<EndpointUrl> ParseEndpointUrl(std::string_view url) {
  EndpointUrl parsed;
  if (url.starts_with("https://")) {
    parsed.tls = true;
    url.remove_prefix(8);
  } else if (url.starts_with("http://")) {
    url.remove_prefix(7);
  } else {
    return absl::InvalidArgumentError("must begin with http:// or https://");
  }
  const size_t path_begin = std::min(url.find_first_of("/?#"), url.size());
  std::string_view authority = url.substr(0, path_begin);
  std::string_view path = url.substr(path_begin);
  if (!std::all_of(path.begin(), path.end(), IsPathCharacter)) {
    return absl::InvalidArgumentError("may not have a query, a fragment or white space");
  }
  if (authority.find('@') != std::string_view::npos) {
    return absl::InvalidArgumentError("may not hold a user or password; use a Secret");
  }
  const bool is_bracketed = !authority.empty() && authority.front() == '[';
  size_t host_end = 0;
  if (is_bracketed) {
    host_end = std::min(authority.find(']'), authority.size() - 1);
    parsed.host = std::string(authority.substr(1, host_end - 1));
    ++host_end;
  } else {
    host_end = std::min(authority.find(':'), authority.size());
    parsed.host = std::string(authority.substr(0, host_end));
  }
  absl::AsciiStrToLower(&parsed.host);
  if (parsed.host.empty() || !std::all_of(parsed.host.begin(), parsed.host.end(),
                                          is_bracketed ? IsAddressCharacter : IsHostCharacter)) {
    return absl::InvalidArgumentError("has no valid host name or address");
  }
  parsed.port = parsed.tls ? 443 : 80;
  const uint16_t default_port = parsed.port;
  std::string_view port = authority.substr(host_end);
  if (!port.empty()) {
    uint16_t number = 0;
    const auto [end, error] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
    if (port.front() != ':' || error != std::errc() || end != port.data() + port.size() ||
        number == 0) {
      return absl::InvalidArgumentError("has no valid port; it must be 1 to 65535");
    }
    parsed.port = number;
  }
  parsed.authority = is_bracketed ? absl::StrCat("[", parsed.host, "]") : parsed.host;
  if (parsed.port != default_port) {
    absl::StrAppend(&parsed.authority, ":", parsed.port);
  }
  while (!path.empty() && path.back() == '/') {
    path.remove_suffix(1);
  }
  parsed.base_path = std::string(path);
  return parsed;
}

}  // namespace rota::table
