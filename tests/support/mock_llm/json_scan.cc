#include "tests/support/mock_llm/json_scan.h"

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

constexpr int kMaxDepth = 256;

bool IsHex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Reads from `at_` on; every function returns false after having noted what was expected.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  absl::StatusOr<std::vector<JsonMember>> Run() {
    std::vector<JsonMember> members;
    members.reserve(8);
    SkipSpace();
    bool good = Object(0, &members);
    if (good) {
      SkipSpace();
      good = at_ == text_.size() || Expected("the end of the text");
    }
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat("at byte ", at_, ": expected ", expected_));
    }
    return members;
  }

 private:
  bool Expected(const char* what) {
    expected_ = what;
    return false;
  }
  bool AtEnd() const { return at_ >= text_.size(); }
  bool Take(char c) {
    if (AtEnd() || text_[at_] != c) {
      return false;
    }
    ++at_;
    return true;
  }
  void SkipSpace() {
    while (!AtEnd() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
  }

  bool Object(int depth, std::vector<JsonMember>* members) {
    if (!Take('{')) {
      return Expected("an object");
    }
    SkipSpace();
    if (Take('}')) {
      return true;
    }
    while (true) {
      SkipSpace();
      const size_t key = at_;
      if (!String()) {
        return false;
      }
      const size_t key_end = at_;
      SkipSpace();
      if (!Take(':')) {
        return Expected("':'");
      }
      SkipSpace();
      const size_t value = at_;
      if (!Value(depth + 1)) {
        return false;
      }
      if (members != nullptr) {
        members->push_back(
            {text_.substr(key + 1, key_end - key - 2), text_.substr(value, at_ - value)});
      }
      SkipSpace();
      if (Take('}')) {
        return true;
      }
      if (!Take(',')) {
        return Expected("',' or '}'");
      }
    }
  }

  bool Array(int depth) {
    ++at_;  // the bracket
    SkipSpace();
    if (Take(']')) {
      return true;
    }
    while (true) {
      SkipSpace();
      if (!Value(depth + 1)) {
        return false;
      }
      SkipSpace();
      if (Take(']')) {
        return true;
      }
      if (!Take(',')) {
        return Expected("',' or ']'");
      }
    }
  }

  bool Value(int depth) {
    if (depth > kMaxDepth) {
      return Expected("less nesting");
    }
    if (AtEnd()) {
      return Expected("a value");
    }
    switch (text_[at_]) {
      case '{':
        return Object(depth, nullptr);
      case '[':
        return Array(depth);
      case '"':
        return String();
      case 't':
        return Word("true");
      case 'f':
        return Word("false");
      case 'n':
        return Word("null");
      default:
        return Number();
    }
  }

  bool Word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) {
      return Expected("a value");
    }
    at_ += word.size();
    return true;
  }

  bool Digits() {
    const size_t start = at_;
    while (!AtEnd() && IsDigit(text_[at_])) {
      ++at_;
    }
    return at_ > start || Expected("a digit");
  }

  bool Number() {
    Take('-');
    if (AtEnd() || !IsDigit(text_[at_])) {
      return Expected("a value");
    }
    if (!Take('0') && !Digits()) {
      return false;
    }
    if (Take('.') && !Digits()) {
      return false;
    }
    if (!AtEnd() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (!Take('+')) {
        Take('-');
      }
      return Digits();
    }
    return true;
  }

  bool String() {
    if (!Take('"')) {
      return Expected("a string");
    }
    while (!AtEnd()) {
      const char c = text_[at_++];
      if (c == '"') {
        return true;
      }
      if (static_cast<unsigned char>(c) < 0x20) {
        --at_;
        return Expected("no control byte in a string");
      }
      if (c == '\\' && !Escape()) {
        return false;
      }
    }
    return Expected("'\"'");
  }

  bool Escape() {
    if (AtEnd()) {
      return Expected("an escape");
    }
    const char c = text_[at_];
    if (c == 'u') {
      for (size_t i = 1; i <= 4; ++i) {
        if (at_ + i >= text_.size() || !IsHex(text_[at_ + i])) {
          return Expected("four hex digits");
        }
      }
      at_ += 5;
      return true;
    }
    if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos) {
      return Expected("an escape");
    }
    ++at_;
    return true;
  }

  std::string_view text_;
  size_t at_ = 0;
  const char* expected_ = "";
};

}  // namespace

absl::StatusOr<std::vector<JsonMember>> ScanObject(std::string_view text) {
  return Scanner(text).Run();
}

std::string_view FindMember(const std::vector<JsonMember>& members, std::string_view key) {
  for (const JsonMember& member : members) {
    if (member.key == key) {
      return member.value;
    }
  }
  return {};
}

absl::StatusOr<std::string> DecodeString(std::string_view raw) {
  if (raw.size() < 2 || raw.front() != '"') {
    return absl::InvalidArgumentError("expected a string");
  }
  if (raw.find('\\') == std::string_view::npos) {
    return std::string(raw.substr(1, raw.size() - 2));
  }
  const nlohmann::json decoded = nlohmann::json::parse(raw, nullptr, /*allow_exceptions=*/false);
  if (!decoded.is_string()) {
    return absl::InvalidArgumentError("expected a string");
  }
  return decoded.get<std::string>();
}

}  // namespace rota::mock_llm
