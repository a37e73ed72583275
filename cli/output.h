#pragma once

// How answers are printed: aligned tables for people, JSON and YAML for programs. What comes from
// elsewhere cannot steer the terminal: control characters are shown as '?'.
//
// Pure. Thread-compatible.

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"

namespace rota::cli {

using Json = nlohmann::ordered_json;

enum class Format { kTable, kJson, kYaml };

enum class Colour { kNone, kGood, kBad, kDim };

struct Style {
  bool colours = false;
};

struct Cell {
  Cell(std::string the_text, Colour the_colour = Colour::kNone)  // NOLINT: a text is a cell
      : text(std::move(the_text)), colour(the_colour) {}
  Cell(const char* the_text, Colour the_colour = Colour::kNone)  // NOLINT
      : text(the_text), colour(the_colour) {}
  std::string text;
  Colour colour;
};

class Table {
 public:
  explicit Table(std::vector<std::string> header) : header_(std::move(header)) {}
  // REQUIRES: as many cells as the header has.
  void Add(std::vector<Cell> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.empty(); }
  // A header and one line per row; an empty cell is shown as "-".
  std::string Print(Style style) const;

 private:
  std::vector<std::string> header_;
  std::vector<std::vector<Cell>> rows_;
};

// Without control characters, in that colour.
std::string Printable(std::string_view text);
std::string Coloured(std::string_view text, Colour colour, Style style);

// "41s", "1h2m": whole seconds, two units at most.
std::string FormatSeconds(double seconds);
// "50%", "33.3%".
std::string FormatShare(double share);
// "0.42", "12.3", "1234".
std::string FormatRate(double per_second);

// One line, or indented.
std::string ToJson(const Json& value, bool one_line);
std::string ToYaml(const Json& value);

}  // namespace rota::cli
