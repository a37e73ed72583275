#include "controller/resource/tree.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/resource/json_reader.h"
#include "controller/resource/scalar.h"
#include "controller/resource/tree_builder.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

// yaml-cpp gives no mark for what is not written down (line -1).
Position PositionOf(const YAML::Mark& mark) {
  return mark.is_null() ? Position{} : Position{mark.line + 1, mark.column + 1};
}

std::string_view LineAt(std::string_view text, size_t start) {
  return text.substr(start, text.find('\n', start) - start);
}

// True when the token at `position` is a `---`, or the first one after a line `...`.
bool BeginsDocument(std::string_view text, size_t position) {
  if (position >= text.size() || text.substr(position, 3) == "---") {
    return true;
  }
  size_t start = text.rfind('\n', position);
  while (start != std::string_view::npos && start > 0) {
    const size_t previous = text.rfind('\n', start - 1);
    const size_t line_start = previous == std::string_view::npos ? 0 : previous + 1;
    const std::string_view line = LineAt(text, line_start);
    const size_t first = line.find_first_not_of(" \t\r");
    if (first != std::string_view::npos && line[first] != '#') {
      return line.substr(0, 3) == "...";
    }
    start = previous;
  }
  return false;
}

// True when the scalar at `position` (its anchor or tag first) opens a quote that never closes.
bool IsUnterminated(std::string_view text, size_t position) {
  size_t at = position;
  while (at < text.size() && (text[at] == '&' || text[at] == '!')) {
    at = text.find_first_of(" \t\r\n", at);
    at = text.find_first_not_of(" \t\r\n", at);
  }
  if (at >= text.size() || (text[at] != '"' && text[at] != '\'')) {
    return false;
  }
  const char quote = text[at];
  for (++at; at < text.size(); ++at) {
    if (quote == '"' && text[at] == '\\') {
      ++at;
    } else if (text[at] == quote) {
      if (quote == '"' || at + 1 >= text.size() || text[at + 1] != quote) {
        return false;
      }
      ++at;  // '' is one quote inside
    }
  }
  return true;
}

// Turns yaml-cpp's events into builder calls.
class YamlReader : public YAML::EventHandler {
 public:
  YamlReader(std::string_view text, const DocumentLimits& limits, size_t& nodes_left)
      : text_(text),
        limits_(limits),
        nodes_left_(nodes_left),
        builder_(std::in_place, limits, nodes_left) {}

  void OnDocumentStart(const YAML::Mark& mark) override {
    // yaml-cpp takes what follows a finished list or map for the next document.
    if (!is_first_ && !BeginsDocument(text_, static_cast<size_t>(mark.pos))) {
      const Position at = PositionOf(mark);
      throw ReadError{at.line, at.column,
                      "text after the end of the value; separate documents by ---, or remove it"};
    }
    is_first_ = false;
    builder_.emplace(limits_, nodes_left_);
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    builder_->Scalar(nullptr, PositionOf(mark), anchor);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    builder_->Alias(anchor, PositionOf(mark));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    const Position at = PositionOf(mark);
    last_scalar_ = mark;
    if (tag == "!" || tag.empty()) {
      builder_->Scalar(text, at, anchor);
      return;
    }
    const bool plain = tag == "?";
    std::optional<Json> value = plain ? ResolvePlainScalar(text) : ResolveTaggedScalar(tag, text);
    if (!value) {
      throw ReadError{at.line, at.column,
                      plain
                          ? std::string("infinity and not-a-number have no place in JSON; write a "
                                        "number, or quote the text")
                          : absl::StrCat("the tag ", tag.substr(0, 64),
                                         " is not supported or does not fit its value; remove it")};
    }
    builder_->Scalar(*std::move(value), at, anchor, plain);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckContainerTag(tag, "tag:yaml.org,2002:seq", PositionOf(mark));
    builder_->Start(false, PositionOf(mark), anchor);
  }
  void OnSequenceEnd() override { builder_->End(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckContainerTag(tag, "tag:yaml.org,2002:map", PositionOf(mark));
    builder_->Start(true, PositionOf(mark), anchor);
  }
  void OnMapEnd() override { builder_->End(); }

  Tree Take() { return std::move(*builder_).Take(); }

  // yaml-cpp lets a quoted scalar end with the file, quote or no quote: only the last one can.
  void CheckLastScalar() const {
    if (!last_scalar_.is_null() && IsUnterminated(text_, static_cast<size_t>(last_scalar_.pos))) {
      const Position at = PositionOf(last_scalar_);
      throw ReadError{at.line, at.column, "a quote opens here and never closes; close it"};
    }
  }

 private:
  static void CheckContainerTag(const std::string& tag, std::string_view expected, Position at) {
    if (!tag.empty() && tag != "?" && tag != "!" && tag != expected) {
      throw ReadError{
          at.line, at.column,
          absl::StrCat("the tag ", tag.substr(0, 64), " is not supported here; remove it")};
    }
  }

  std::string_view text_;
  const DocumentLimits& limits_;
  size_t& nodes_left_;
  std::optional<TreeBuilder> builder_;
  bool is_first_ = true;
  YAML::Mark last_scalar_ = YAML::Mark::null_mark();
};

DocumentProblem Unreadable(int line, int column, std::string_view what) {
  return {line, column,
          absl::StrCat("not readable YAML: ", absl::string_view(what.data(), what.size()))};
}

void ReadYaml(std::string_view text, const DocumentLimits& limits, Trees& result) {
  size_t nodes_left = limits.max_nodes;
  try {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    YamlReader reader(text, limits, nodes_left);
    while (parser.HandleNextDocument(reader)) {
      reader.CheckLastScalar();
      Tree tree = reader.Take();
      if (tree.root.is_null()) {
        continue;
      }
      if (result.trees.size() >= limits.max_documents) {
        result.problems.push_back(
            {tree.line, 1,
             absl::StrCat("more than ", limits.max_documents, " documents; split the file")});
        return;
      }
      result.trees.push_back(std::move(tree));
    }
  } catch (const ReadError& error) {
    result.problems.push_back(Unreadable(error.line, error.column, error.message));
  } catch (const YAML::Exception& error) {
    result.problems.push_back(
        Unreadable(error.mark.line + 1, error.mark.column + 1,
                   absl::StrCat(error.msg, "; check indentation, quotes and colons there")));
  } catch (const std::exception& error) {
    result.problems.push_back(Unreadable(0, 0, error.what()));
  }
}

// YAML forbids most control characters, and yaml-cpp takes some of them for the end of the input.
bool IsForbidden(unsigned char c) {
  return (c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f;
}

// The length of the UTF-8 sequence at the start of `text`; 0 when it is not valid.
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  const unsigned char second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  return length;
}

std::optional<DocumentProblem> CheckText(std::string_view text, const DocumentLimits& limits) {
  if (text.size() > limits.max_bytes) {
    return DocumentProblem{0, 0,
                           absl::StrCat("the file has ", text.size(), " bytes, more than ",
                                        limits.max_bytes, "; split it into several files")};
  }
  int line = 1;
  size_t line_start = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t length = Utf8Length(text.substr(i));
    const int column = static_cast<int>(i - line_start) + 1;
    if (length == 0) {
      return Unreadable(line, column, "this is not UTF-8; save the file as UTF-8");
    }
    if (length == 1 && IsForbidden(static_cast<unsigned char>(text[i]))) {
      return Unreadable(line, column,
                        "a control character; remove it (or escape it in double quotes)");
    }
    if (text[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
    i += length;
  }
  return std::nullopt;
}

}  // namespace

Trees ParseTrees(std::string_view text, const DocumentLimits& limits) {
  Trees result;
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (text.starts_with(kByteOrderMark)) {
    text.remove_prefix(kByteOrderMark.size());
  }
  if (std::optional<DocumentProblem> problem = CheckText(text, limits)) {
    result.problems.push_back(*std::move(problem));
    return result;
  }
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) {
    return result;
  }
  if (text[first] == '{') {
    // JSON may hold what yaml-cpp does not take (surrogate pairs, tabs), YAML in braces is no JSON.
    std::optional<DocumentProblem> json_problem = ReadJson(text, limits, result);
    if (!json_problem) {
      return result;
    }
    ReadYaml(text, limits, result);
    if (!result.problems.empty()) {
      result = Trees{};
      result.problems.push_back(*std::move(json_problem));
    }
    return result;
  }
  ReadYaml(text, limits, result);
  return result;
}

}  // namespace rota::resource
