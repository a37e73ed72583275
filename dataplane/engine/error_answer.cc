#include "dataplane/engine/error_answer.h"

#include <cstdio>

#include "absl/strings/str_cat.h"
#include "dataplane/provider/openai_form.h"

namespace rota::engine {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 402:
      return "Payment Required";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Error";
  }
}

void AppendJsonString(std::string_view text, std::string& out) {
  out.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", static_cast<unsigned>(c));
      out.append(escape);
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
}

void AppendErrorJson(const GatewayError& error, std::string& out) {
  out.append(R"({"error":{"message":)");
  AppendJsonString(error.message, out);
  out.append(R"(,"type":")").append(provider::ErrorTypeOf(error.status));
  out.append(R"(","code":")").append(error.code).append(R"(","param":)");
  if (error.param.empty()) {
    out.append("null");
  } else {
    AppendJsonString(error.param, out);
  }
  out.append("}}");
}

namespace {

void AppendStatusLine(int status, std::string& out) {
  out.append("HTTP/1.1 ").append(std::to_string(status)).append(" ").append(ReasonOf(status));
  out.append("\r\n");
}

void AppendConnection(const AnswerForm& form, std::string_view request_id, std::string& out) {
  if (!form.keep_alive) {
    out.append("connection: close\r\n");
  } else if (form.http_1_0) {
    out.append("connection: keep-alive\r\n");
  }
  if (!request_id.empty()) {
    out.append("x-request-id: ").append(request_id).append("\r\n");
  }
}

void AppendHead(int status, size_t body_size, const AnswerForm& form, std::string_view request_id,
                std::string& out) {
  AppendStatusLine(status, out);
  out.append("content-type: application/json\r\ncontent-length: ");
  out.append(std::to_string(body_size)).append("\r\n");
  AppendConnection(form, request_id, out);
}

}  // namespace

void AppendJsonAnswer(int status, std::string_view json, const AnswerForm& form,
                      std::string_view request_id, std::string& out) {
  AppendHead(status, json.size(), form, request_id, out);
  out.append("\r\n");
  if (!form.head_only) {
    out.append(json);
  }
}

void AppendOptionsAnswer(std::string_view allow, const AnswerForm& form,
                         std::string_view request_id, std::string& out) {
  AppendStatusLine(204, out);
  if (!allow.empty()) {
    out.append("allow: ").append(allow).append("\r\n");
  }
  AppendConnection(form, request_id, out);
  out.append("\r\n");
}

void AppendErrorAnswer(const GatewayError& error, const AnswerForm& form,
                       std::string_view request_id, std::string& out) {
  std::string json;
  AppendErrorJson(error, json);
  AppendHead(error.status, json.size(), form, request_id, out);
  out.append("x-rota-error: ").append(error.code).append("\r\n");
  if (error.retry_after >= 0) {
    out.append("retry-after: ").append(std::to_string(error.retry_after)).append("\r\n");
  }
  if (!error.allow.empty()) {
    out.append("allow: ").append(error.allow).append("\r\n");
  }
  out.append("\r\n");
  if (!form.head_only) {
    out.append(json);
  }
}

GatewayError ErrorOfHead(HeadError error) {
  GatewayError answer;
  answer.status = 400;
  answer.code = "bad_request";
  answer.message = std::string(HeadErrorText(error));
  switch (error) {
    case HeadError::kVersion:
      answer.status = 505;
      answer.code = "http_version_not_supported";
      break;
    case HeadError::kTransferEncoding:
      answer.code = "transfer_encoding_not_supported";
      break;
    case HeadError::kExpectation:
      answer.status = 417;
      answer.code = "expectation_failed";
      break;
    case HeadError::kFields:
      answer.status = 431;
      answer.code = "request_head_too_large";
      break;
    default:
      break;
  }
  return answer;
}

}  // namespace rota::engine
