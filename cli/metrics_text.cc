#include "cli/metrics_text.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"

namespace rota::cli {
namespace {

// `text` behind a label's opening quote: its value, and the rest behind the closing one.
std::optional<std::string> TakeQuoted(std::string_view& text) {
  std::string value;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"') {
      text.remove_prefix(i + 1);
      return value;
    }
    if (text[i] == '\\' && i + 1 < text.size()) {
      ++i;
      value.push_back(text[i] == 'n' ? '\n' : text[i]);
    } else {
      value.push_back(text[i]);
    }
  }
  return std::nullopt;
}

// {a="b",c="d"}; nothing of it when there is none.
bool TakeLabels(std::string_view& text, std::map<std::string, std::string>& labels) {
  if (!text.starts_with('{')) {
    return true;
  }
  text.remove_prefix(1);
  while (!text.starts_with('}')) {
    const size_t equals = text.find("=\"");
    if (equals == std::string_view::npos) {
      return false;
    }
    std::string name(text.substr(0, equals));
    text.remove_prefix(equals + 2);
    std::optional<std::string> value = TakeQuoted(text);
    if (!value.has_value()) {
      return false;
    }
    labels[std::move(name)] = *std::move(value);
    if (text.starts_with(',')) {
      text.remove_prefix(1);
    }
  }
  text.remove_prefix(1);
  return true;
}

std::optional<Sample> ParseLine(std::string_view line) {
  Sample sample;
  const size_t end = line.find_first_of("{ ");
  if (line.empty() || line.front() == '#' || end == std::string_view::npos) {
    return std::nullopt;
  }
  sample.name = std::string(line.substr(0, end));
  line.remove_prefix(end);
  if (!TakeLabels(line, sample.labels) || !line.starts_with(' ')) {
    return std::nullopt;
  }
  const std::string_view number = line.substr(1, line.find(' ', 1) - 1);
  if (!absl::SimpleAtod({number.data(), number.size()}, &sample.value)) {
    return std::nullopt;
  }
  return sample;
}

}  // namespace

Samples ParseMetrics(std::string_view text) {
  Samples samples;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (std::optional<Sample> sample = ParseLine(text.substr(0, end))) {
      samples.push_back(*std::move(sample));
    }
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return samples;
}

}  // namespace rota::cli
