#include "dataplane/engine/host_syntax.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "common/hex.h"
#include "dataplane/engine/character_set.h"

namespace rota::engine {
namespace {

// RFC 3986 3.2.2: reg-name.
constexpr Characters kHostCharacters = WithAlphanumerics("-._~%!$&'()*+,;=");

bool IsHostCharacter(char c) { return kHostCharacters[static_cast<uint8_t>(c)]; }

bool IsHexDigit(char c) { return HexDigit(c) >= 0; }

// RFC 3986 3.2.2: reg-name.
bool IsHostName(std::string_view name) {
  if (name.empty() || !std::all_of(name.begin(), name.end(), IsHostCharacter)) {
    return false;
  }
  for (size_t at = name.find('%'); at != std::string_view::npos; at = name.find('%', at + 3)) {
    if (at + 2 >= name.size() || !IsHexDigit(name[at + 1]) || !IsHexDigit(name[at + 2])) {
      return false;
    }
  }
  return true;
}

// RFC 3986 3.2.2: IPvFuture, "v1.name".
bool IsFutureAddress(std::string_view address) {
  const size_t dot = address.find('.');
  if (dot == std::string_view::npos || dot < 2 || (address.front() | 0x20) != 'v') {
    return false;
  }
  const std::string_view version = address.substr(1, dot - 1);
  const std::string_view rest = address.substr(dot + 1);
  return std::all_of(version.begin(), version.end(), IsHexDigit) && !rest.empty() &&
         std::all_of(rest.begin(), rest.end(),
                     [](char c) { return c == ':' || (c != '%' && IsHostCharacter(c)); });
}

// What may stand in brackets.
bool IsAddress(std::string_view address) {
  char text[INET6_ADDRSTRLEN] = {};
  if (address.size() >= sizeof(text)) {
    return IsFutureAddress(address);
  }
  std::copy(address.begin(), address.end(), text);
  in6_addr parsed{};
  return ::inet_pton(AF_INET6, text, &parsed) == 1 || IsFutureAddress(address);
}

}  // namespace

bool IsValidHost(std::string_view host) {
  static constexpr size_t kMaxHostBytes = 260;
  if (host.size() > kMaxHostBytes) {
    return false;
  }
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos || !IsAddress(host.substr(1, end - 1))) {
      return false;
    }
    host.remove_prefix(end + 1);
  } else {
    const std::string_view name = host.substr(0, host.find(':'));
    if (!IsHostName(name)) {
      return false;
    }
    host.remove_prefix(name.size());
  }
  const bool has_port = host.starts_with(':');
  host.remove_prefix(has_port ? 1 : 0);
  return (has_port || host.empty()) && std::all_of(host.begin(), host.end(), IsDigit);
}

}  // namespace rota::engine
