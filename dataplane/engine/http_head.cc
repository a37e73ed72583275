#include "dataplane/engine/http_head.h"

#include <algorithm>
#include <array>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/error.hpp>
#include <cstring>
#include <string>

namespace rota::engine {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }

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

// Collects what Beast finds. One head per parser; the body is never given to it.
template <bool kIsRequest>
class HeadParser final : public http::basic_parser<kIsRequest> {
 public:
  using Head = std::conditional_t<kIsRequest, RequestHead, ResponseHead>;
  explicit HeadParser(Head& head) : head_(head) {
    this->header_limit(UINT32_MAX);  // the caller has bounded it
    this->body_limit(boost::none);
    this->eager(false);
  }
  int version() const { return version_; }  // 10, 11

 private:
  using StringView = boost::beast::string_view;
  void on_request_impl(http::verb, StringView method, StringView target, int version,
                       error_code&) override {
    version_ = version;
    if constexpr (kIsRequest) {
      head_.method = View(method);
      head_.target = View(target);
    }
  }
  void on_response_impl(int status, StringView reason, int version, error_code&) override {
    version_ = version;
    if constexpr (!kIsRequest) {
      head_.status = status;
      head_.reason = View(reason);
    }
  }
  void on_field_impl(http::field, StringView name, StringView value, error_code&) override {
    head_.fields.push_back({View(name), View(value), KindOfField(View(name))});
  }
  void on_header_impl(error_code&) override {}
  void on_body_init_impl(boost::optional<std::uint64_t> const&, error_code&) override {}
  size_t on_body_impl(StringView, error_code&) override { return 0; }
  void on_chunk_header_impl(std::uint64_t, StringView, error_code&) override {}
  size_t on_chunk_body_impl(std::uint64_t, StringView, error_code&) override { return 0; }
  void on_finish_impl(error_code&) override {}

  Head& head_;
  int version_ = 11;
};

// "GET /x HTTP/2.0" has a version, "GET /x y" and "GET /x y HTTP/1.1" have none where it should be.
bool IsOtherVersion(std::string_view head) {
  static constexpr std::string_view kVersion = " HTTP/d.d";
  const std::string_view line = head.substr(0, head.find("\r\n"));
  if (line.size() < kVersion.size()) {
    return false;
  }
  const std::string_view end = line.substr(line.size() - kVersion.size());
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  return end.starts_with(" HTTP/") && is_digit(end[6]) && end[7] == '.' && is_digit(end[8]) &&
         !end.ends_with("1.1") && !end.ends_with("1.0");
}

HeadError ErrorOf(const error_code& error, std::string_view head) {
  if (error == http::error::bad_version) {
    return IsOtherVersion(head) ? HeadError::kVersion : HeadError::kMalformed;
  }
  if (error == http::error::bad_content_length || error == http::error::multiple_content_length ||
      error == http::error::bad_transfer_encoding) {
    return HeadError::kLength;
  }
  return HeadError::kMalformed;
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

// RFC 9112 6.2: digits and nothing else. Beast accepts lists of one value, which others read
// differently.
bool ParseLength(std::string_view value, uint64_t& length) {
  length = 0;
  for (const char c : value) {
    const auto digit = static_cast<uint64_t>(c - '0');
    if (c < '0' || c > '9' || length > (INT64_MAX - digit) / 10) {
      return false;
    }
    length = length * 10 + digit;
  }
  return !value.empty();
}

void ReadConnection(std::string_view value, MessageHead& head, bool& closes) {
  ForEachToken(value, [&head, &closes](std::string_view token) {
    if (EqualsIgnoringCase(token, "close")) {
      closes = true;
    } else if (EqualsIgnoringCase(token, "keep-alive")) {
      head.keep_alive = true;
    } else {
      head.connection_tokens.push_back(token);
    }
  });
}

// What the fields say about the body and the connection.
HeadError ReadFraming(MessageHead& head) {
  head.keep_alive = !head.http_1_0;
  head.chunked = false;
  head.content_length = std::nullopt;
  bool closes = false;
  for (const Field& field : head.fields) {
    switch (field.kind) {
      case FieldKind::kConnection:
        ReadConnection(field.value, head, closes);
        break;
      case FieldKind::kContentLength: {
        uint64_t length = 0;
        if (head.content_length.has_value() || !ParseLength(field.value, length)) {
          return HeadError::kLength;
        }
        head.content_length = length;
        break;
      }
      case FieldKind::kTransferEncoding:
        if (head.chunked || !EqualsIgnoringCase(field.value, "chunked")) {
          return HeadError::kTransferEncoding;
        }
        head.chunked = true;
        break;
      default:
        break;
    }
  }
  head.keep_alive = head.keep_alive && !closes;
  // HTTP/1.0 knows no chunks: who sends them there is not to be trusted about where they end.
  const bool is_ambiguous = head.chunked && (head.http_1_0 || head.content_length.has_value());
  return is_ambiguous ? HeadError::kLength : HeadError::kNone;
}

template <bool kIsRequest, typename Head>
HeadError ParseCommon(std::string_view bytes, Head& head) {
  head.fields.clear();
  head.connection_tokens.clear();
  HeadParser<kIsRequest> parser(head);
  error_code error;
  parser.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
  if (error) {
    return ErrorOf(error, bytes);
  }
  if (!parser.is_header_done()) {
    return HeadError::kMalformed;
  }
  head.http_1_0 = parser.version() < 11;
  return ReadFraming(head);
}

bool IsHostCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         (c != '\0' && std::strchr("-._~%!$&'()*+,;=", c) != nullptr);
}

bool IsAddressCharacter(char c) {
  return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' ||
         c == '.';
}

// RFC 3986: a name or an address, IPv6 in brackets; a port of digits.
bool IsValidHost(std::string_view host) {
  static constexpr size_t kMaxHostBytes = 260;
  if (host.size() > kMaxHostBytes) {
    return false;
  }
  std::string_view name;
  if (host.starts_with('[')) {
    const size_t end = host.find(']');
    if (end == std::string_view::npos) {
      return false;
    }
    name = host.substr(1, end - 1);
    host.remove_prefix(end + 1);
    if (!std::all_of(name.begin(), name.end(), IsAddressCharacter)) {
      return false;
    }
  } else {
    name = host.substr(0, host.find(':'));
    host.remove_prefix(name.size());
    if (!std::all_of(name.begin(), name.end(), IsHostCharacter)) {
      return false;
    }
  }
  const bool has_port = host.starts_with(':');
  host.remove_prefix(has_port ? 1 : 0);
  return !name.empty() && (has_port || host.empty()) &&
         std::all_of(host.begin(), host.end(), [](char c) { return c >= '0' && c <= '9'; });
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

FieldKind KindOfField(std::string_view name) {
  if (name.size() > 6 && Lower(name[0]) == 'x' && EqualsIgnoringCase(name.substr(0, 6), "x-amz-")) {
    return FieldKind::kCredential;
  }
  if (name.empty() || name.size() > kLongestField) {
    return FieldKind::kOther;
  }
  for (size_t i = kFieldsOfLength[name.size()]; i < kFieldsOfLength[name.size() + 1]; ++i) {
    const KnownField& known = kKnownFields[i];
    if (Lower(name[0]) == known.name[0] && EqualsIgnoringCase(name, known.name)) {
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

bool IsCompressed(const ResponseHead& head) {
  const std::string_view coding = head.Find(FieldKind::kContentEncoding);
  return !coding.empty() && !EqualsIgnoringCase(coding, "identity");
}

bool IsEventStream(const ResponseHead& head) {
  return head.status == 200 && !IsCompressed(head) &&
         head.Find(FieldKind::kContentType).starts_with("text/event-stream");
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
  const HeadError error = ParseCommon<true>(bytes, head);
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
  const HeadError error = ParseCommon<false>(bytes, head);
  const bool has_status = head.status >= 100 && head.status <= 599;
  return error == HeadError::kNone && !has_status ? HeadError::kMalformed : error;
}

}  // namespace rota::engine
