#include "controller/kube/server_url.h"

#include <cctype>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace rota::kube {
namespace {

absl::Status Bad(std::string_view text, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("server \"", std::string(text), "\": ", std::string(why),
                   "; it must look like https://HOST:PORT or https://HOST:PORT/PREFIX"));
}

}  // namespace

absl::StatusOr<ServerUrl> ParseServerUrl(std::string_view text) {
  ServerUrl url;
  std::string_view rest = text;
  const std::string lower = absl::AsciiStrToLower(std::string(text.substr(0, 8)));
  if (lower == "https://") {
    rest.remove_prefix(8);
  } else if (lower.substr(0, 7) == "http://") {
    rest.remove_prefix(7);
    url.tls = false;
    url.port = 80;
  } else {
    return Bad(text, "no scheme");
  }
  for (const char c : rest) {
    if (std::isgraph(static_cast<unsigned char>(c)) == 0) {
      return Bad(text, "it holds a space or a control character");
    }
  }
  if (rest.find_first_of("?#@") != std::string_view::npos) {
    return Bad(text, "a user, a query or a fragment is not supported");
  }
  const size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (slash != std::string_view::npos) {
    url.path_prefix = std::string(rest.substr(slash));
    while (!url.path_prefix.empty() && url.path_prefix.back() == '/') {
      url.path_prefix.pop_back();
    }
  }
  std::string_view port;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string_view::npos) {
      return Bad(text, "the IPv6 address has no closing bracket");
    }
    url.host = std::string(authority.substr(1, end - 1));
    port = authority.substr(end + 1);
    if (!port.empty() && port.front() != ':') {
      return Bad(text, "text after the IPv6 address");
    }
  } else {
    const size_t colon = authority.find(':');
    url.host = std::string(authority.substr(0, colon));
    port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon);
  }
  if (url.host.empty()) {
    return Bad(text, "no host");
  }
  if (!port.empty()) {
    int number = 0;
    const std::string digits(port.substr(1));
    if (!absl::SimpleAtoi(digits, &number) || number < 1 || number > 65535) {
      return Bad(text, "the port is not a number from 1 to 65535");
    }
    url.port = static_cast<uint16_t>(number);
  }
  return url;
}

std::string UrlEncode(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const unsigned char byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    }
  }
  return out;
}

}  // namespace rota::kube
