#include "dataplane/provider/json.h"

#include <charconv>
#include <cmath>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/charconv.h"
#include "absl/strings/str_cat.h"
#include "common/hex.h"
#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

// Whether the bytes are UTF-8. Nearly all text is ASCII in long runs.
bool IsUtf8(std::string_view text) {
  const auto byte = [text](size_t place) { return static_cast<unsigned char>(text[place]); };
  const auto continues = [&](size_t place) {
    return place < text.size() && (byte(place) & 0xC0) == 0x80;
  };
  size_t place = 0;
  while (place < text.size()) {
    place = SkipAscii(text, place);
    if (place == text.size()) {
      break;
    }
    const unsigned char first = byte(place);
    const unsigned char second = continues(place + 1) ? byte(place + 1) : 0;
    size_t size = 0;
    if (first >= 0xC2 && first <= 0xDF) {
      size = second != 0 ? 2 : 0;
    } else if (first >= 0xE0 && first <= 0xEF) {
      // Neither longer than it has to be nor half of a surrogate pair.
      const bool is_good =
          second >= (first == 0xE0 ? 0xA0 : 0x80) && second <= (first == 0xED ? 0x9F : 0xBF);
      size = is_good && continues(place + 2) ? 3 : 0;
    } else if (first >= 0xF0 && first <= 0xF4) {
      const bool is_good =
          second >= (first == 0xF0 ? 0x90 : 0x80) && second <= (first == 0xF4 ? 0x8F : 0xBF);
      size = is_good && continues(place + 2) && continues(place + 3) ? 4 : 0;
    }
    if (size == 0) {
      return false;
    }
    place += size;
  }
  return true;
}

void AppendUtf8(uint32_t code, std::string& out) {
  const auto add = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  if (code < 0x80) {
    add(code);
  } else if (code < 0x800) {
    add(0xC0 | code >> 6);
    add(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    add(0xE0 | code >> 12);
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  } else {
    add(0xF0 | code >> 18);
    add(0x80 | (code >> 12 & 0x3F));
    add(0x80 | (code >> 6 & 0x3F));
    add(0x80 | (code & 0x3F));
  }
}

// Builds the tree of a text, without recursion. Members are put behind each other without looking
// for their equals, so that a large object costs no more than its bytes. The library's own parser
// takes what this takes, but goes byte by byte through strings, which are most of every request.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  absl::StatusOr<Json> Run() {
    place_ = SkipSpace(text_, text_.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0);
    bool goes_on = true;
    while (goes_on) {
      if (!ReadValue() || !ReadBehindValue(goes_on)) {
        return absl::InvalidArgumentError(
            problem_.empty() ? absl::StrCat("is not valid JSON near byte ", place_) : problem_);
      }
    }
    return std::move(root_);
  }

 private:
  static constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

  bool At(char c) const { return place_ < text_.size() && text_[place_] == c; }
  bool Take(char c) {
    const bool is_there = At(c);
    place_ += is_there ? 1 : 0;
    return is_there;
  }

  // The value at place_. Of a container with something in it only the beginning, up to its first
  // value.
  bool ReadValue() {
    is_open_ = false;
    if (place_ >= text_.size()) {
      return false;
    }
    switch (text_[place_]) {
      case '"': {
        std::string text;
        return ReadString(text) && Put(Json(std::move(text)));
      }
      case '{':
        return Open(Json::object(), '}') && (!is_open_ || ReadName());
      case '[':
        return Open(Json::array(), ']');
      case 't':
        return ReadLiteral("true") && Put(Json(true));
      case 'f':
        return ReadLiteral("false") && Put(Json(false));
      case 'n':
        return ReadLiteral("null") && Put(Json());
      default:
        return ReadNumber();
    }
  }

  // Behind a value: closes what ends here and goes to the next value. `goes_on`: there is one.
  bool ReadBehindValue(bool& goes_on) {
    if (is_open_) {
      return true;
    }
    while (!open_.empty()) {
      place_ = SkipSpace(text_, place_);
      const bool is_array = open_.back()->is_array();
      if (Take(',')) {
        place_ = SkipSpace(text_, place_);
        return is_array || ReadName();
      }
      if (!Take(is_array ? ']' : '}')) {
        return false;
      }
      open_.pop_back();
    }
    goes_on = false;
    place_ = SkipSpace(text_, place_);
    return place_ == text_.size();
  }

  bool ReadName() {
    name_.clear();
    if (!At('"') || !ReadString(name_) || !Count()) {
      return false;
    }
    place_ = SkipSpace(text_, place_);
    const bool has_colon = Take(':');
    place_ = SkipSpace(text_, place_);
    return has_colon;
  }

  bool ReadLiteral(std::string_view literal) {
    const bool is_there = text_.substr(place_).starts_with(literal);
    place_ += is_there ? literal.size() : 0;
    return is_there;
  }

  // place_: at the opening quote. Appends to `out`.
  bool ReadString(std::string& out) {
    ++place_;
    for (;;) {
      const size_t special = FindStringSpecial(text_, place_);
      const std::string_view run = text_.substr(place_, special - place_);
      if (!IsUtf8(run)) {
        return false;
      }
      out.append(run);
      place_ = special;
      if (Take('"')) {
        return true;
      }
      if (!Take('\\') || !ReadEscape(out)) {
        return false;
      }
    }
  }

  // place_: behind the backslash.
  bool ReadEscape(std::string& out) {
    static constexpr std::string_view kEscapes = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    if (Take('u')) {
      return ReadCodePoint(out);
    }
    const size_t which =
        place_ < text_.size() ? kEscapes.find(text_[place_]) : std::string_view::npos;
    if (which == std::string_view::npos) {
      return false;
    }
    out.push_back(kMeanings[which]);
    ++place_;
    return true;
  }

  bool ReadCodePoint(std::string& out) {
    std::optional<uint32_t> code = ReadHex();
    if (code.has_value() && *code >= 0xD800 && *code <= 0xDBFF) {
      const bool has_second = Take('\\') && Take('u');
      const std::optional<uint32_t> second = has_second ? ReadHex() : std::nullopt;
      if (!second.has_value() || *second < 0xDC00 || *second > 0xDFFF) {
        return false;
      }
      *code = 0x10000 + ((*code - 0xD800) << 10) + (*second - 0xDC00);
    } else if (!code.has_value() || (*code >= 0xDC00 && *code <= 0xDFFF)) {
      return false;
    }
    AppendUtf8(*code, out);
    return true;
  }

  std::optional<uint32_t> ReadHex() {
    uint32_t value = 0;
    for (int i = 0; i < 4; ++i, ++place_) {
      const int digit = place_ < text_.size() ? HexDigit(text_[place_]) : -1;
      if (digit < 0) {
        return std::nullopt;
      }
      value = value << 4 | static_cast<uint32_t>(digit);
    }
    return value;
  }

  bool ReadNumber() {
    const size_t end = SkipNumber(text_, place_);
    if (end == kBroken) {
      return false;
    }
    const char* const from = text_.data() + place_;
    const char* const to = text_.data() + end;
    place_ = end;
    // A whole number that fits is kept as it is.
    uint64_t natural = 0;
    if (const auto read = std::from_chars(from, to, natural);
        read.ec == std::errc() && read.ptr == to) {
      return Put(Json(natural));
    }
    int64_t whole = 0;
    if (const auto read = std::from_chars(from, to, whole);
        read.ec == std::errc() && read.ptr == to) {
      return Put(Json(whole));
    }
    double number = 0;
    const auto read = absl::from_chars(from, to, number);
    const bool is_too_large = read.ec == std::errc::result_out_of_range && std::abs(number) > 1;
    return !is_too_large && Put(Json(number));
  }

  bool Count() {
    if (++values_ > kMaxJsonValues) {
      problem_ = absl::StrCat("has more than ", kMaxJsonValues, " values");
      return false;
    }
    return true;
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    auto& members = parent.get_ref<Json::object_t&>();
    return &members.emplace_back(std::move(name_), std::move(value)).second;
  }

  bool Put(Json value) {
    if (!Count()) {
      return false;
    }
    Place(std::move(value));
    return true;
  }

  // place_: at the bracket.
  bool Open(Json empty, char end) {
    if (!Count()) {
      return false;
    }
    if (open_.size() == kMaxJsonDepth) {
      problem_ = absl::StrCat("is nested deeper than ", kMaxJsonDepth, " levels");
      return false;
    }
    Json* const placed = Place(std::move(empty));
    place_ = SkipSpace(text_, place_ + 1);
    is_open_ = !Take(end);
    if (is_open_) {
      open_.push_back(placed);
    }
    return true;
  }

  const std::string_view text_;
  size_t place_ = 0;
  bool is_open_ = false;  // the value that was read last is a container that goes on
  Json root_;
  std::vector<Json*> open_;  // a list grows only while its last item is closed
  std::string name_;
  size_t values_ = 0;
  std::string problem_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text) { return Parser(text).Run(); }

std::string DumpJson(const Json& value) {
  std::string text;
  AppendJson(value, text);
  return text;
}

// Strings are most of what is printed, images above all: they are copied in long runs, where the
// library goes byte by byte.
void AppendJson(const Json& value, std::string& out) {
  char separator = 0;
  const auto separate = [&out, &separator] {
    if (separator != 0) {
      out.push_back(separator);
    }
    separator = ',';
  };
  switch (value.type()) {
    case Json::value_t::string:
      AppendJsonText(value.get_ref<const std::string&>(), out);
      break;
    case Json::value_t::array:
      out.push_back('[');
      for (const Json& item : value) {
        separate();
        AppendJson(item, out);
      }
      out.push_back(']');
      break;
    case Json::value_t::object:
      out.push_back('{');
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        separate();
        AppendJsonText(name, out);
        out.push_back(':');
        AppendJson(member, out);
      }
      out.push_back('}');
      break;
    default:
      out.append(value.dump());
  }
}

void AppendJsonText(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  size_t place = 0;
  while (place < text.size()) {
    const size_t special = FindStringSpecial(text, place);
    out.append(text.substr(place, special - place));
    if (special == text.size()) {
      break;
    }
    const char c = text[special];
    if (c == '\n') {
      out.append("\\n");
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else {
      out.append("\\u00");
      out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
      out.push_back(kHex[c & 15]);
    }
    place = special + 1;
  }
  out.push_back('"');
}

const Json* Find(const Json& object, std::string_view name) {
  if (!object.is_object()) {
    return nullptr;
  }
  for (const auto& [member, value] : object.get_ref<const Json::object_t&>()) {
    if (member == name) {
      return value.is_null() ? nullptr : &value;
    }
  }
  return nullptr;
}

std::string_view FindText(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_string()
             ? std::string_view(value->get_ref<const std::string&>())
             : std::string_view();
}

std::optional<uint64_t> FindCount(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_number_integer()) {
    return std::nullopt;
  }
  if (value->is_number_unsigned()) {
    return value->get<uint64_t>();
  }
  const auto number = value->get<int64_t>();
  return number < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(number));
}

bool FindFlag(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

}  // namespace rota::provider
