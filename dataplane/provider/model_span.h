#pragma once

// Where the top-level "model" member of a JSON request body is, found without a DOM: the request
// path replaces those bytes and forwards every other byte as it came. The whole body is checked
// against the JSON grammar on the way (RFC 8259), except that string bytes above 0x7F are not
// checked to be UTF-8.
//
// Pure and thread-safe. No allocation. Errors are an enum: a bad body is a 400 whose message
// ErrorText has.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"

namespace rota::provider {

// Deeper nesting than any provider's request has; bounds the work of what parses the body upstream.
inline constexpr size_t kMaxBodyDepth = 512;

enum class BodyError : uint8_t {
  kNone,
  kEmpty,           // nothing, or white space only
  kNotJson,         // breaks the grammar at `offset`
  kNotObject,       // JSON, but not an object
  kModelTwice,      // two top-level members are called "model", however they are escaped
  kModelNotString,  // "model" is a number, null, list, ...
  kTooDeep,         // nested deeper than kMaxBodyDepth
};

struct ModelSpan {
  BodyError error = BodyError::kNone;
  size_t offset = 0;  // of the error, in bytes

  bool has_model = false;
  // has_model: the value with its quotes. Otherwise both are the place behind the opening brace
  // where a member has to be inserted.
  size_t begin = 0;
  size_t end = 0;
  bool object_is_empty = false;  // an inserted member needs no comma behind it
  bool stream = false;           // the top-level member "stream" is true
  // The value of the top-level member "stream_options", the last one of several.
  size_t stream_options_begin = 0;
  size_t stream_options_end = 0;
  size_t stream_options_count = 0;
};

// Scans the whole body.
ModelSpan FindModel(std::string_view body);

// The error for people: "the body is not JSON: unexpected character at byte 17".
std::string ErrorText(const ModelSpan& span);

// The body with another model, as five pieces for a gather write: first and last are parts of
// `body`.
struct SplicedBody {
  std::string_view head;
  std::string_view before_model;  // "" or "\"model\":"
  std::string_view model_json;
  std::string_view after_model;  // "" or ","
  std::string_view tail;
  size_t size() const {
    return head.size() + before_model.size() + model_json.size() + after_model.size() + tail.size();
  }
};

// REQUIRES: span = FindModel(body) without an error. `model_json` has its quotes ("\"gpt-4o\"").
SplicedBody SpliceModel(std::string_view body, const ModelSpan& span, std::string_view model_json);

// Another change of the same body: the bytes [begin, end), which are none of the model's, become
// `text`.
struct BodyEdit {
  size_t begin = 0;
  size_t end = 0;
  std::string_view text;
};

// All of it, for a gather write.
inline constexpr size_t kMaxBodyPieces = 7;
using BodyPieces = absl::InlinedVector<std::string_view, kMaxBodyPieces>;
BodyPieces PiecesOf(std::string_view body, const ModelSpan& span, std::string_view model_json,
                    const std::optional<BodyEdit>& edit);
size_t SizeOf(const BodyPieces& pieces);

}  // namespace rota::provider
