#include "dataplane/cloud/http_answer.h"

#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <utility>

namespace rota::cloud {

namespace http = boost::beast::http;

absl::StatusOr<std::optional<TokenAnswer>> ParseAnswer(std::string_view bytes, bool is_all) {
  if (bytes.size() > kMaxAnswerBytes) {
    return absl::UnavailableError("its answer is larger than 64 KiB");
  }
  http::response_parser<http::string_body> parser;
  parser.header_limit(kMaxAnswerBytes);
  parser.body_limit(kMaxAnswerBytes);
  parser.eager(true);
  boost::beast::error_code error;
  while (!bytes.empty() && !parser.is_done() && !error) {
    bytes.remove_prefix(parser.put(boost::asio::buffer(bytes.data(), bytes.size()), error));
  }
  if (error == http::error::need_more) {
    error = {};
  }
  // Before the first byte there is no end to be told: Beast would end the process.
  const bool is_nothing = is_all && !parser.got_some();
  if (is_all && !is_nothing && !parser.is_done() && !error) {
    parser.put_eof(error);
  }
  if (error || is_nothing) {
    return absl::UnavailableError("its answer is cut off or no HTTP/1.1");
  }
  if (!parser.is_done()) {
    return std::optional<TokenAnswer>();
  }
  return std::optional<TokenAnswer>(
      TokenAnswer{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())});
}

}  // namespace rota::cloud
