#include "dataplane/provider/stream_usage.h"

#include <algorithm>
#include <cstring>

#include "dataplane/provider/json_scan.h"
#include "dataplane/provider/usage.h"

namespace rota::provider {
namespace {

constexpr std::string_view kOptions = R"("stream_options":{"include_usage":true},)";
constexpr std::string_view kOptionsValue = R"({"include_usage":true})";
constexpr std::string_view kOnlyMember = R"("include_usage":true)";
constexpr std::string_view kFirstMember = R"("include_usage":true,)";
constexpr std::string_view kTrue = "true";

// The change of an object `stream_options` that begins at `begin` of the body.
std::optional<BodyEdit> AskInside(std::string_view options, size_t begin) {
  size_t asked = 0;
  bool is_empty = true;
  JsonMember member;
  const bool is_whole = ForEachMember(options, [&](const JsonMember& each) {
    is_empty = false;
    if (IsCalled(each, "include_usage")) {
      member = each;
      ++asked;
    }
  });
  if (!is_whole || asked > 1) {
    return std::nullopt;
  }
  if (asked == 0) {
    return BodyEdit{begin + 1, begin + 1, is_empty ? kOnlyMember : kFirstMember};
  }
  const std::string_view value = options.substr(member.value, member.end - member.value);
  if (value != "false" && value != "null") {
    return std::nullopt;
  }
  return BodyEdit{begin + member.value, begin + member.end, kTrue};
}

// The value at `place` is an empty list.
bool IsEmptyList(std::string_view text, size_t place) {
  if (place >= text.size() || text[place] != '[') {
    return false;
  }
  place = SkipSpace(text, place + 1);
  return place < text.size() && text[place] == ']';
}

// Whether there may be a chunk that only says usage: nearly no piece of a stream has one.
bool MayHoldUsageChunk(std::string_view text) {
  static constexpr std::string_view kChoices = "\"choices\"";
  if (!MayHoldUsage(text)) {
    return false;
  }
  while (const void* found = memmem(text.data(), text.size(), kChoices.data(), kChoices.size())) {
    const auto at = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    const size_t colon = SkipSpace(text, at + kChoices.size());
    if (colon < text.size() && text[colon] == ':' &&
        IsEmptyList(text, SkipSpace(text, colon + 1))) {
      return true;
    }
    text.remove_prefix(at + kChoices.size());
  }
  return false;
}

// Takes the first line off `text`, its end included.
std::string_view TakeLine(std::string_view& text) {
  const size_t end = std::min(text.find_first_of("\r\n"), text.size());
  const std::string_view line = text.substr(0, end);
  const size_t line_end = text.substr(end).starts_with("\r\n") ? 2 : 1;
  text.remove_prefix(std::min(end + line_end, text.size()));
  return line;
}

bool OnlySaysUsage(std::string_view data) {
  bool has_no_choices = false;
  bool has_usage = false;
  const bool is_whole = ForEachMember(data, [&](const JsonMember& member) {
    if (IsCalled(member, "choices")) {
      has_no_choices = IsEmptyList(data, member.value);
    } else if (IsCalled(member, "usage")) {
      has_usage = data[member.value] == '{';
    }
  });
  return is_whole && has_no_choices && has_usage;
}

// Takes the first event off `text`, its empty line included; says whether it is such a chunk.
bool TakeUsageChunk(std::string_view& text) {
  std::string_view data;
  size_t data_lines = 0;
  while (!text.empty()) {
    const std::string_view line = TakeLine(text);
    if (line.empty()) {
      break;
    }
    if (line.starts_with("data:")) {
      data = line.substr(5);
      ++data_lines;
    }
  }
  return data_lines == 1 && OnlySaysUsage(data);
}

}  // namespace

std::optional<BodyEdit> AskForUsage(std::string_view body, const ModelSpan& span) {
  if (!span.stream || span.stream_options_count > 1) {
    return std::nullopt;
  }
  if (span.stream_options_count == 0) {
    const size_t behind_brace = body.find('{') + 1;
    return BodyEdit{behind_brace, behind_brace, kOptions};
  }
  const size_t begin = span.stream_options_begin;
  const std::string_view value = body.substr(begin, span.stream_options_end - begin);
  if (value == "null") {
    return BodyEdit{begin, span.stream_options_end, kOptionsValue};
  }
  return value.starts_with('{') ? AskInside(value, begin) : std::nullopt;
}

std::string_view WithoutUsageChunks(std::string_view events, std::string& buffer) {
  if (!MayHoldUsageChunk(events)) {
    return events;
  }
  buffer.clear();
  for (std::string_view rest = events; !rest.empty();) {
    const std::string_view from = rest;
    if (!TakeUsageChunk(rest)) {
      buffer.append(from.substr(0, from.size() - rest.size()));
    }
  }
  return buffer;
}

}  // namespace rota::provider
