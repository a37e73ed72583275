#include "dataplane/engine/message_writer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "common/hex.h"
#include "dataplane/engine/error_answer.h"

namespace rota::engine {
namespace {

// Parameters that clients put credentials into.
constexpr std::array<std::string_view, 12> kCredentialParameters = {
    "key",          "api_key",   "api-key", "apikey",        "access_token",     "token",
    "access-token", "x-api-key", "auth",    "authorization", "subscription-key", "sig"};

std::string_view NameOf(std::string_view parameter) {
  return parameter.substr(0, std::min(parameter.find('='), parameter.size()));
}

bool CarriesCredential(std::string_view parameter, const table::Credential& credential) {
  const std::string name = PercentDecoded(NameOf(parameter));
  if (name.size() > 6 && EqualsIgnoringCase(std::string_view(name).substr(0, 6), "x-amz-")) {
    return true;  // a presigned request of AWS
  }
  if (credential.place == table::Credential::Place::kQuery &&
      EqualsIgnoringCase(name, credential.name)) {
    return true;
  }
  return std::any_of(kCredentialParameters.begin(), kCredentialParameters.end(),
                     [&name](std::string_view known) { return EqualsIgnoringCase(name, known); });
}

void AppendPercentEncoded(std::string_view value, std::string& out) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  for (const char c : value) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' || c == '~';
    if (is_plain) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
}

// Puts a head together: room for all of it is made at once, then its parts are copied behind each
// other.
class HeadWriter {
 public:
  // REQUIRES: no more than `bytes` are going to be put behind `out`.
  HeadWriter(std::string& out, size_t bytes) : out_(out) {
    const size_t before = out.size();
    out.resize(before + bytes);
    at_ = out.data() + before;
  }
  ~HeadWriter() { out_.resize(static_cast<size_t>(at_ - out_.data())); }
  HeadWriter(const HeadWriter&) = delete;
  HeadWriter& operator=(const HeadWriter&) = delete;

  void Put(std::string_view text) { at_ = std::copy(text.begin(), text.end(), at_); }
  void Put(char c) { *at_++ = c; }
  void PutNumber(uint64_t number) { at_ = std::to_chars(at_, at_ + kMaxDigits, number).ptr; }
  void PutField(std::string_view name, std::string_view value) {
    Put(name);
    Put(": ");
    Put(value);
    Put("\r\n");
  }
  // As it came: name and value stand in one line.
  void PutField(const Field& field) {
    const char* const end = field.value.data() + field.value.size();
    Put({field.name.data(), static_cast<size_t>(end - field.name.data())});
    Put("\r\n");
  }

  static constexpr size_t kMaxDigits = 20;

 private:
  std::string& out_;
  char* at_;
};

// What the fields of a head take, and more than the words that are put between what varies.
size_t RoomFor(const MessageHead& head) {
  size_t bytes = 256;
  for (const Field& field : head.fields) {
    const char* const end = field.value.data() + field.value.size();
    bytes += static_cast<size_t>(end - field.name.data()) + 2;
  }
  return bytes;
}

// Headers about a body, or about the form of the answer.
constexpr std::array<std::string_view, 4> kFormHeaders = {"accept", "accept-encoding",
                                                          "content-encoding", "content-type"};

bool IsReplaced(const UpstreamRequest& request, std::string_view name) {
  if (!request.is_translated) {
    return request.wants_plain_answer && EqualsIgnoringCase(name, "accept-encoding");
  }
  const auto is_name = [name](std::string_view other) { return EqualsIgnoringCase(name, other); };
  return std::any_of(kFormHeaders.begin(), kFormHeaders.end(), is_name) ||
         std::any_of(request.own_headers.begin(), request.own_headers.end(),
                     [&](const provider::HeaderField& own) { return is_name(own.name); });
}

bool ReachesUpstream(const UpstreamRequest& request, const Field& field) {
  const RequestHead& head = *request.head;
  const table::Endpoint& endpoint = *request.endpoint;
  switch (field.kind) {
    case FieldKind::kCredential:
    case FieldKind::kHost:
    case FieldKind::kContentLength:
    case FieldKind::kExpect:
    case FieldKind::kRequestId:
      return false;
    case FieldKind::kMaxForwards:
      if (head.ForwardsLeft().has_value()) {
        return false;
      }
      break;
    default:
      break;
  }
  if (endpoint.credential.place == table::Credential::Place::kHeader &&
      EqualsIgnoringCase(field.name, endpoint.credential.name)) {
    return false;
  }
  return head.IsEndToEnd(field) && !IsReplaced(request, field.name);
}

// What a request that was made here says of itself: what comes back has to be read.
constexpr std::string_view kOwnFormHeaders =
    "content-type: application/json\r\naccept-encoding: identity\r\n";

size_t RoomFor(absl::Span<const provider::HeaderField> headers) {
  size_t bytes = kOwnFormHeaders.size();
  for (const provider::HeaderField& header : headers) {
    bytes += header.name.size() + header.value.size() + 4;
  }
  return bytes;
}

bool IsHeaderSafe(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

bool IsUsableRequestId(std::string_view id) {
  return !id.empty() && id.size() <= 128 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void AppendQuery(std::optional<std::string_view> query, const table::Credential& credential,
                 std::string& out) {
  char separator = '?';
  if (credential.place == table::Credential::Place::kQuery) {
    out.push_back(separator);
    AppendPercentEncoded(credential.name, out);
    out.push_back('=');
    out.append(credential.value.Reveal());  // percent-encoded already
    separator = '&';
  }
  while (query.has_value()) {
    const size_t end = query->find('&');
    const std::string_view parameter = query->substr(0, end);
    if (!CarriesCredential(parameter, credential)) {
      out.push_back(separator);
      out.append(parameter);
      separator = '&';
    }
    if (end == std::string_view::npos) {
      break;
    }
    query->remove_prefix(end + 1);
  }
}

void AppendUpstreamHead(const UpstreamRequest& request, std::string& out) {
  const RequestHead& head = *request.head;
  const table::Endpoint& endpoint = *request.endpoint;
  const table::Credential& credential = endpoint.credential;
  std::string query;
  const bool has_query = head.has_query && !request.is_translated;
  AppendQuery(has_query ? std::optional(head.query) : std::nullopt, credential, query);
  if (!query.empty() && request.path.find('?') != std::string_view::npos) {
    query.front() = '&';
  }
  HeadWriter writer(out, RoomFor(head) + RoomFor(request.own_headers) + RoomFor(request.signature) +
                             head.method.size() + endpoint.base_path.size() + request.path.size() +
                             query.size() + endpoint.authority.size() + credential.name.size() +
                             credential.value.Reveal().size() + request.request_id.size());
  writer.Put(head.method);
  writer.Put(' ');
  writer.Put(endpoint.base_path);
  writer.Put(request.path);
  if (endpoint.base_path.empty() && request.path.empty()) {
    writer.Put('/');
  }
  writer.Put(query);
  writer.Put(" HTTP/1.1\r\n");
  writer.PutField("host", endpoint.authority);
  for (const Field& field : head.fields) {
    if (ReachesUpstream(request, field)) {
      writer.PutField(field);
    }
  }
  if (const std::optional<uint64_t> left = head.ForwardsLeft(); left.value_or(0) > 0) {
    writer.Put("max-forwards: ");
    writer.PutNumber(*left - 1);
    writer.Put("\r\n");
  }
  if (request.is_translated) {
    writer.Put(kOwnFormHeaders);
    for (const provider::HeaderField& header : request.own_headers) {
      writer.PutField(header.name, header.value);
    }
  } else if (request.wants_plain_answer) {
    writer.PutField("accept-encoding", "identity");
  }
  if (credential.place == table::Credential::Place::kHeader) {
    writer.PutField(credential.name, credential.value.Reveal());
  }
  for (const provider::HeaderField& header : request.signature) {
    writer.PutField(header.name, header.value);
  }
  writer.PutField("x-request-id", request.request_id);
  if (request.body_size.has_value()) {
    writer.Put("content-length: ");
    writer.PutNumber(*request.body_size);
    writer.Put("\r\n");
  }
  writer.Put("\r\n");
}

void AppendClientHead(const ClientAnswer& answer, std::string& out) {
  const ResponseHead& head = *answer.head;
  HeadWriter writer(
      out, RoomFor(head) + head.reason.size() + answer.request_id.size() + answer.model.size());
  writer.Put("HTTP/1.1 ");
  writer.PutNumber(static_cast<uint64_t>(head.status));
  writer.Put(' ');
  writer.Put(head.reason);
  writer.Put("\r\n");
  bool has_request_id = false;
  for (const Field& field : head.fields) {
    if (field.kind == FieldKind::kOrigin || !head.IsEndToEnd(field)) {
      continue;
    }
    // Without a body it says what another request would have got (HEAD, 304); beside 204 it means
    // nothing.
    if (field.kind == FieldKind::kContentLength &&
        (answer.framing != ClientAnswer::Framing::kNone || head.status == 204)) {
      continue;
    }
    has_request_id = has_request_id || field.kind == FieldKind::kRequestId;
    writer.PutField(field);
  }
  if (!has_request_id) {
    writer.PutField("x-request-id", answer.request_id);
  }
  if (!answer.model.empty() && IsHeaderSafe(answer.model)) {
    writer.PutField("x-rota-model", answer.model);
  }
  if (answer.framing == ClientAnswer::Framing::kLength) {
    writer.Put("content-length: ");
    writer.PutNumber(answer.length);
    writer.Put("\r\n");
  } else if (answer.framing == ClientAnswer::Framing::kChunked) {
    writer.Put("transfer-encoding: chunked\r\n");
  }
  if (!answer.keep_alive) {
    writer.Put("connection: close\r\n");
  } else if (answer.http_1_0) {
    writer.Put("connection: keep-alive\r\n");
  }
  writer.Put("\r\n");
}

}  // namespace rota::engine
