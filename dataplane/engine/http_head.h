#pragma once

// Heads of HTTP/1 requests and responses: where they end, what they say, and what of it may be
// passed on. Strict where two readers could disagree (request smuggling): bare LF, folded lines,
// repeated Content-Length or one beside Transfer-Encoding, repeated Host are refused. Views point
// into the head that was given: a field's name and value into the same line. Thread-safe (values
// and pure functions).

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace rota::engine {

// A head with more fields is refused. What is done per field, and the memory that a connection
// keeps for them, is bounded by it and not by how many fields fit into the bytes of a head.
inline constexpr size_t kMaxFields = 256;
// Names in Connection beside "close" and "keep-alive": every field is compared with each of them.
inline constexpr size_t kMaxConnectionTokens = 32;

// What a field means to a gateway.
enum class FieldKind : uint8_t {
  kOther,       // passed on
  kHopByHop,    // of one connection (RFC 9110 7.6.1)
  kCredential,  // the caller's: never reaches an upstream
  kHost,
  kConnection,
  kContentLength,
  kTransferEncoding,
  kContentType,
  kContentEncoding,
  kExpect,
  kRequestId,
  kTrailer,
  kMaxForwards,
  kOrigin,  // of responses: speaks for the upstream's own name (set-cookie, alt-svc)
};

struct Field {
  std::string_view name;  // as written
  std::string_view value;
  FieldKind kind = FieldKind::kOther;
};

// REQUIRES: `name` is a token.
FieldKind KindOfField(std::string_view name);
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
// Of a Content-Type, without its parameters.
std::string_view MediaTypeOf(std::string_view content_type);
// REQUIRES: `type` is a media type: "application/json".
bool IsMediaType(std::string_view content_type, std::string_view type);

// What both kinds of head have in common.
struct MessageHead {
  bool http_1_0 = false;
  bool keep_alive = false;  // what the sender wants, its version's default included
  bool chunked = false;
  std::optional<uint64_t> content_length;
  std::vector<Field> fields;
  std::vector<std::string_view> connection_tokens;  // names that Connection makes hop-by-hop

  // The first value, "" when there is none.
  std::string_view Find(FieldKind kind) const;
  std::string_view Find(std::string_view name) const;
  // False for hop-by-hop fields, those that Connection names included.
  bool IsEndToEnd(const Field& field) const;
};

struct RequestHead : MessageHead {
  std::string_view method;
  std::string_view target;
  std::string_view
      host;  // Host, or the authority of an absolute-form target; "" only with HTTP/1.0
  std::string_view path;   // without the query
  std::string_view query;  // without '?'
  bool has_query = false;
  bool expects_continue = false;

  // What Max-Forwards allows an OPTIONS request, to be counted down and obeyed (RFC 9110 7.6.2);
  // nothing where it does not. Of other methods it may be passed on as it is.
  std::optional<uint64_t> ForwardsLeft() const;
};

struct ResponseHead : MessageHead {
  int status = 0;
  std::string_view reason;
};

// Its content has a coding other than identity.
bool IsCompressed(const ResponseHead& head);
// A stream of server-sent events that can be followed: a success, not compressed.
bool IsEventStream(const ResponseHead& head);
// The same for Bedrock's own, application/vnd.amazon.eventstream.
bool IsAmazonEventStream(const ResponseHead& head);

enum class HeadError : uint8_t {
  kNone,
  kMalformed,         // 400
  kBareLineFeed,      // 400
  kFolded,            // 400
  kHost,              // 400: missing, repeated or malformed
  kLength,            // 400: Content-Length malformed, repeated, or with Transfer-Encoding
  kTarget,            // 400
  kVersion,           // 505
  kTransferEncoding,  // 400: other than exactly "chunked"
  kExpectation,       // 417: other than 100-continue
  kFields,            // 431: more than kMaxFields
  kConnection,        // 400: names more than kMaxConnectionTokens
};
// For the error answer: what is wrong and what to do.
std::string_view HeadErrorText(HeadError error);

// Finds the empty line that ends a head, looking at each byte once however it arrives.
class HeadScanner {
 public:
  enum class Result : uint8_t { kIncomplete, kComplete, kBareLineFeed, kFolded };
  // `data` holds the head from its first byte, as much as there is; it may only grow between calls.
  Result Scan(std::string_view data);
  // kComplete: bytes of the head, the empty line included.
  size_t size() const { return position_; }
  void Reset() { *this = HeadScanner(); }

 private:
  size_t position_ = 0;  // looked at up to here
  size_t line_start_ = 0;
};

// REQUIRES: `head` ends with its empty line. `out` may hold an older head, whose memory is used
// again.
HeadError ParseRequestHead(std::string_view head, RequestHead& out);
HeadError ParseResponseHead(std::string_view head, ResponseHead& out);

}  // namespace rota::engine
