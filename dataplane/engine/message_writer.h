#pragma once

// The heads that the gateway sends: of a request to an upstream, of an answer to a client. Put
// together by hand into one string, for one gather write with the body. Pure and thread-safe.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/types/span.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/provider/header_field.h"
#include "dataplane/table/route_table.h"

namespace rota::engine {

struct UpstreamRequest {
  const RequestHead* head = nullptr;
  const table::Endpoint* endpoint = nullptr;
  std::string_view path;            // behind the endpoint's base path; may have a query
  std::optional<size_t> body_size;  // absent: no body and no Content-Length
  std::string_view request_id;
  // The body is another one than the client's: its query and what it says about the body and the
  // answer (content-type, accept, ...) stay behind; `own_headers` come in their place.
  bool is_translated = false;
  bool wants_plain_answer = false;  // not compressed, because something may have to be taken out
  absl::Span<const provider::HeaderField> own_headers;
  absl::Span<const provider::HeaderField> signature;  // request_signature.h
};

// Without hop-by-hop fields and without the caller's credentials (fields, cookies, query
// parameters); with the endpoint's.
void AppendUpstreamHead(const UpstreamRequest& request, std::string& out);

// The query without parameters that carry credentials, with the endpoint's own in front; the rest
// as it came, empty or not. `query`: without its "?", nothing when there is none.
void AppendQuery(std::optional<std::string_view> query, const table::Credential& credential,
                 std::string& out);

struct ClientAnswer {
  const ResponseHead* head = nullptr;
  enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose } framing = Framing::kNone;
  uint64_t length = 0;  // kLength
  bool keep_alive = true;
  bool http_1_0 = false;
  std::string_view request_id;  // used when the upstream sends none
  std::string_view model;       // "" for none: x-rota-model
};

void AppendClientHead(const ClientAnswer& answer, std::string& out);

// A request id that may be passed on: 1 to 128 visible characters.
bool IsUsableRequestId(std::string_view id);

}  // namespace rota::engine
