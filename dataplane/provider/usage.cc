#include "dataplane/provider/usage.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

// A usage object is some hundred bytes; larger ones are not read.
constexpr size_t kMaxUsageObject = 16 << 10;
// Above it a count is nonsense.
constexpr uint64_t kMaxTokens = uint64_t{1} << 48;

// What the providers call their counts.
enum Name : uint8_t {
  kPromptTokens,
  kPromptTokenCount,
  kInputTokens,
  kInputTokensBedrock,
  kCompletionTokens,
  kOutputTokens,
  kOutputTokensBedrock,
  kCandidatesTokenCount,
  kThoughtsTokenCount,
  kPromptCachedTokens,
  kInputCachedTokens,
  kPromptCacheHitTokens,
  kCacheRead,
  kCacheReadBedrock,
  kCachedContentTokenCount,
  kCachedTokens,
  kCacheCreation,
  kCacheWriteBedrock,
  kCompletionReasoningTokens,
  kOutputReasoningTokens,
  kTotalTokens,
  kTotalTokensBedrock,
  kTotalTokenCount,
  kNameCount
};
using Counts = std::array<std::optional<uint64_t>, kNameCount>;

struct KnownName {
  std::string_view parent;  // "" in the usage object itself
  std::string_view key;
  Name name;
};
constexpr KnownName kKnownNames[] = {
    {"", "inputTokens", kInputTokensBedrock},
    {"", "totalTokens", kTotalTokensBedrock},
    {"", "input_tokens", kInputTokens},
    {"", "outputTokens", kOutputTokensBedrock},
    {"", "total_tokens", kTotalTokens},
    {"", "prompt_tokens", kPromptTokens},
    {"", "output_tokens", kOutputTokens},
    {"", "cached_tokens", kCachedTokens},
    {"prompt_tokens_details", "cached_tokens", kPromptCachedTokens},
    {"input_tokens_details", "cached_tokens", kInputCachedTokens},
    {"", "totalTokenCount", kTotalTokenCount},
    {"", "promptTokenCount", kPromptTokenCount},
    {"completion_tokens_details", "reasoning_tokens", kCompletionReasoningTokens},
    {"output_tokens_details", "reasoning_tokens", kOutputReasoningTokens},
    {"", "completion_tokens", kCompletionTokens},
    {"", "thoughtsTokenCount", kThoughtsTokenCount},
    {"", "candidatesTokenCount", kCandidatesTokenCount},
    {"", "cacheReadInputTokens", kCacheReadBedrock},
    {"", "cacheWriteInputTokens", kCacheWriteBedrock},
    {"", "cache_read_input_tokens", kCacheRead},
    {"", "prompt_cache_hit_tokens", kPromptCacheHitTokens},
    {"", "cachedContentTokenCount", kCachedContentTokenCount},
    {"", "cache_creation_input_tokens", kCacheCreation},
};
static_assert(std::size(kKnownNames) == kNameCount);

// The names above are in the order of their keys' lengths: those of one length begin at
// kNamesOfLength of it and end where the next begin.
constexpr size_t kLongestKey = 27;
constexpr auto kNamesOfLength = [] {
  std::array<uint8_t, kLongestKey + 2> starts{};
  size_t name = 0;
  for (size_t length = 0; length < starts.size(); ++length) {
    starts[length] = static_cast<uint8_t>(name);
    while (name < std::size(kKnownNames) && kKnownNames[name].key.size() == length) {
      ++name;
    }
  }
  return starts;
}();
static_assert(kNamesOfLength.back() == std::size(kKnownNames), "in the order of lengths");

// The object that is the value of the last key "usage" or "usageMetadata"; "" without one. Quotes
// inside a string are escaped, so that the name between bare quotes and a colon behind it is a key
// wherever the text begins. Usage stands near the end of an answer: the search begins there, by the
// letter of the name that is the rarest.
std::string_view LastUsageObject(std::string_view text) {
  static constexpr std::string_view kStart = "\"usage";
  static constexpr size_t kRareLetter = 4;
  size_t end = text.size();
  while (const void* found = memrchr(text.data(), kStart[kRareLetter], end)) {
    end = static_cast<size_t>(static_cast<const char*>(found) - text.data());
    if (end < kRareLetter || !text.substr(end - kRareLetter).starts_with(kStart)) {
      continue;
    }
    const size_t key = end - kRareLetter;
    size_t place = key + kStart.size();
    if (text.substr(place).starts_with("Metadata")) {
      place += std::strlen("Metadata");
    }
    if ((key > 0 && text[key - 1] == '\\') || place >= text.size() || text[place] != '"') {
      continue;
    }
    place = SkipSpace(text, place + 1);
    if (place < text.size() && text[place] == ':') {
      place = SkipSpace(text, place + 1);
      if (place < text.size() && text[place] == '{') {
        return text.substr(place, kMaxUsageObject);
      }
    }
  }
  return {};
}

// A whole number that makes sense; anything else is no count.
std::optional<uint64_t> CountOf(std::string_view number) {
  uint64_t count = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), count);
  const bool is_whole = error == std::errc() && end == number.data() + number.size();
  return is_whole && count <= kMaxTokens ? std::optional(count) : std::nullopt;
}

void Keep(std::string_view parent, std::string_view key, std::optional<uint64_t> count,
          Counts& counts) {
  if (key.size() > kLongestKey) {
    return;
  }
  for (size_t i = kNamesOfLength[key.size()]; i < kNamesOfLength[key.size() + 1]; ++i) {
    const KnownName& known = kKnownNames[i];
    if (known.key == key && known.parent == parent) {
      counts[known.name] = count;
      return;
    }
  }
}

size_t ReadMembers(std::string_view text, size_t place, std::string_view parent, Counts& counts);

// The value at `place` of the member `key`; returns the place behind it.
size_t ReadValue(std::string_view text, size_t place, std::string_view parent, std::string_view key,
                 Counts& counts) {
  bool has_escape = false;
  switch (text[place]) {
    case '{':
      return parent.empty() ? ReadMembers(text, place, key, counts) : SkipContainer(text, place);
    case '[':
      return SkipContainer(text, place);
    case '"':
      return SkipString(text, place + 1, has_escape);
    case 't':
    case 'f':
    case 'n':
      return SkipLiteral(text, place);
    default: {
      const size_t end = SkipNumber(text, place);
      if (end != kBroken) {
        Keep(parent, key, CountOf(text.substr(place, end - place)), counts);
      }
      return end;
    }
  }
}

// The members of the object that begins at `place`, and of the objects that are its members.
// Returns the place behind it.
size_t ReadMembers(std::string_view text, size_t place, std::string_view parent, Counts& counts) {
  place = SkipSpace(text, place + 1);
  if (place < text.size() && text[place] == '}') {
    return place + 1;
  }
  while (place < text.size() && text[place] == '"') {
    const size_t begin = place + 1;
    bool has_escape = false;
    place = SkipString(text, begin, has_escape);
    if (place == kBroken) {
      break;
    }
    const std::string_view key = text.substr(begin, place - 1 - begin);
    place = SkipSpace(text, place);
    if (place >= text.size() || text[place] != ':') {
      break;
    }
    place = SkipSpace(text, place + 1);
    if (place >= text.size()) {
      break;
    }
    place = ReadValue(text, place, parent, key, counts);
    if (place == kBroken) {
      break;
    }
    place = SkipSpace(text, place);
    if (place < text.size() && text[place] == '}') {
      return place + 1;
    }
    if (place >= text.size() || text[place] != ',') {
      break;
    }
    place = SkipSpace(text, place + 1);
  }
  return kBroken;
}

// The first of the names that has a count.
std::optional<uint64_t> First(const Counts& counts, std::initializer_list<Name> names) {
  for (const Name name : names) {
    if (counts[name].has_value()) {
      return counts[name];
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> Sum(std::initializer_list<std::optional<uint64_t>> parts) {
  uint64_t sum = 0;
  for (const std::optional<uint64_t>& part : parts) {
    sum += part.value_or(0);
  }
  return sum;
}

std::optional<uint64_t> PromptOf(const Counts& counts) {
  if (const auto prompt = First(counts, {kPromptTokens, kPromptTokenCount})) {
    return prompt;
  }
  // Anthropic and Bedrock count the cached part of the prompt apart.
  if (const auto input = counts[kInputTokens]) {
    return Sum({input, counts[kCacheRead], counts[kCacheCreation]});
  }
  if (const auto input = counts[kInputTokensBedrock]) {
    return Sum({input, counts[kCacheReadBedrock], counts[kCacheWriteBedrock]});
  }
  return std::nullopt;
}

std::optional<uint64_t> CompletionOf(const Counts& counts) {
  if (const auto output = First(counts, {kCompletionTokens, kOutputTokens, kOutputTokensBedrock})) {
    return output;
  }
  // Gemini's candidates leave the thoughts out.
  const auto candidates = counts[kCandidatesTokenCount];
  const auto thoughts = counts[kThoughtsTokenCount];
  return candidates.has_value() || thoughts.has_value() ? Sum({candidates, thoughts})
                                                        : std::nullopt;
}

// Says whether there was anything.
bool Replace(std::optional<uint64_t>& value, std::optional<uint64_t> other) {
  if (other.has_value()) {
    value = other;
  }
  return other.has_value();
}

bool Merge(const Counts& counts, Usage& usage) {
  bool found = Replace(usage.prompt, PromptOf(counts));
  found |= Replace(usage.completion, CompletionOf(counts));
  found |= Replace(
      usage.cached,
      First(counts, {kPromptCachedTokens, kInputCachedTokens, kPromptCacheHitTokens, kCacheRead,
                     kCacheReadBedrock, kCachedContentTokenCount, kCachedTokens}));
  found |= Replace(usage.reasoning, First(counts, {kCompletionReasoningTokens,
                                                   kOutputReasoningTokens, kThoughtsTokenCount}));
  const bool has_total =
      Replace(usage.total, First(counts, {kTotalTokens, kTotalTokensBedrock, kTotalTokenCount}));
  if (!has_total && found) {
    usage.total = usage.prompt.value_or(0) + usage.completion.value_or(0);
  }
  return found || has_total;
}

}  // namespace

bool MayHoldUsage(std::string_view json) {
  static constexpr std::string_view kStart = "\"usage";
  // An empty view may have no address, and memmem() asks for one.
  return !json.empty() && memmem(json.data(), json.size(), kStart.data(), kStart.size()) != nullptr;
}

bool UpdateUsage(std::string_view json, Usage& usage) {
  const std::string_view text = LastUsageObject(json);
  Counts counts;
  if (text.empty() || ReadMembers(text, 0, "", counts) == kBroken) {
    return false;
  }
  return Merge(counts, usage);
}

}  // namespace rota::provider
