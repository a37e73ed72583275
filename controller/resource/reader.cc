#include "controller/resource/reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "common/duration.h"
#include "controller/resource/document.h"
#include "controller/resource/names.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuoted = 80;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

// What the value is, for a message. Values of scalars are shown: an API holds no secrets.
std::string Describe(const Json& value) {
  if (value.is_null()) return "empty";
  if (value.is_boolean()) return absl::StrCat("the boolean ", value.dump());
  if (value.is_number()) return absl::StrCat("the number ", value.dump());
  if (value.is_string())
    return absl::StrCat("the text ", Quoted(value.get_ref<const std::string&>()));
  return value.is_array() ? "a list" : "a map";
}

}  // namespace

FieldPath FieldPath::Key(std::string_view key) const {
  const bool needs_dot = !field.empty() && field.back() != '.';
  return {absl::StrCat(field, needs_dot ? "." : "", View(Clip(key, kMaxQuoted))),
          absl::StrCat(pointer, "/", EscapePointer(key))};
}

FieldPath FieldPath::Index(size_t index) const {
  return {absl::StrCat(field, "[", index, "]"), absl::StrCat(pointer, "/", index)};
}

void Reporter::Error(std::string reason, const FieldPath& path, std::string message) {
  has_errors_ = true;
  Add(Severity::kError, std::move(reason), path, std::move(message));
}

void Reporter::Warn(std::string reason, const FieldPath& path, std::string message) {
  Add(Severity::kWarning, std::move(reason), path, std::move(message));
}

void Reporter::NotEnforced(const FieldPath& path, std::string_view consequence) {
  Warn("NotEnforced", path,
       absl::StrCat("not enforced yet: ", View(consequence), "; remove it, or do not rely on it"));
}

void Reporter::Add(Severity severity, std::string reason, const FieldPath& path,
                   std::string message) {
  if (is_full()) {
    // An error must not be lost behind warnings: the verdict would change.
    const bool replace = severity == Severity::kError && !HasErrors(diagnostics_);
    if (!replace) {
      return;
    }
    diagnostics_.pop_back();
  }
  const int line = lines_ == nullptr ? 0 : LineOf(*lines_, path.pointer);
  std::string field = path.field;
  if (!field.empty() && field.back() == '.') {
    field.pop_back();
  }
  diagnostics_.push_back({severity, std::move(reason), std::move(field), std::move(message), line});
}

ObjectReader::ObjectReader(const Json& value, FieldPath path, Reporter& reporter)
    : value_(value.is_object() ? value : Empty()), path_(std::move(path)), reporter_(reporter) {
  if (!value.is_object()) {
    reporter_.Error("InvalidType", path_,
                    absl::StrCat("must be a map of `field: value` lines, not ", Describe(value)));
  }
}

const Json& ObjectReader::Empty() {
  static const Json* const kEmpty = new Json(Json::object());
  return *kEmpty;
}

const Json* ObjectReader::Find(const std::string& key) {
  asked_.insert(key);
  const auto found = value_.find(key);
  return found == value_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> ObjectReader::Text(const std::string& key, size_t max, size_t min) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_string()) {
    WrongType(key, *value,
              value->is_structured()
                  ? "text"
                  : absl::StrCat("text; put it in quotes, as in ", key, ": \"...\""));
    return std::nullopt;
  }
  std::string text = value->get<std::string>();
  if (text.size() > max) {
    reporter_.Error(
        "InvalidValue", At(key),
        absl::StrCat("has ", text.size(), " characters; at most ", max, " are allowed"));
    return std::nullopt;
  }
  if (text.size() < min) {
    reporter_.Error("InvalidValue", At(key), "is empty; write a value or remove the field");
    return std::nullopt;
  }
  return text;
}

std::optional<std::string> ObjectReader::RequiredText(const std::string& key, size_t max,
                                                      std::string_view example) {
  if (!Has(key)) {
    Missing(key, example);
    return std::nullopt;
  }
  return Text(key, max, 1);
}

std::optional<bool> ObjectReader::Bool(const std::string& key) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_boolean()) {
    WrongType(key, *value, "true or false, without quotes");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<int64_t> ObjectReader::Integer(const std::string& key, int64_t min, int64_t max) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  if (!fits) {
    WrongType(key, *value,
              absl::StrCat("a whole number from ", min, " to ", max, ", without quotes"));
    return std::nullopt;
  }
  const auto number = value->get<int64_t>();
  if (number < min || number > max) {
    reporter_.Error("InvalidValue", At(key),
                    absl::StrCat("is ", number, "; write a whole number from ", min, " to ", max));
    return std::nullopt;
  }
  return number;
}

std::optional<Duration> ObjectReader::Time(const std::string& key, Duration max) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const std::string wanted = absl::StrCat(
      "whole seconds (60) or a text with a unit (\"1m\", \"1500ms\"), "
      "at most ",
      FormatDuration(max));
  if (!value->is_number_integer() && !value->is_string()) {
    WrongType(key, *value, wanted);
    return std::nullopt;
  }
  const std::string text = value->is_string() ? value->get<std::string>() : value->dump();
  const absl::StatusOr<Duration> duration =
      text.size() > 32 ? absl::InvalidArgumentError("too long") : ParseDuration(text);
  if (!duration.ok() || *duration > max) {
    reporter_.Error("InvalidValue", At(key),
                    absl::StrCat("is ", Describe(*value), "; write ", wanted));
    return std::nullopt;
  }
  return *duration;
}

std::optional<std::string> ObjectReader::Choice(const std::string& key,
                                                const std::vector<std::string>& choices) {
  std::optional<std::string> text = Text(key, 256);
  if (!text || std::find(choices.begin(), choices.end(), *text) != choices.end()) {
    return text;
  }
  const std::string nearest = Nearest(*text, choices);
  reporter_.Error(
      "InvalidValue", At(key),
      absl::StrCat("is ", Quoted(*text), "; write ", Choices(choices),
                   nearest.empty() ? "" : absl::StrCat(" (did you mean ", nearest, "?)")));
  return std::nullopt;
}

bool ObjectReader::List(const std::string& key, size_t max,
                        const std::function<void(const Json&, const FieldPath&)>& each) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return false;
  }
  if (!value->is_array()) {
    WrongType(key, *value, "a list; begin each item with `- `");
    return false;
  }
  if (value->size() > max) {
    reporter_.Error("TooMany", At(key),
                    absl::StrCat("has ", value->size(), " items; at most ", max, " are allowed"));
    return false;
  }
  for (size_t i = 0; i < value->size(); ++i) {
    each((*value)[i], At(key).Index(i));
  }
  return true;
}

std::vector<std::string> ObjectReader::Texts(const std::string& key, size_t max_items,
                                             size_t max_bytes) {
  std::vector<std::string> texts;
  List(key, max_items, [&](const Json& item, const FieldPath& path) {
    if (!item.is_string()) {
      reporter_.Error("InvalidType", path, absl::StrCat("is ", Describe(item), "; write text"));
    } else if (item.get_ref<const std::string&>().size() > max_bytes) {
      reporter_.Error("InvalidValue", path,
                      absl::StrCat("is longer than ", max_bytes, " characters; shorten it"));
    } else {
      texts.push_back(item.get<std::string>());
    }
  });
  return texts;
}

void ObjectReader::Missing(const std::string& key, std::string_view example) {
  reporter_.Error("MissingField", At(key),
                  absl::StrCat("is missing; add it, as in ", View(example)));
}

void ObjectReader::Finish() {
  const std::vector<std::string> known(asked_.begin(), asked_.end());
  for (const auto& [key, unused] : value_.items()) {
    if (asked_.contains(key)) {
      continue;
    }
    if (reporter_.is_full()) {
      reporter_.Error("UnknownField", At(key), "unknown field; remove it");
      return;
    }
    const std::string nearest = Nearest(key, known);
    reporter_.Error("UnknownField", At(key),
                    absl::StrCat("unknown field; ",
                                 nearest.empty() ? std::string("remove it")
                                                 : absl::StrCat("did you mean ", nearest, "?")));
  }
}

void ObjectReader::WrongType(const std::string& key, const Json& value, std::string_view wanted) {
  reporter_.Error("InvalidType", At(key),
                  absl::StrCat("is ", Describe(value), "; write ", View(wanted)));
}

std::string Quoted(std::string_view text) {
  std::string shown = "'";
  for (const char c : Clip(text, kMaxQuoted)) {
    shown.push_back(static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c);
  }
  if (text.size() > kMaxQuoted) {
    shown += "...";
  }
  return shown + "'";
}

std::string Choices(const std::vector<std::string>& choices) {
  std::string text;
  for (size_t i = 0; i < choices.size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ", choices[i]);
  }
  return text;
}

}  // namespace rota::resource
