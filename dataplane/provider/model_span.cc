#include "dataplane/provider/model_span.h"

#include <bitset>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

// One walk over the body. Errors of meaning (two models) are kept until the end: what is no JSON at
// all is reported as that.
class Walk {
 public:
  explicit Walk(std::string_view body) : body_(body) {}

  ModelSpan Run() {
    place_ = SkipSpace(body_, 0);
    if (place_ == body_.size()) {
      return Fail(BodyError::kEmpty);
    }
    const bool is_object = body_[place_] == '{';
    const size_t start = place_;
    BodyError error = WalkValues();
    if (error != BodyError::kNone) {
      return Fail(error);
    }
    place_ = SkipSpace(body_, place_);
    if (place_ != body_.size()) {
      return Fail(BodyError::kNotJson);
    }
    if (!is_object) {
      place_ = start;
      return Fail(BodyError::kNotObject);
    }
    if (!span_.has_model && span_.error == BodyError::kNone) {
      span_.begin = span_.end = start + 1;
      span_.object_is_empty = !has_member_;
    }
    return span_;
  }

 private:
  enum class Key : uint8_t { kOther, kModel, kStream, kStreamOptions };

  ModelSpan Fail(BodyError error) {
    ModelSpan failed;
    failed.error = error;
    failed.offset = place_;
    return failed;
  }

  void Keep(BodyError error, size_t offset) {
    if (span_.error == BodyError::kNone) {
      span_.error = error;
      span_.offset = offset;
    }
  }

  bool At(char c) const { return place_ < body_.size() && body_[place_] == c; }

  // One value and everything inside it; stops behind it.
  BodyError WalkValues() {
    for (;;) {
      const bool is_container = At('{') || At('[');
      const BodyError error = is_container ? OpenContainer() : WalkScalar();
      if (error != BodyError::kNone) {
        return error;
      }
      if (is_container && !closed_at_once_) {
        continue;  // at its first value
      }
      // Behind a value: close what ends here, then on to the next value.
      if (!CloseContainers()) {
        return BodyError::kNotJson;
      }
      if (depth_ == 0) {
        return BodyError::kNone;
      }
    }
  }

  BodyError OpenContainer() {
    const bool is_object = body_[place_] == '{';
    if (depth_ == kMaxBodyDepth) {
      return BodyError::kTooDeep;
    }
    RejectIfModel();
    BeginStreamOptions();
    is_object_[depth_++] = is_object;
    place_ = SkipSpace(body_, place_ + 1);
    closed_at_once_ = At(is_object ? '}' : ']');
    if (closed_at_once_) {
      --depth_;
      ++place_;
      EndStreamOptions();
      return BodyError::kNone;
    }
    if (depth_ == 1) {
      has_member_ = true;
    }
    return !is_object || WalkKey() ? BodyError::kNone : BodyError::kNotJson;
  }

  // After a value: commas and closing brackets up to the next value, or to the end of the outermost
  // one.
  bool CloseContainers() {
    while (depth_ > 0) {
      place_ = SkipSpace(body_, place_);
      const bool is_object = is_object_[depth_ - 1];
      if (At(',')) {
        place_ = SkipSpace(body_, place_ + 1);
        return !is_object || WalkKey();
      }
      if (!At(is_object ? '}' : ']')) {
        return false;
      }
      --depth_;
      ++place_;
      EndStreamOptions();
    }
    return true;
  }

  // A key, its colon and the space behind it.
  bool WalkKey() {
    if (!At('"')) {
      return false;
    }
    const size_t begin = place_ + 1;
    bool has_escape = false;
    const size_t end = SkipString(body_, begin, has_escape);
    if (end == kBroken) {
      return false;
    }
    if (depth_ == 1) {
      key_ = Classify(body_.substr(begin, end - 1 - begin), has_escape);
      if (key_ == Key::kModel && span_.has_model) {
        Keep(BodyError::kModelTwice, begin - 1);
      }
    }
    place_ = SkipSpace(body_, end);
    if (!At(':')) {
      return false;
    }
    place_ = SkipSpace(body_, place_ + 1);
    return true;
  }

  static Key Classify(std::string_view raw, bool has_escape) {
    if (raw == "model" || (has_escape && EscapedEquals(raw, "model"))) {
      return Key::kModel;
    }
    if (raw == "stream" || (has_escape && EscapedEquals(raw, "stream"))) {
      return Key::kStream;
    }
    if (raw == "stream_options" || (has_escape && EscapedEquals(raw, "stream_options"))) {
      return Key::kStreamOptions;
    }
    return Key::kOther;
  }

  void BeginStreamOptions() {
    if (depth_ == 1 && key_ == Key::kStreamOptions) {
      span_.stream_options_begin = place_;
      ++span_.stream_options_count;
    }
  }

  void EndStreamOptions() {
    if (depth_ == 1 && key_ == Key::kStreamOptions) {
      span_.stream_options_end = place_;
    }
  }

  void RejectIfModel() {
    if (depth_ == 1 && key_ == Key::kModel) {
      span_.has_model = true;
      Keep(BodyError::kModelNotString, place_);
    }
  }

  BodyError WalkScalar() {
    if (place_ >= body_.size()) {
      return BodyError::kNotJson;
    }
    BeginStreamOptions();
    const size_t begin = place_;
    const char c = body_[place_];
    size_t end = kBroken;
    if (c == '"') {
      bool has_escape = false;
      end = SkipString(body_, place_ + 1, has_escape);
      if (depth_ == 1 && key_ == Key::kModel && end != kBroken) {
        span_.has_model = true;
        span_.begin = begin;
        span_.end = end;
      }
    } else {
      RejectIfModel();
      end = c == '-' || (c >= '0' && c <= '9') ? SkipNumber(body_, place_)
                                               : SkipLiteral(body_, place_);
    }
    if (end == kBroken) {
      return BodyError::kNotJson;
    }
    if (depth_ == 1 && key_ == Key::kStream) {
      span_.stream = c == 't';
    }
    place_ = end;
    EndStreamOptions();
    return BodyError::kNone;
  }

  const std::string_view body_;
  size_t place_ = 0;
  size_t depth_ = 0;
  std::bitset<kMaxBodyDepth> is_object_;
  bool closed_at_once_ = false;
  bool has_member_ = false;
  Key key_ = Key::kOther;  // of the top-level member whose value is being walked
  ModelSpan span_;
};

}  // namespace

ModelSpan FindModel(std::string_view body) { return Walk(body).Run(); }

std::string ErrorText(const ModelSpan& span) {
  switch (span.error) {
    case BodyError::kNone:
      return "";
    case BodyError::kEmpty:
      return "the request has no body; send a JSON object";
    case BodyError::kNotJson:
      return absl::StrCat("the body is not JSON: it breaks the grammar at byte ", span.offset);
    case BodyError::kNotObject:
      return "the body is JSON, but not an object; send {\"messages\": [...]} or the like";
    case BodyError::kModelTwice:
      return absl::StrCat("the body has \"model\" twice, again at byte ", span.offset,
                          "; send it once");
    case BodyError::kModelNotString:
      return "\"model\" is not a string; send its name in quotes";
    case BodyError::kTooDeep:
      return absl::StrCat("the body is nested deeper than ", kMaxBodyDepth, " levels");
  }
  return "the body cannot be used";
}

SplicedBody SpliceModel(std::string_view body, const ModelSpan& span, std::string_view model_json) {
  SplicedBody spliced;
  spliced.head = body.substr(0, span.begin);
  spliced.model_json = model_json;
  spliced.tail = body.substr(span.end);
  if (!span.has_model) {
    spliced.before_model = "\"model\":";
    spliced.after_model = span.object_is_empty ? "" : ",";
  }
  return spliced;
}

BodyPieces PiecesOf(std::string_view body, const ModelSpan& span, std::string_view model_json,
                    const std::optional<BodyEdit>& edit) {
  const SplicedBody spliced = SpliceModel(body, span, model_json);
  BodyPieces pieces;
  bool is_edited = !edit.has_value();
  // `text` stands at `place` of the body.
  const auto add = [&](std::string_view text, size_t place) {
    if (is_edited || edit->begin < place || edit->end > place + text.size()) {
      pieces.push_back(text);
      return;
    }
    is_edited = true;
    pieces.push_back(text.substr(0, edit->begin - place));
    pieces.push_back(edit->text);
    pieces.push_back(text.substr(edit->end - place));
  };
  add(spliced.head, 0);
  pieces.insert(pieces.end(), {spliced.before_model, spliced.model_json, spliced.after_model});
  add(spliced.tail, span.end);
  return pieces;
}

size_t SizeOf(const BodyPieces& pieces) {
  return std::accumulate(pieces.begin(), pieces.end(), size_t{0},
                         [](size_t sum, std::string_view piece) { return sum + piece.size(); });
}

}  // namespace rota::provider
