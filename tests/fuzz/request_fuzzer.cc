// The body of a request: the scanner that finds `model` takes exactly what a JSON library takes,
// and what is spliced is the same body with another model, with a question for usage, or with the
// names that a provider has.

#include <optional>
#include <string>

#include "common/provider_catalog.h"
#include "dataplane/provider/field_quirks.h"
#include "dataplane/provider/model_span.h"
#include "dataplane/provider/stream_usage.h"
#include "nlohmann/json.hpp"
#include "tests/fuzz/pieces.h"

namespace {

using nlohmann::json;
using rota::fuzz::Require;
using rota::provider::BodyError;
using rota::provider::ModelSpan;

// Takes everything; numbers that no double holds are JSON all the same.
class Grammar : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override { return true; }
  bool key(string_t&) override { return true; }
  bool end_object() override { return true; }
  bool start_array(size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception& error) override {
    has_overflow_ = error.id == 406;
    return false;
  }
  bool has_overflow() const { return has_overflow_; }

 private:
  bool has_overflow_ = false;
};

// The escape of half a character, perhaps without the other half.
bool HasSurrogate(std::string_view text) {
  for (size_t at = text.find("\\u"); at != std::string_view::npos; at = text.find("\\u", at + 1)) {
    const std::string_view digits = text.substr(at + 2, 2);
    if (digits.size() == 2 && (digits[0] == 'd' || digits[0] == 'D') && digits[1] >= '8') {
      return true;
    }
  }
  return false;
}

// Where the library and RFC 8259 mean the same: it checks UTF-8, ends at NUL, and refuses half a
// character, which the grammar allows (section 8.2).
bool IsPlain(std::string_view text) {
  for (const char c : text) {
    if (c <= 0) {
      return false;
    }
  }
  return !HasSurrogate(text);
}

void CheckGrammar(std::string_view text, const ModelSpan& span) {
  Grammar grammar;
  const bool is_json = json::sax_parse(text.begin(), text.end(), &grammar);
  if (is_json) {
    Require(span.error != BodyError::kNotJson && span.error != BodyError::kEmpty);
  } else if (!grammar.has_overflow()) {
    Require(span.error != BodyError::kNone);
  }
}

void CheckSplice(std::string_view text, const ModelSpan& span) {
  const rota::provider::SplicedBody spliced = SpliceModel(text, span, "\"another\"");
  std::string body;
  for (const std::string_view piece : {spliced.head, spliced.before_model, spliced.model_json,
                                       spliced.after_model, spliced.tail}) {
    body += piece;
  }
  Require(body.size() == spliced.size());
  json before = json::parse(text, nullptr, /*allow_exceptions=*/false);
  json after = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (before.is_object()) {  // not where a number overflows or bytes are no UTF-8
    before["model"] = "another";
    Require(before == after);
  }
}

// Asking for usage changes nothing else, and is not asked for twice.
void CheckQuestion(std::string_view text, const ModelSpan& span) {
  const std::optional<rota::provider::BodyEdit> edit = AskForUsage(text, span);
  if (!edit.has_value()) {
    return;
  }
  std::string body;
  for (const std::string_view piece : PiecesOf(text, span, "\"another\"", edit)) {
    body += piece;
  }
  Require(!AskForUsage(body, rota::provider::FindModel(body)).has_value());
  json before = json::parse(text, nullptr, /*allow_exceptions=*/false);
  json after = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (before.is_object()) {
    before["model"] = "another";
    if (!before["stream_options"].is_object()) {
      before["stream_options"] = json::object();
    }
    before["stream_options"]["include_usage"] = true;
    Require(before == after);
  }
}

// Quirks leave JSON that has none of them.
void CheckQuirks(std::string_view text) {
  const auto quirks = rota::FindProvider("mistral")->quirks;
  const std::string body = rota::provider::ApplyQuirks(text, quirks);
  if (!body.empty()) {
    Require(rota::provider::FindModel(body).error != BodyError::kNotJson);
    Require(rota::provider::ApplyQuirks(body, quirks).empty());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const ModelSpan span = rota::provider::FindModel(text);
  if (IsPlain(text)) {
    CheckGrammar(text, span);
  }
  if (span.error == BodyError::kNone) {
    CheckSplice(text, span);
    CheckQuestion(text, span);
    CheckQuirks(text);
  } else {
    Require(!ErrorText(span).empty() && span.offset <= text.size());
  }
  return 0;
}
