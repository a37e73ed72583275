#include "controller/resource/scalar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>

#include "absl/strings/numbers.h"
#include "common/hex.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kStandardTag = "tag:yaml.org,2002:";

template <size_t N>
bool IsOneOf(std::string_view text, const std::array<std::string_view, N>& words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Sign, then 0x, 0b, 0o, a leading 0 (octal) or decimal digits; absent when it is none of these or
// does not fit 64 bits.
std::optional<Json> ParseInteger(std::string_view text) {
  bool negative = false;
  const bool has_sign = !text.empty() && (text.front() == '+' || text.front() == '-');
  if (has_sign) {
    negative = text.front() == '-';
    text.remove_prefix(1);
  }
  int base = 10;
  if (text.size() > 1 && text.front() == '0') {
    const char letter = static_cast<char>(text[1] | 0x20);
    base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
    text.remove_prefix(base == 8 && letter != 'o' ? 1 : 2);
  }
  if (text.empty()) {
    return std::nullopt;
  }
  uint64_t value = 0;
  for (const char c : text) {
    const int digit = HexDigit(c);
    if (digit < 0 || digit >= base ||
        value > (std::numeric_limits<uint64_t>::max() - static_cast<uint64_t>(digit)) /
                    static_cast<uint64_t>(base)) {
      return std::nullopt;
    }
    value = value * static_cast<uint64_t>(base) + static_cast<uint64_t>(digit);
  }
  constexpr uint64_t kMaxInt = std::numeric_limits<int64_t>::max();
  if (value <= kMaxInt) {
    const auto small = static_cast<int64_t>(value);
    return Json(negative ? -small : small);
  }
  if (negative) {
    return value == kMaxInt + 1 ? std::optional<Json>(std::numeric_limits<int64_t>::min())
                                : std::nullopt;
  }
  return has_sign ? std::nullopt : std::optional<Json>(value);
}

size_t SkipDigits(std::string_view text, size_t at) {
  while (at < text.size() && IsDigit(text[at])) {
    ++at;
  }
  return at;
}

// [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?
bool LooksLikeFloat(std::string_view text) {
  size_t at = !text.empty() && (text[0] == '+' || text[0] == '-') ? 1 : 0;
  const size_t whole_end = SkipDigits(text, at);
  const bool has_whole = whole_end > at;
  at = whole_end;
  if (at < text.size() && text[at] == '.') {
    const size_t fraction_end = SkipDigits(text, at + 1);
    if (!has_whole && fraction_end == at + 1) {
      return false;
    }
    at = fraction_end;
  } else if (!has_whole) {
    return false;
  }
  if (at < text.size() && (text[at] == 'e' || text[at] == 'E')) {
    ++at;
    if (at < text.size() && (text[at] == '+' || text[at] == '-')) {
      ++at;
    }
    const size_t exponent_end = SkipDigits(text, at);
    if (exponent_end == at) {
      return false;
    }
    at = exponent_end;
  }
  return at == text.size();
}

// A whole number becomes an integer, as it does on its way through JSON to the API server.
Json FromDouble(double value) {
  constexpr double kLimit = 9.2e18;
  if (std::trunc(value) == value && std::abs(value) < kLimit) {
    return static_cast<int64_t>(value);
  }
  return value;
}

std::optional<Json> ParseFloat(const std::string& text) {
  double value = 0;
  if (!LooksLikeFloat(text) || !absl::SimpleAtod(text, &value) || !std::isfinite(value)) {
    return std::nullopt;
  }
  return FromDouble(value);
}

bool IsTrueWord(std::string_view text) {
  static constexpr std::array<std::string_view, 11> kTrue = {
      "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"};
  return IsOneOf(text, kTrue);
}

bool IsFalseWord(std::string_view text) {
  static constexpr std::array<std::string_view, 11> kFalse = {
      "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"};
  return IsOneOf(text, kFalse);
}

bool IsNullWord(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kNull = {"", "~", "null", "Null", "NULL"};
  return IsOneOf(text, kNull);
}

bool HasNoJsonForm(std::string_view text) {
  static constexpr std::array<std::string_view, 12> kWords = {".nan",  ".NaN",  ".NAN",  ".inf",
                                                              ".Inf",  ".INF",  "+.inf", "+.Inf",
                                                              "+.INF", "-.inf", "-.Inf", "-.INF"};
  return IsOneOf(text, kWords);
}

}  // namespace

std::optional<Json> ResolvePlainScalar(const std::string& text) {
  if (IsNullWord(text)) return Json(nullptr);
  if (IsTrueWord(text)) return Json(true);
  if (IsFalseWord(text)) return Json(false);
  if (HasNoJsonForm(text)) return std::nullopt;
  const char first = text.front();
  if (!IsDigit(first) && first != '+' && first != '-' && first != '.') {
    return Json(text);
  }
  std::string digits = text;
  digits.erase(std::remove(digits.begin(), digits.end(), '_'), digits.end());
  if (std::optional<Json> integer = ParseInteger(digits)) {
    return integer;
  }
  return ParseFloat(digits).value_or(Json(text));
}

std::optional<Json> ResolveTaggedScalar(std::string_view tag, const std::string& text) {
  if (tag.substr(0, kStandardTag.size()) != kStandardTag) {
    return std::nullopt;
  }
  tag.remove_prefix(kStandardTag.size());
  if (tag == "str" || tag == "timestamp") {
    return Json(text);
  }
  std::optional<Json> value = ResolvePlainScalar(text);
  const bool fits =
      value &&
      ((tag == "int" && value->is_number_integer()) || (tag == "float" && value->is_number()) ||
       (tag == "bool" && value->is_boolean()) || (tag == "null" && value->is_null()));
  return fits ? value : std::nullopt;
}

std::optional<std::string> KeyOf(const Json& scalar) {
  if (scalar.is_string()) {
    return scalar.get<std::string>();
  }
  if (scalar.is_boolean() || scalar.is_number()) {
    return scalar.dump();
  }
  return std::nullopt;
}

}  // namespace rota::resource
