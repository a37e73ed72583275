#pragma once

// Token usage as an answer or a stream event reports it, found without a DOM: only the last object
// called "usage" (or "usageMetadata") is read, in place. (With a JSON library this was more than
// half of the instructions that a request costs.)
//
// Pure and thread-safe. Bytes that are not what is expected report nothing.

#include <cstdint>
#include <optional>
#include <string_view>

namespace rota::provider {

// As OpenAI counts: prompt includes cached tokens, completion includes reasoning.
struct Usage {
  std::optional<uint64_t> prompt;
  std::optional<uint64_t> completion;
  std::optional<uint64_t> cached;
  std::optional<uint64_t> reasoning;
  // As reported, or prompt + completion. May be larger than their sum (xAI leaves reasoning out).
  std::optional<uint64_t> total;
  friend bool operator==(const Usage&, const Usage&) = default;
};

// Cheap test for a chunk of a stream: false means that UpdateUsage would find nothing.
bool MayHoldUsage(std::string_view json);

// Reads the usage in `json` into `usage`: a whole answer, one event's data, or the end of a large
// answer (a cut-off beginning does no harm). Values that are there replace earlier ones: in a
// stream the last value wins, it is never a sum. Returns true when it found any.
bool UpdateUsage(std::string_view json, Usage& usage);

}  // namespace rota::provider
