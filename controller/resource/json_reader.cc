#include "controller/resource/json_reader.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/resource/tree_builder.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

// Where the reader is. The lexer looks one character past a number, so that a number at the end of
// a line would seem to stand on the next one: `previous_was_newline` tells.
struct Cursor {
  int line = 1;
  int column = 0;
  bool previous_was_newline = false;
};

// An input iterator that keeps the cursor.
class CountingIterator {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, Cursor* cursor) : at_(at), cursor_(cursor) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    cursor_->previous_was_newline = *at_ == '\n';
    if (*at_ == '\n') {
      ++cursor_->line;
      cursor_->column = 0;
    } else {
      ++cursor_->column;
    }
    ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    CountingIterator before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

 private:
  const char* at_;
  Cursor* cursor_;
};

// nlohmann's SAX interface (its method names).
class JsonReader {
 public:
  JsonReader(TreeBuilder& builder, const Cursor& cursor) : builder_(builder), cursor_(cursor) {}

  bool null() { return Add(nullptr); }
  bool boolean(bool value) { return Add(value); }
  bool number_integer(int64_t value) { return Add(value); }
  bool number_unsigned(uint64_t value) {
    return value <= static_cast<uint64_t>(INT64_MAX) ? Add(static_cast<int64_t>(value))
                                                     : Add(value);
  }
  bool number_float(double value, const std::string&) {
    constexpr double kLimit = 9.2e18;
    const bool whole = value > -kLimit && value < kLimit &&
                       value == static_cast<double>(static_cast<int64_t>(value));
    return whole ? Add(static_cast<int64_t>(value)) : Add(value);
  }
  bool string(std::string& value) { return Add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }
  bool key(std::string& value) { return Add(std::move(value)); }
  bool start_object(size_t) { return Start(true); }
  bool start_array(size_t) { return Start(false); }
  bool end_object() { return End(); }
  bool end_array() { return End(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) {
    error_ =
        ReadError{At().line, At().column,
                  "not readable JSON: unexpected text here; check commas, quotes and brackets"};
    return false;
  }

  const ReadError& error() const { return error_; }

 private:
  Position At() const {
    return {cursor_.line - (cursor_.previous_was_newline ? 1 : 0), std::max(cursor_.column, 1)};
  }
  bool Add(Json value) {
    builder_.Scalar(std::move(value), At());
    return true;
  }
  bool Start(bool is_map) {
    builder_.Start(is_map, At());
    return true;
  }
  bool End() {
    builder_.End();
    return true;
  }

  TreeBuilder& builder_;
  const Cursor& cursor_;
  ReadError error_;
};

}  // namespace

std::optional<DocumentProblem> ReadJson(std::string_view text, const DocumentLimits& limits,
                                        Trees& result) {
  size_t nodes_left = limits.max_nodes;
  TreeBuilder builder(limits, nodes_left);
  Cursor cursor;
  JsonReader reader(builder, cursor);
  try {
    const char* const end = text.data() + text.size();
    if (!Json::sax_parse(CountingIterator(text.data(), &cursor), CountingIterator(end, &cursor),
                         &reader)) {
      const ReadError& error = reader.error();
      return DocumentProblem{error.line, error.column, error.message};
    }
  } catch (const ReadError& error) {
    return DocumentProblem{error.line, error.column,
                           absl::StrCat("not readable JSON: ", error.message)};
  } catch (const std::exception& error) {
    return DocumentProblem{0, 0, absl::StrCat("not readable JSON: ", error.what())};
  }
  result.trees.push_back(std::move(builder).Take());
  return std::nullopt;
}

}  // namespace rota::resource
