#include "controller/resource/url.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace rota::resource {
namespace {

constexpr size_t kMaxUrlBytes = 2048;

absl::Status Bad(absl::string_view message) { return absl::InvalidArgumentError(message); }

bool IsAlphanumeric(char c) { return absl::ascii_isalnum(static_cast<unsigned char>(c)); }

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// Dotted quad in strict decimal: "127.1", "0177.0.0.1" and "2130706433" would mean an address to
// some resolvers and a name to others.
bool IsStrictIpv4(const std::string& host) {
  in_addr address{};
  std::array<char, INET_ADDRSTRLEN> text{};
  return inet_pton(AF_INET, host.c_str(), &address) == 1 &&
         inet_ntop(AF_INET, &address, text.data(), text.size()) != nullptr && host == text.data();
}

absl::StatusOr<std::string> NormaliseIpv6(const std::string& host) {
  in6_addr address{};
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (inet_pton(AF_INET6, host.c_str(), &address) != 1 ||
      inet_ntop(AF_INET6, &address, text.data(), text.size()) == nullptr) {
    return Bad("the address in brackets is not IPv6; write it as in http://[2001:db8::1]:8080");
  }
  return absl::StrCat("[", text.data(), "]");
}

absl::StatusOr<std::string> NormaliseName(std::string host) {
  if (!host.empty() && host.back() == '.') {
    host.pop_back();
  }
  if (host.empty()) {
    return Bad("the host is missing; write a URL such as https://api.openai.com/v1");
  }
  if (host.size() > 253) {
    return Bad("the host is longer than 253 characters; shorten it");
  }
  if (host.find_first_of("{}") != std::string::npos) {
    return Bad("the host holds a placeholder in braces; put the real host there");
  }
  size_t label_start = 0;
  for (size_t i = 0; i <= host.size(); ++i) {
    if (i < host.size() && host[i] != '.') {
      if (static_cast<unsigned char>(host[i]) >= 0x80) {
        return Bad("the host holds characters that are not ASCII; write it in its xn-- form");
      }
      if (!IsAlphanumeric(host[i]) && host[i] != '-' && host[i] != '_') {
        return Bad("the host may hold letters, digits, '-', '_' and '.' only; correct it");
      }
      continue;
    }
    if (i == label_start || i - label_start > 63) {
      return Bad(
          "a part of the host between dots is empty or longer than 63 characters; correct it");
    }
    label_start = i + 1;
  }
  const std::string last = host.substr(host.rfind('.') + 1);
  if ((IsNumber(last) || last.rfind("0x", 0) == 0) && !IsStrictIpv4(host)) {
    return Bad("the host looks like an IPv4 address but is none; write four decimal numbers");
  }
  return host;
}

absl::StatusOr<std::string> NormaliseAuthority(std::string_view authority, bool is_https) {
  if (authority.find('@') != std::string_view::npos) {
    return Bad(
        "a URL must not hold a user or password; put them into a Secret and use endpointSecurity");
  }
  std::string host(authority);
  std::optional<std::string> port;
  const size_t bracket = host.find(']');
  const size_t colon = host.find(':', bracket == std::string::npos ? 0 : bracket);
  if (colon != std::string::npos) {
    port = host.substr(colon + 1);
    host.resize(colon);
  }
  absl::AsciiStrToLower(&host);
  const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
  absl::StatusOr<std::string> result =
      in_brackets ? NormaliseIpv6(host.substr(1, host.size() - 2)) : NormaliseName(std::move(host));
  if (!result.ok() || !port) {
    return result;
  }
  uint32_t number = 0;
  if (!IsNumber(*port) || port->size() > 5 || !absl::SimpleAtoi(*port, &number) || number == 0 ||
      number > 65535) {
    return Bad("the port must be a number from 1 to 65535; correct it or leave it out");
  }
  if (number != (is_https ? 443U : 80U)) {
    absl::StrAppend(&*result, ":", number);
  }
  return result;
}

bool IsPathCharacter(char c) {
  return IsAlphanumeric(c) ||
         std::string_view("/-._~%!$&'()*+,;=:@").find(c) != std::string_view::npos;
}

absl::Status CheckPath(std::string_view path) {
  if (path.find_first_of("?#") != std::string_view::npos) {
    return Bad(
        "a URL of an endpoint must not hold '?' or '#'; the query string comes from the request");
  }
  if (path.find_first_of("{}") != std::string_view::npos) {
    return Bad("the path holds a placeholder in braces; put the real value there");
  }
  if (!std::all_of(path.begin(), path.end(), IsPathCharacter)) {
    return Bad("the path holds a character that is not allowed in a URL; percent-encode it");
  }
  for (size_t at = path.find('%'); at != std::string_view::npos; at = path.find('%', at + 1)) {
    if (at + 2 >= path.size() || !absl::ascii_isxdigit(static_cast<unsigned char>(path[at + 1])) ||
        !absl::ascii_isxdigit(static_cast<unsigned char>(path[at + 2]))) {
      return Bad("a % in the path needs two hexadecimal digits; write %25 for a percent sign");
    }
  }
  for (size_t start = 0; start < path.size();) {
    const size_t end = std::min(path.find('/', start), path.size());
    const std::string_view segment = path.substr(start, end - start);
    if (segment == "." || segment == "..") {
      return Bad("the path holds a '.' or '..' segment; write the path that is meant");
    }
    start = end + 1;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::string> NormaliseUrl(std::string_view text) {
  if (text.size() > kMaxUrlBytes) {
    return Bad(absl::StrCat("a URL may have ", kMaxUrlBytes, " characters at most; shorten it"));
  }
  for (const std::string_view quote :
       {"\xe2\x80\x9c", "\xe2\x80\x9d", "\xe2\x80\x98", "\xe2\x80\x99"}) {
    if (text.substr(0, quote.size()) == quote) {
      return Bad("the value begins with a typographic quote; write plain quotes (\") or none");
    }
  }
  const size_t colon = text.find("://");
  const std::string scheme = colon == std::string_view::npos
                                 ? ""
                                 : absl::AsciiStrToLower(absl::string_view(text.data(), colon));
  if (scheme != "http" && scheme != "https") {
    return Bad("a URL must begin with https:// or http://, as in https://api.openai.com/v1");
  }
  const std::string_view rest = text.substr(colon + 3);
  const size_t authority_end = std::min(rest.find_first_of("/?#"), rest.size());
  absl::StatusOr<std::string> authority =
      NormaliseAuthority(rest.substr(0, authority_end), scheme == "https");
  if (!authority.ok()) {
    return authority.status();
  }
  std::string_view path = rest.substr(authority_end);
  if (absl::Status status = CheckPath(path); !status.ok()) {
    return status;
  }
  while (!path.empty() && path.back() == '/') {
    path.remove_suffix(1);
  }
  return absl::StrCat(scheme, "://", *authority, absl::string_view(path.data(), path.size()));
}

bool LooksLikeUrl(std::string_view text) {
  return text.find("://") != std::string_view::npos || text.find('/') != std::string_view::npos ||
         text.find(':') != std::string_view::npos;
}

std::optional<ClusterHost> ClusterHostOf(std::string_view url) {
  const size_t start = url.find("://");
  if (start == std::string_view::npos) {
    return std::nullopt;
  }
  std::string_view host = url.substr(start + 3);
  host = host.substr(0, host.find_first_of(":/"));
  constexpr std::string_view kClusterDomain = ".cluster.local";
  if (host.ends_with(kClusterDomain)) {
    host.remove_suffix(kClusterDomain.size());
  }
  const bool is_pod = host.ends_with(".pod");
  if (!is_pod && !host.ends_with(".svc")) {
    return std::nullopt;
  }
  host.remove_suffix(4);
  const size_t before_namespace = host.rfind('.');
  if (before_namespace == std::string_view::npos) {
    return std::nullopt;
  }
  ClusterHost found;
  found.ns = std::string(host.substr(before_namespace + 1));
  host = host.substr(0, before_namespace);
  if (!is_pod) {
    const size_t before_service = host.rfind('.');
    found.service = std::string(
        before_service == std::string_view::npos ? host : host.substr(before_service + 1));
  }
  return found;
}

}  // namespace rota::resource
