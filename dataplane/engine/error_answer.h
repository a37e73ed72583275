#pragma once

// The answers that the gateway makes itself (docs/reference/errors.md): one JSON shape that OpenAI
// SDKs turn into their typed errors, and `x-rota-error` with the same code. Pure and thread-safe.

#include <cstdint>
#include <string>
#include <string_view>

#include "dataplane/engine/http_head.h"

namespace rota::engine {

struct GatewayError {
  int status = 500;
  std::string_view code;     // a literal: "body_too_large", "102503"
  std::string message;       // what is wrong and what to do; no secret, no upstream's host name
  int64_t retry_after = -1;  // seconds; -1: no Retry-After
  std::string allow;         // 405
  std::string param = "";    // the field that is wrong; "" for none
};

// The words of the status line.
std::string_view ReasonOf(int status);

struct AnswerForm {
  bool keep_alive = true;
  bool http_1_0 = false;
  bool head_only = false;  // HEAD: the same header fields, no body
};

// A whole answer.
void AppendJsonAnswer(int status, std::string_view json, const AnswerForm& form,
                      std::string_view request_id, std::string& out);
// To OPTIONS, without a body. `allow`: methods, "" for no such field.
void AppendOptionsAnswer(std::string_view allow, const AnswerForm& form,
                         std::string_view request_id, std::string& out);
void AppendErrorAnswer(const GatewayError& error, const AnswerForm& form,
                       std::string_view request_id, std::string& out);
// {"error":{...}} alone: what an SSE error event carries.
void AppendErrorJson(const GatewayError& error, std::string& out);
// With its quotes; bytes that are not UTF-8 pass.
void AppendJsonString(std::string_view text, std::string& out);

GatewayError ErrorOfHead(HeadError error);

}  // namespace rota::engine
