// Heads of requests and responses: found alike however they arrive, and what is accepted cannot be
// read in two ways.

#include <algorithm>
#include <string>

#include "dataplane/engine/http_head.h"
#include "tests/fuzz/pieces.h"

namespace rota::engine {
namespace {

using fuzz::Require;

bool HasControl(std::string_view text) {
  return text.find_first_of(std::string_view("\r\n\0", 3)) != std::string_view::npos;
}

void CheckHead(std::string_view bytes, const MessageHead& head) {
  Require(!(head.chunked && head.content_length.has_value()));
  for (const Field& field : head.fields) {
    Require(!field.name.empty() && !HasControl(field.name) && !HasControl(field.value));
    Require(field.name.data() >= bytes.data() &&
            field.name.data() + field.name.size() <= bytes.data() + bytes.size());
    Require(field.name.find_first_of(" \t:") == std::string_view::npos);
    head.IsEndToEnd(field);
  }
}

void Parse(std::string_view bytes) {
  RequestHead request;
  if (ParseRequestHead(bytes, request) == HeadError::kNone) {
    CheckHead(bytes, request);
    Require(!request.method.empty() && !request.target.empty() && !HasControl(request.target));
    Require(!request.host.empty() || request.http_1_0);
  }
  ResponseHead response;
  if (ParseResponseHead(bytes, response) == HeadError::kNone) {
    CheckHead(bytes, response);
    Require(response.status >= 100 && response.status <= 999);
    IsCompressed(response);
    IsEventStream(response);
  }
}

}  // namespace
}  // namespace rota::engine

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rota::engine::HeadScanner;
  const rota::fuzz::Pieces pieces(data, size);
  HeadScanner whole;
  const HeadScanner::Result result = whole.Scan(pieces.text());

  HeadScanner scanner;
  std::string arrived;
  HeadScanner::Result in_pieces = HeadScanner::Result::kIncomplete;
  pieces.ForEach([&](std::string_view piece) {
    arrived += piece;
    if (in_pieces == HeadScanner::Result::kIncomplete) {
      in_pieces = scanner.Scan(arrived);
    }
  });
  rota::fuzz::Require(in_pieces == result);
  if (result == HeadScanner::Result::kComplete) {
    rota::fuzz::Require(scanner.size() == whole.size());
    rota::engine::Parse(pieces.text().substr(0, whole.size()));
  }
  return 0;
}
