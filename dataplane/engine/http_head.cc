#include "dataplane/engine/http_head.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/engine/character_set.h"
#include "dataplane/engine/host_syntax.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace rota::engine {
namespace {

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

struct KnownField {
  std::string_view name;  // lower case
  FieldKind kind;
};

constexpr KnownField kKnownFields[] = {
    {"te", FieldKind::kHopByHop},
    {"host", FieldKind::kHost},
    {"cookie", FieldKind::kCredential},
    {"expect", FieldKind::kExpect},
    {"alt-svc", FieldKind::kOrigin},
    {"api-key", FieldKind::kCredential},
    {"cookie2", FieldKind::kCredential},
    {"trailer", FieldKind::kTrailer},
    {"upgrade", FieldKind::kHopByHop},
    {"x-api-key", FieldKind::kCredential},
    {"connection", FieldKind::kConnection},
    {"keep-alive", FieldKind::kHopByHop},
    {"set-cookie", FieldKind::kOrigin},
    {"set-cookie2", FieldKind::kOrigin},
    {"content-type", FieldKind::kContentType},
    {"max-forwards", FieldKind::kMaxForwards},
    {"x-request-id", FieldKind::kRequestId},
    {"authorization", FieldKind::kCredential},
    {"content-length", FieldKind::kContentLength},
    {"http2-settings", FieldKind::kHopByHop},
    {"openai-project", FieldKind::kCredential},
    {"x-goog-api-key", FieldKind::kCredential},
    {"content-encoding", FieldKind::kContentEncoding},
    {"proxy-connection", FieldKind::kHopByHop},
    {"transfer-encoding", FieldKind::kTransferEncoding},
    {"proxy-authenticate", FieldKind::kHopByHop},
    {"openai-organization", FieldKind::kCredential},
    {"proxy-authorization", FieldKind::kHopByHop},
    {"x-goog-user-project", FieldKind::kCredential},
    {"proxy-authentication-info", FieldKind::kHopByHop},
    {"x-goog-iam-authorization-token", FieldKind::kCredential},
};

// The fields above are in the order of their lengths: those of one length begin at kFieldsOfLength
// of it and end where the next begin.
constexpr size_t kLongestField = 30;
constexpr auto kFieldsOfLength = [] {
  std::array<uint8_t, kLongestField + 2> starts{};
  size_t field = 0;
  for (size_t length = 0; length < starts.size(); ++length) {
    starts[length] = static_cast<uint8_t>(field);
    while (field < std::size(kKnownFields) && kKnownFields[field].name.size() == length) {
      ++field;
    }
  }
  return starts;
}();
static_assert(kFieldsOfLength.back() == std::size(kKnownFields), "in the order of lengths");

// Memory for as many fields is taken at once.
constexpr size_t kUsualFields = 16;

// Whether a name is `known`, which is written in lower case. REQUIRES: both are of one length, and
// `name` is a token. Then the bit that makes letters small tells no other two characters of it
// apart: every character of a known name has it.
bool IsName(std::string_view name, std::string_view known) {
  constexpr uint64_t kSmall = 0x2020202020202020;
  size_t place = 0;
  for (; place + sizeof(uint64_t) <= known.size(); place += sizeof(uint64_t)) {
    uint64_t given = 0;
    uint64_t wanted = 0;
    std::memcpy(&given, name.data() + place, sizeof(given));
    std::memcpy(&wanted, known.data() + place, sizeof(wanted));
    if ((given | kSmall) != wanted) {
      return false;
    }
  }
  for (; place < known.size(); ++place) {
    if ((name[place] | 0x20) != known[place]) {
      return false;
    }
  }
  return true;
}

// RFC 9110 5.6.2.
constexpr Characters kTokenCharacters = WithAlphanumerics("!#$%&'*+-.^_`|~");

bool IsTokenCharacter(char c) { return kTokenCharacters[static_cast<uint8_t>(c)]; }

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenCharacter);
}

// RFC 9110 5.5: what a field value or a reason phrase may hold.
bool IsTextCharacter(char c) {
  const auto byte = static_cast<uint8_t>(c);
  return (byte >= 0x20 && byte != 0x7f) || c == '\t';
}

// The first byte at or behind `place` that is no text; text.size() when there is none.
size_t FindEndOfText(std::string_view text, size_t place) {
#ifdef __SSE2__
  const __m128i last_control = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  while (place + 16 <= text.size()) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + place));
    const __m128i is_control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, last_control), bytes);
    const __m128i found = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), is_control),
                                       _mm_cmpeq_epi8(bytes, del));
    const int mask = _mm_movemask_epi8(found);
    if (mask != 0) {
      return place + static_cast<size_t>(__builtin_ctz(static_cast<unsigned>(mask)));
    }
    place += 16;
  }
#endif
  while (place < text.size() && IsTextCharacter(text[place])) {
    ++place;
  }
  return place;
}

// A head, line by line. Every function leaves `place` behind what it has read; what it returns is
// meaningful only while ok().
class HeadReader {
 public:
  explicit HeadReader(std::string_view head) : head_(head) {}

  // Up to the next line break, which must be CRLF.
  std::string_view ReadLine() {
    const size_t end = FindEndOfText(head_, place_);
    const std::string_view line = head_.substr(place_, end - place_);
    ok_ = ok_ && head_.substr(end, 2) == "\r\n";
    place_ = std::min(end + 2, head_.size());
    return line;
  }

  // The fields and the empty line behind them.
  void ReadFields(std::vector<Field>& fields) {
    while (ok_ && head_.substr(place_, 2) != "\r\n") {
      const size_t begin = place_;
      while (place_ < head_.size() && IsTokenCharacter(head_[place_])) {
        ++place_;
      }
      const std::string_view name = head_.substr(begin, place_ - begin);
      ok_ = !name.empty() && place_ < head_.size() && head_[place_] == ':';
      ++place_;
      if (fields.size() == kMaxFields) {
        has_too_many_fields_ = true;
        return;
      }
      if (ok_) {
        fields.push_back({name, Trimmed(ReadLine()), KindOfField(name)});
      }
    }
    ok_ = ok_ && place_ + 2 == head_.size();
  }

  bool ok() const { return ok_; }
  bool has_too_many_fields() const { return has_too_many_fields_; }

 private:
  static std::string_view Trimmed(std::string_view text) {
    const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_space(text.front())) {
      text.remove_prefix(1);
    }
    while (!text.empty() && is_space(text.back())) {
      text.remove_suffix(1);
    }
    return text;
  }

  const std::string_view head_;
  size_t place_ = 0;
  bool ok_ = true;
  bool has_too_many_fields_ = false;
};

// "HTTP/1.1" or "HTTP/1.0".
HeadError ReadVersion(std::string_view text, MessageHead& head) {
  static constexpr std::string_view kName = "HTTP/";
  if (text.size() != kName.size() + 3 || !text.starts_with(kName) || !IsDigit(text[5]) ||
      text[6] != '.' || !IsDigit(text[7])) {
    return HeadError::kMalformed;
  }
  head.http_1_0 = text[7] == '0';
  return text[5] == '1' && text[7] <= '1' ? HeadError::kNone : HeadError::kVersion;
}

// Method, target and version with one space between them (RFC 9112 3).
HeadError ReadStartLine(std::string_view line, RequestHead& head) {
  const size_t behind_method = std::min(line.find(' '), line.size());
  head.method = line.substr(0, behind_method);
  line.remove_prefix(std::min(behind_method + 1, line.size()));
  const size_t behind_target = std::min(line.find(' '), line.size());
  head.target = line.substr(0, behind_target);
  line.remove_prefix(std::min(behind_target + 1, line.size()));
  const HeadError error = ReadVersion(line, head);
  if (error == HeadError::kMalformed || !IsToken(head.method) || head.target.empty() ||
      head.target.find('\t') != std::string_view::npos) {
    return HeadError::kMalformed;
  }
  return error;
}

// Version, status and reason, the space before an empty reason included (RFC 9112 4).
HeadError ReadStartLine(std::string_view line, ResponseHead& head) {
  static constexpr size_t kVersionBytes = 8;
  static constexpr size_t kStatusBytes = 3;
  static constexpr size_t kReasonAt = kVersionBytes + 1 + kStatusBytes + 1;
  head.status = 0;
  if (line.size() < kReasonAt || line[kVersionBytes] != ' ' || line[kReasonAt - 1] != ' ') {
    return HeadError::kMalformed;
  }
  for (const char c : line.substr(kVersionBytes + 1, kStatusBytes)) {
    if (!IsDigit(c)) {
      return HeadError::kMalformed;
    }
    head.status = head.status * 10 + (c - '0');
  }
  head.reason = line.substr(kReasonAt);
  return ReadVersion(line.substr(0, kVersionBytes), head);
}

// Calls `each` with the elements of a comma-separated list.
template <typename Each>
void ForEachToken(std::string_view list, Each each) {
  while (!list.empty()) {
    const size_t comma = std::min(list.find(','), list.size());
    std::string_view token = list.substr(0, comma);
    while (!token.empty() && (token.front() == ' ' || token.front() == '\t')) {
      token.remove_prefix(1);
    }
    while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) {
      token.remove_suffix(1);
    }
    if (!token.empty()) {
      each(token);
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

// RFC 9112 6.2: digits and nothing else, below 2^63. Lists of one value are read differently by
// others.
bool ParseLength(std::string_view value, uint64_t& length) {
  length = 0;
  for (const char c : value) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (!IsDigit(c) || length > (INT64_MAX - digit) / 10) {
      return false;
    }
    length = length * 10 + digit;
  }
  return !value.empty();
}

HeadError ReadConnection(std::string_view value, MessageHead& head, bool& closes) {
  HeadError error = HeadError::kNone;
  ForEachToken(value, [&head, &closes, &error](std::string_view token) {
    if (EqualsIgnoringCase(token, "close")) {
      closes = true;
    } else if (EqualsIgnoringCase(token, "keep-alive")) {
      head.keep_alive = true;
    } else if (!IsToken(token)) {
      error = HeadError::kMalformed;
    } else if (head.connection_tokens.size() == kMaxConnectionTokens) {
      error = HeadError::kConnection;
    } else {
      head.connection_tokens.push_back(token);
    }
  });
  return error;
}

// What the fields say about the body and the connection.
HeadError ReadFraming(MessageHead& head) {
  head.keep_alive = !head.http_1_0;
  head.chunked = false;
  head.content_length = std::nullopt;
  bool closes = false;
  bool has_coding = false;  // other than "chunked"
  bool is_chunked_twice = false;
  for (const Field& field : head.fields) {
    switch (field.kind) {
      case FieldKind::kConnection: {
        const HeadError error = ReadConnection(field.value, head, closes);
        if (error != HeadError::kNone) {
          return error;
        }
        break;
      }
      case FieldKind::kContentLength: {
        uint64_t length = 0;
        if (head.content_length.has_value() || !ParseLength(field.value, length)) {
          return HeadError::kLength;
        }
        head.content_length = length;
        break;
      }
      case FieldKind::kTransferEncoding:
        if (EqualsIgnoringCase(field.value, "chunked")) {
          is_chunked_twice = is_chunked_twice || head.chunked;
          head.chunked = true;
        } else {
          has_coding = true;
        }
        break;
      default:
        break;
    }
  }
  head.keep_alive = head.keep_alive && !closes;
  if (head.content_length.has_value() && (head.chunked || has_coding)) {
    return HeadError::kLength;
  }
  if (has_coding) {
    return HeadError::kTransferEncoding;
  }
  // HTTP/1.0 knows no chunks: who sends them there is not to be trusted about where they end.
  const bool is_ambiguous = is_chunked_twice || (head.chunked && head.http_1_0);
  return is_ambiguous ? HeadError::kLength : HeadError::kNone;
}

template <typename Head>
HeadError ParseCommon(std::string_view bytes, Head& head) {
  head.fields.clear();
  head.fields.reserve(kUsualFields);
  head.connection_tokens.clear();
  HeadReader reader(bytes);
  const HeadError error = ReadStartLine(reader.ReadLine(), head);
  if (!reader.ok() || error != HeadError::kNone) {
    return reader.ok() ? error : HeadError::kMalformed;
  }
  reader.ReadFields(head.fields);
  if (reader.has_too_many_fields()) {
    return HeadError::kFields;
  }
  return reader.ok() ? ReadFraming(head) : HeadError::kMalformed;
}

// Splits the target into host (absolute form), path and query.
HeadError ParseTarget(RequestHead& head) {
  std::string_view target = head.target;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() > scheme.size() &&
        EqualsIgnoringCase(target.substr(0, scheme.size()), scheme)) {
      target.remove_prefix(scheme.size());
      const size_t end = std::min(target.find_first_of("/?"), target.size());
      head.host = target.substr(0, end);
      target.remove_prefix(end);
      if (!IsValidHost(head.host)) {
        return HeadError::kTarget;
      }
      if (target.empty() || target.front() == '?') {
        head.path = "/";
        head.has_query = !target.empty();
        head.query = head.has_query ? target.substr(1) : target;
        return HeadError::kNone;
      }
      break;
    }
  }
  if (target.empty() || target.front() != '/' || target.find('#') != std::string_view::npos) {
    return HeadError::kTarget;
  }
  const size_t mark = target.find('?');
  head.has_query = mark != std::string_view::npos;
  head.path = target.substr(0, mark);
  head.query = head.has_query ? target.substr(mark + 1) : std::string_view();
  return HeadError::kNone;
}

}  // namespace

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  // Most are equal as they are.
  return a.size() == b.size() &&
         (a == b || std::equal(a.begin(), a.end(), b.begin(),
                               [](char x, char y) { return Lower(x) == Lower(y); }));
}

std::string_view MediaTypeOf(std::string_view content_type) {
  return content_type.substr(0, content_type.find_first_of("; \t"));
}

bool IsMediaType(std::string_view content_type, std::string_view type) {
  return EqualsIgnoringCase(MediaTypeOf(content_type), type);
}

FieldKind KindOfField(std::string_view name) {
  static constexpr std::string_view kAmazon = "x-amz-";
  if (name.size() > kAmazon.size() && IsName(name.substr(0, kAmazon.size()), kAmazon)) {
    return FieldKind::kCredential;
  }
  if (name.empty() || name.size() > kLongestField) {
    return FieldKind::kOther;
  }
  for (size_t i = kFieldsOfLength[name.size()]; i < kFieldsOfLength[name.size() + 1]; ++i) {
    const KnownField& known = kKnownFields[i];
    if (IsName(name, known.name)) {
      return known.kind;
    }
  }
  return FieldKind::kOther;
}

std::string_view MessageHead::Find(FieldKind kind) const {
  for (const Field& field : fields) {
    if (field.kind == kind) {
      return field.value;
    }
  }
  return {};
}

std::string_view MessageHead::Find(std::string_view name) const {
  for (const Field& field : fields) {
    if (EqualsIgnoringCase(field.name, name)) {
      return field.value;
    }
  }
  return {};
}

bool MessageHead::IsEndToEnd(const Field& field) const {
  switch (field.kind) {
    case FieldKind::kHopByHop:
    case FieldKind::kConnection:
    case FieldKind::kTransferEncoding:
    case FieldKind::kTrailer:
      return false;
    default:
      return std::none_of(
          connection_tokens.begin(), connection_tokens.end(),
          [&field](std::string_view token) { return EqualsIgnoringCase(token, field.name); });
  }
}

std::optional<uint64_t> RequestHead::ForwardsLeft() const {
  uint64_t left = 0;
  if (method != "OPTIONS" || !ParseLength(Find(FieldKind::kMaxForwards), left)) {
    return std::nullopt;
  }
  return left;
}

bool IsCompressed(const ResponseHead& head) {
  const std::string_view coding = head.Find(FieldKind::kContentEncoding);
  return !coding.empty() && !EqualsIgnoringCase(coding, "identity");
}

namespace {

bool IsStreamOf(const ResponseHead& head, std::string_view media_type) {
  return head.status == 200 && !IsCompressed(head) &&
         IsMediaType(head.Find(FieldKind::kContentType), media_type);
}

}  // namespace

bool IsEventStream(const ResponseHead& head) { return IsStreamOf(head, "text/event-stream"); }

bool IsAmazonEventStream(const ResponseHead& head) {
  return IsStreamOf(head, "application/vnd.amazon.eventstream");
}

std::string_view HeadErrorText(HeadError error) {
  switch (error) {
    case HeadError::kNone:
      return "";
    case HeadError::kMalformed:
      return "the request line or a header field is malformed";
    case HeadError::kBareLineFeed:
      return "a line of the request head ends in LF alone; lines end in CRLF";
    case HeadError::kFolded:
      return "a header field is folded over several lines; send it on one line";
    case HeadError::kHost:
      return "exactly one well-formed Host header field is required";
    case HeadError::kLength:
      return "Content-Length is malformed, stands there twice or beside Transfer-Encoding, or a "
             "Transfer-Encoding in HTTP/1.0; send one plain number, or chunks in HTTP/1.1";
    case HeadError::kTarget:
      return "the request target must be a path such as /v1/models or an http(s) URL";
    case HeadError::kVersion:
      return "only HTTP/1.0 and HTTP/1.1 are spoken here";
    case HeadError::kTransferEncoding:
      return "the only transfer coding accepted is exactly one 'chunked'";
    case HeadError::kExpectation:
      return "the only expectation that can be met is 100-continue";
    case HeadError::kFields:
      static_assert(kMaxFields == 256, "as the message says");
      return "the request has more than 256 header fields; send fewer";
    case HeadError::kConnection:
      static_assert(kMaxConnectionTokens == 32, "as the message says");
      return "Connection names more than 32 header fields; send fewer";
  }
  return "";
}

HeadScanner::Result HeadScanner::Scan(std::string_view data) {
  while (position_ < data.size()) {
    if (line_start_ != 0 && position_ == line_start_ &&
        (data[position_] == ' ' || data[position_] == '\t')) {
      return Result::kFolded;
    }
    const void* found = std::memchr(data.data() + position_, '\n', data.size() - position_);
    if (found == nullptr) {
      // The last byte is looked at again: it tells where a line starts.
      position_ = std::max(line_start_ + 1, data.size());
      return Result::kIncomplete;
    }
    const size_t at = static_cast<size_t>(static_cast<const char*>(found) - data.data());
    if (at == line_start_ || data[at - 1] != '\r') {
      return Result::kBareLineFeed;
    }
    const bool is_empty_line = at - 1 == line_start_;
    position_ = at + 1;
    line_start_ = position_;
    if (is_empty_line) {
      return Result::kComplete;
    }
  }
  return Result::kIncomplete;
}

HeadError ParseRequestHead(std::string_view bytes, RequestHead& head) {
  head.host = {};
  head.expects_continue = false;
  const HeadError error = ParseCommon(bytes, head);
  if (error != HeadError::kNone) {
    return error;
  }
  size_t hosts = 0;
  for (const Field& field : head.fields) {
    if (field.kind == FieldKind::kHost) {
      ++hosts;
      head.host = field.value;
    } else if (field.kind == FieldKind::kExpect) {
      if (!EqualsIgnoringCase(field.value, "100-continue")) {
        return HeadError::kExpectation;
      }
      head.expects_continue = !head.http_1_0;
    }
  }
  if (hosts > 1 || (hosts == 0 && !head.http_1_0) || (hosts == 1 && !IsValidHost(head.host))) {
    return HeadError::kHost;
  }
  return ParseTarget(head);
}

HeadError ParseResponseHead(std::string_view bytes, ResponseHead& head) {
  const HeadError error = ParseCommon(bytes, head);
  const bool has_status = head.status >= 100 && head.status <= 599;
  return error == HeadError::kNone && !has_status ? HeadError::kMalformed : error;
}

}  // namespace rota::engine
