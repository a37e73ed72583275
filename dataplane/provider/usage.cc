#include "dataplane/provider/usage.h"

#include <algorithm>
#include <string>

#include "dataplane/provider/json_scan.h"
#include "nlohmann/json.hpp"

namespace rota::provider {
namespace {

// A usage object is some hundred bytes; larger ones are not read.
constexpr size_t kMaxUsageObject = 16 << 10;
// Above it a count is nonsense.
constexpr uint64_t kMaxTokens = uint64_t{1} << 48;

// The object that begins at `place`; "" when it does not end or is too large.
std::string_view ObjectAt(std::string_view text, size_t place) {
  const size_t begin = place;
  size_t depth = 0;
  while (place < text.size() && place - begin < kMaxUsageObject) {
    const char c = text[place++];
    if (c == '"') {
      bool has_escape = false;
      place = SkipString(text, place, has_escape);
      if (place == kBroken) {
        return {};
      }
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return text.substr(begin, place - begin);
    }
  }
  return {};
}

// The last object that is the value of a key called `key`. Quotes inside a string are escaped, so
// that the name between bare quotes and a colon behind it is a key wherever the text begins.
std::string_view LastObjectOf(std::string_view text, std::string_view quoted_key) {
  for (size_t end = text.size(); end > 0;) {
    const size_t key = text.rfind(quoted_key, end - 1);
    if (key == std::string_view::npos) {
      return {};
    }
    size_t place = SkipSpace(text, key + quoted_key.size());
    if ((key == 0 || text[key - 1] != '\\') && place < text.size() && text[place] == ':') {
      place = SkipSpace(text, place + 1);
      if (place < text.size() && text[place] == '{') {
        return ObjectAt(text, place);
      }
    }
    end = key;
  }
  return {};
}

std::optional<uint64_t> Count(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) {
    return std::nullopt;
  }
  const uint64_t count = found->get<uint64_t>();
  return count <= kMaxTokens ? std::optional(count) : std::nullopt;
}

std::optional<uint64_t> Count(const nlohmann::json& object, const char* inner, const char* key) {
  const auto found = object.find(inner);
  return found == object.end() || !found->is_object() ? std::nullopt : Count(*found, key);
}

std::optional<uint64_t> First(std::initializer_list<std::optional<uint64_t>> counts) {
  for (const std::optional<uint64_t>& count : counts) {
    if (count.has_value()) {
      return count;
    }
  }
  return std::nullopt;
}

// Says whether there was anything.
bool Replace(std::optional<uint64_t>& value, std::optional<uint64_t> other) {
  if (other.has_value()) {
    value = other;
  }
  return other.has_value();
}

// Anthropic and Bedrock count the cached part of the prompt apart.
std::optional<uint64_t> WithCache(const nlohmann::json& object, std::optional<uint64_t> input,
                                  const char* read, const char* write) {
  const std::optional<uint64_t> read_count = Count(object, read);
  const std::optional<uint64_t> write_count = Count(object, write);
  if (!input.has_value()) {
    return std::nullopt;
  }
  return *input + read_count.value_or(0) + write_count.value_or(0);
}

// Gemini's candidates leave the thoughts out.
std::optional<uint64_t> GeminiCompletion(const nlohmann::json& object) {
  const std::optional<uint64_t> candidates = Count(object, "candidatesTokenCount");
  const std::optional<uint64_t> thoughts = Count(object, "thoughtsTokenCount");
  if (!candidates.has_value() && !thoughts.has_value()) {
    return std::nullopt;
  }
  return candidates.value_or(0) + thoughts.value_or(0);
}

bool Merge(const nlohmann::json& object, Usage& usage) {
  bool found = Replace(
      usage.prompt, First({Count(object, "prompt_tokens"), Count(object, "promptTokenCount"),
                           WithCache(object, Count(object, "input_tokens"),
                                     "cache_read_input_tokens", "cache_creation_input_tokens"),
                           WithCache(object, Count(object, "inputTokens"), "cacheReadInputTokens",
                                     "cacheWriteInputTokens")}));
  found |= Replace(usage.completion,
                   First({Count(object, "completion_tokens"), Count(object, "output_tokens"),
                          Count(object, "outputTokens"), GeminiCompletion(object)}));
  found |= Replace(
      usage.cached,
      First({Count(object, "prompt_tokens_details", "cached_tokens"),
             Count(object, "input_tokens_details", "cached_tokens"),
             Count(object, "prompt_cache_hit_tokens"), Count(object, "cache_read_input_tokens"),
             Count(object, "cacheReadInputTokens"), Count(object, "cachedContentTokenCount"),
             Count(object, "cached_tokens")}));
  found |= Replace(usage.reasoning,
                   First({Count(object, "completion_tokens_details", "reasoning_tokens"),
                          Count(object, "output_tokens_details", "reasoning_tokens"),
                          Count(object, "thoughtsTokenCount")}));
  const bool has_total =
      Replace(usage.total, First({Count(object, "total_tokens"), Count(object, "totalTokens"),
                                  Count(object, "totalTokenCount")}));
  if (!has_total && found) {
    usage.total = usage.prompt.value_or(0) + usage.completion.value_or(0);
  }
  return found || has_total;
}

}  // namespace

bool MayHoldUsage(std::string_view json) { return json.find("\"usage") != std::string_view::npos; }

bool UpdateUsage(std::string_view json, Usage& usage) {
  std::string_view text = LastObjectOf(json, "\"usage\"");
  if (text.empty()) {
    text = LastObjectOf(json, "\"usageMetadata\"");
  }
  if (text.empty()) {
    return false;
  }
  const auto object = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded() || !object.is_object()) {
    return false;
  }
  return Merge(object, usage);
}

}  // namespace rota::provider
