#include "common/admin_http.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace rota {
namespace {

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

ParsedRequest Bad(int status, const char* message) {
  ParsedRequest parsed;
  parsed.state = ParsedRequest::State::kBad;
  parsed.status = status;
  parsed.message = message;
  parsed.keep_alive = false;
  return parsed;
}

std::string_view Reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Payload Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    default:
      return "Status";
  }
}

int HexValue(char c) {
  if (c >= '0' && c <= '9') {
    return c - '0';
  }
  const char lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::string Decode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && HexValue(text[i + 1]) >= 0 &&
        HexValue(text[i + 2]) >= 0) {
      decoded.push_back(static_cast<char>(HexValue(text[i + 1]) * 16 + HexValue(text[i + 2])));
      i += 2;
    } else {
      decoded.push_back(text[i] == '+' ? ' ' : text[i]);
    }
  }
  return decoded;
}

// What the head says about the rest.
struct Framing {
  size_t body = 0;
  bool has_length = false;
  bool keep_alive = true;
  const char* error = nullptr;
  int status = 400;
};

void ReadField(std::string_view line, Framing& framing) {
  const size_t colon = line.find(':');
  if (colon == 0 || colon == std::string_view::npos ||
      line.substr(0, colon).find_first_of(" \t") != std::string_view::npos) {
    framing.error = "a header line is malformed";
    return;
  }
  const std::string name = absl::AsciiStrToLower(Absl(line.substr(0, colon)));
  const absl::string_view value = absl::StripAsciiWhitespace(Absl(line.substr(colon + 1)));
  if (name == "content-length") {
    size_t length = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
    if (error != std::errc() || end != value.data() + value.size() || value.empty() ||
        (framing.has_length && length != framing.body)) {
      framing.error = "content-length is not one number";
      return;
    }
    framing.body = length;
    framing.has_length = true;
  } else if (name == "transfer-encoding") {
    framing.error = "send a content-length instead of a transfer-encoding";
    framing.status = 411;
  } else if (name == "connection" && absl::EqualsIgnoreCase(value, "close")) {
    framing.keep_alive = false;
  }
}

}  // namespace

std::map<std::string, std::string> ParseQuery(std::string_view query) {
  std::map<std::string, std::string> parameters;
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    const size_t equals = pair.find('=');
    if (!pair.empty()) {
      parameters.emplace(Decode(pair.substr(0, equals)),
                         equals == std::string_view::npos ? "" : Decode(pair.substr(equals + 1)));
    }
  }
  return parameters;
}

ParsedRequest ParseAdminRequest(std::string_view bytes) {
  const size_t end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    return bytes.size() > kMaxAdminHeadBytes ? Bad(431, "the head is too large") : ParsedRequest{};
  }
  if (end > kMaxAdminHeadBytes) {
    return Bad(431, "the head is too large");
  }
  const std::string_view head = bytes.substr(0, end);
  const std::string_view line = head.substr(0, head.find("\r\n"));
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == 0 || method_end == std::string_view::npos || target_end <= method_end + 1 ||
      line[method_end + 1] != '/' ||
      (line.substr(target_end) != " HTTP/1.1" && line.substr(target_end) != " HTTP/1.0")) {
    return Bad(400, "the request line is malformed");
  }
  Framing framing;
  framing.keep_alive = line.ends_with("1.1");
  for (size_t at = line.size(); at < head.size() && framing.error == nullptr;) {
    const std::string_view field = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    ReadField(field, framing);
    at += 2 + field.size();
  }
  if (framing.error != nullptr) {
    return Bad(framing.status, framing.error);
  }
  if (framing.body > kMaxAdminBodyBytes) {
    return Bad(413, "the body is too large");
  }
  ParsedRequest parsed;
  if (bytes.size() - end - 4 < framing.body) {
    return parsed;
  }
  parsed.state = ParsedRequest::State::kComplete;
  parsed.size = end + 4 + framing.body;
  parsed.keep_alive = framing.keep_alive;
  parsed.method = std::string(line.substr(0, method_end));
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  const size_t question = target.find('?');
  parsed.request.path = Decode(target.substr(0, question));
  parsed.request.query =
      ParseQuery(question == std::string_view::npos ? "" : target.substr(question + 1));
  parsed.request.body = std::string(bytes.substr(end + 4, framing.body));
  return parsed;
}

std::string FormatAdminResponse(const AdminResponse& response, bool keep_alive, bool with_body,
                                const std::string& allow) {
  return absl::StrCat(
      "HTTP/1.1 ", response.status, " ", Absl(Reason(response.status)),
      "\r\nContent-Type: ", response.content_type, "\r\nContent-Length: ", response.body.size(),
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: ",
      keep_alive ? "keep-alive" : "close", allow.empty() ? "" : "\r\nAllow: ", allow, "\r\n\r\n",
      with_body ? response.body : "");
}

}  // namespace rota
