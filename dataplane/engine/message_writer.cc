#include "dataplane/engine/message_writer.h"

#include <algorithm>
#include <array>

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

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ").append(value).append("\r\n");
}

bool ReachesUpstream(const RequestHead& head, const Field& field, const table::Endpoint& endpoint) {
  switch (field.kind) {
    case FieldKind::kCredential:
    case FieldKind::kHost:
    case FieldKind::kContentLength:
    case FieldKind::kExpect:
    case FieldKind::kRequestId:
      return false;
    default:
      break;
  }
  if (endpoint.credential.place == table::Credential::Place::kHeader &&
      EqualsIgnoringCase(field.name, endpoint.credential.name)) {
    return false;
  }
  return head.IsEndToEnd(field);
}

bool IsHeaderSafe(std::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

bool IsUsableRequestId(std::string_view id) {
  return !id.empty() && id.size() <= 128 &&
         std::all_of(id.begin(), id.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

void AppendQuery(std::string_view query, const table::Credential& credential, std::string& out) {
  char separator = '?';
  if (credential.place == table::Credential::Place::kQuery) {
    out.push_back(separator);
    AppendPercentEncoded(credential.name, out);
    out.push_back('=');
    out.append(credential.value.Reveal());  // percent-encoded already
    separator = '&';
  }
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view parameter = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (!CarriesCredential(parameter, credential)) {
      out.push_back(separator);
      out.append(parameter);
      separator = '&';
    }
  }
}

void AppendUpstreamHead(const UpstreamRequest& request, std::string& out) {
  const RequestHead& head = *request.head;
  const table::Endpoint& endpoint = *request.endpoint;
  out.append(head.method).append(" ").append(endpoint.base_path).append(request.path);
  if (endpoint.base_path.empty() && request.path.empty()) {
    out.push_back('/');
  }
  if (head.has_query || endpoint.credential.place == table::Credential::Place::kQuery) {
    AppendQuery(head.query, endpoint.credential, out);
  }
  out.append(" HTTP/1.1\r\n");
  AppendField("host", endpoint.authority, out);
  for (const Field& field : head.fields) {
    if (ReachesUpstream(head, field, endpoint)) {
      AppendField(field.name, field.value, out);
    }
  }
  if (endpoint.credential.place == table::Credential::Place::kHeader) {
    AppendField(endpoint.credential.name, endpoint.credential.value.Reveal(), out);
  }
  AppendField("x-request-id", request.request_id, out);
  if (request.body_size.has_value()) {
    AppendField("content-length", std::to_string(*request.body_size), out);
  }
  out.append("\r\n");
}

void AppendClientHead(const ClientAnswer& answer, std::string& out) {
  const ResponseHead& head = *answer.head;
  out.append("HTTP/1.1 ").append(std::to_string(head.status)).append(" ").append(head.reason);
  out.append("\r\n");
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
    AppendField(field.name, field.value, out);
  }
  if (!has_request_id) {
    AppendField("x-request-id", answer.request_id, out);
  }
  if (!answer.model.empty() && IsHeaderSafe(answer.model)) {
    AppendField("x-rota-model", answer.model, out);
  }
  if (answer.framing == ClientAnswer::Framing::kLength) {
    AppendField("content-length", std::to_string(answer.length), out);
  } else if (answer.framing == ClientAnswer::Framing::kChunked) {
    out.append("transfer-encoding: chunked\r\n");
  }
  if (!answer.keep_alive) {
    out.append("connection: close\r\n");
  } else if (answer.http_1_0) {
    out.append("connection: keep-alive\r\n");
  }
  out.append("\r\n");
}

}  // namespace rota::engine
