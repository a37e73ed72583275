#include "common/admin_http.h"

#include <algorithm>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>

#include "absl/strings/str_cat.h"
#include "common/hex.h"

namespace rota {
namespace {

namespace http = boost::beast::http;

absl::string_view Absl(std::string_view text) { return {text.data(), text.size()}; }

ParsedRequest Bad(int status, const char* message) {
  ParsedRequest parsed;
  parsed.state = ParsedRequest::State::kBad;
  parsed.status = status;
  parsed.message = message;
  parsed.keep_alive = false;
  return parsed;
}

std::string_view ReasonOf(int status) {
  const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)));
  return {reason.data(), reason.size()};
}

// Of a query: '+' is a space.
std::string Decode(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return PercentDecoded(spaced);
}

ParsedRequest BadBecause(const boost::beast::error_code& error) {
  if (error == http::error::header_limit) {
    return Bad(431, "the head is too large");
  }
  if (error == http::error::body_limit) {
    return Bad(413, "the body is too large");
  }
  return Bad(400, "the request is not valid HTTP/1.1");
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
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxAdminHeadBytes);
  parser.body_limit(kMaxAdminBodyBytes);
  parser.eager(true);
  ParsedRequest parsed;
  while (!parser.is_done()) {
    boost::beast::error_code error;
    const std::string_view rest = bytes.substr(parsed.size);
    parsed.size += parser.put(boost::asio::buffer(rest.data(), rest.size()), error);
    if (error == http::error::need_more) {
      return ParsedRequest{};
    }
    if (error) {
      return BadBecause(error);
    }
    if (!parser.is_done() && parsed.size == bytes.size()) {
      return ParsedRequest{};
    }
  }
  const auto& request = parser.get();
  const std::string_view target(request.target().data(), request.target().size());
  if (!target.starts_with('/')) {
    return Bad(400, "the request's target is not a path");
  }
  parsed.state = ParsedRequest::State::kComplete;
  parsed.keep_alive = request.keep_alive();
  parsed.method = std::string(request.method_string());
  const size_t question = target.find('?');
  parsed.request.path = Decode(target.substr(0, question));
  parsed.request.query =
      ParseQuery(question == std::string_view::npos ? "" : target.substr(question + 1));
  parsed.request.body = request.body();
  return parsed;
}

std::string FormatAdminResponse(const AdminResponse& response, bool keep_alive, bool with_body,
                                const std::string& allow) {
  return absl::StrCat(
      "HTTP/1.1 ", response.status, " ", Absl(ReasonOf(response.status)),
      "\r\nContent-Type: ", response.content_type, "\r\nContent-Length: ", response.body.size(),
      "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: ",
      keep_alive ? "keep-alive" : "close", allow.empty() ? "" : "\r\nAllow: ", allow, "\r\n\r\n",
      with_body ? response.body : "");
}

}  // namespace rota
