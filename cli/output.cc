#include "cli/output.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "fmt/format.h"

namespace rota::cli {
namespace {

constexpr std::string_view kBetweenColumns = "   ";

// Characters as a terminal shows them: every byte that does not continue a UTF-8 sequence.
size_t WidthOf(std::string_view text) {
  return static_cast<size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

std::string_view EscapeOf(Colour colour) {
  switch (colour) {
    case Colour::kNone:
      return "";
    case Colour::kGood:
      return "\x1b[32m";
    case Colour::kBad:
      return "\x1b[31m";
    case Colour::kDim:
      return "\x1b[2m";
  }
  return "";
}

void AppendLine(std::string& text, const std::vector<Cell>& cells,
                const std::vector<size_t>& widths, Style style) {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    const std::string shown = cells[i].text.empty() ? "-" : Printable(cells[i].text);
    line += Coloured(shown, cells[i].colour, style);
    if (i + 1 < cells.size()) {
      line.append(widths[i] - WidthOf(shown), ' ');
      line += kBetweenColumns;
    }
  }
  text += line + "\n";
}

// A word that YAML reads as nothing but a string.
bool IsPlainWord(const std::string& text) {
  static const std::array<std::string_view, 11> kMeaningful = {
      "true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan", "inf"};
  std::string lower = text;
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  return !text.empty() && is_letter(lower.front()) &&
         std::all_of(lower.begin(), lower.end(),
                     [&](char c) {
                       return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                              c == '.' || c == '/';
                     }) &&
         std::find(kMeaningful.begin(), kMeaningful.end(), lower) == kMeaningful.end();
}

void Emit(YAML::Emitter& out, const Json& value) {
  if (value.is_object()) {
    if (value.empty()) {
      out << YAML::Flow;
    }
    out << YAML::BeginMap;
    for (const auto& [key, member] : value.items()) {
      out << YAML::Key << key << YAML::Value;
      Emit(out, member);
    }
    out << YAML::EndMap;
  } else if (value.is_array()) {
    if (value.empty()) {
      out << YAML::Flow;
    }
    out << YAML::BeginSeq;
    for (const Json& element : value) {
      Emit(out, element);
    }
    out << YAML::EndSeq;
  } else if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    if (IsPlainWord(text)) {
      out << text;
    } else {
      out << YAML::DoubleQuoted << text;
    }
  } else if (value.is_null()) {
    out << YAML::Null;
  } else {
    out << value.dump();  // true, 12, 0.5: the same in both
  }
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string shown(text);
  for (size_t i = 0; i < shown.size(); ++i) {
    const auto byte = static_cast<uint8_t>(shown[i]);
    // C1 controls are two bytes in UTF-8: C2 80 to C2 9F.
    const bool is_c1 = byte >= 0x80 && byte < 0xA0 && i > 0 && shown[i - 1] == '\xC2';
    if (byte < 0x20 || byte == 0x7F || is_c1) {
      shown[i] = '?';
    }
    if (is_c1) {
      shown[i - 1] = '?';
    }
  }
  return shown;
}

std::string Coloured(std::string_view text, Colour colour, Style style) {
  if (!style.colours || colour == Colour::kNone) {
    return std::string(text);
  }
  return std::string(EscapeOf(colour)) + std::string(text) + "\x1b[0m";
}

std::string Table::Print(Style style) const {
  std::vector<size_t> widths;
  for (size_t column = 0; column < header_.size(); ++column) {
    size_t width = WidthOf(header_[column]);
    for (const std::vector<Cell>& row : rows_) {
      width = std::max({width, WidthOf(Printable(row[column].text)), size_t{1}});
    }
    widths.push_back(width);
  }
  std::string text;
  AppendLine(text, {header_.begin(), header_.end()}, widths, Style{});
  for (const std::vector<Cell>& row : rows_) {
    AppendLine(text, row, widths, style);
  }
  return text;
}

std::string FormatSeconds(double seconds) {
  const auto whole = static_cast<uint64_t>(std::ceil(std::max(seconds, 0.0)));
  const uint64_t days = whole / 86400;
  const uint64_t hours = whole / 3600 % 24;
  const uint64_t minutes = whole / 60 % 60;
  if (days > 0) {
    return fmt::format("{}d{}h", days, hours);
  }
  if (hours > 0) {
    return fmt::format("{}h{}m", hours, minutes);
  }
  return minutes > 0 ? fmt::format("{}m{}s", minutes, whole % 60) : fmt::format("{}s", whole);
}

std::string FormatShare(double share) {
  const double percent = std::round(share * 1000) / 10;
  return percent == std::round(percent) ? fmt::format("{:.0f}%", percent)
                                        : fmt::format("{:.1f}%", percent);
}

std::string FormatRate(double per_second) {
  if (per_second == 0) {
    return "0";
  }
  const int decimals = per_second < 1 ? 2 : per_second < 100 ? 1 : 0;
  return fmt::format("{:.{}f}", per_second, decimals);
}

std::string ToJson(const Json& value, bool one_line) {
  return value.dump(one_line ? -1 : 2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string ToYaml(const Json& value) {
  YAML::Emitter out;
  Emit(out, value);
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace rota::cli
