// What an upstream says in the head and the body of its answer: quota evidence of every dialect,
// windows, usage, compressed or not. Nothing an upstream sends is more than bounded work.

#include <chrono>
#include <optional>
#include <string>

#include "dataplane/provider/content_coding.h"
#include "dataplane/provider/evidence.h"
#include "dataplane/provider/reset_time.h"
#include "dataplane/provider/usage.h"
#include "dataplane/provider/usage_decoder.h"
#include "tests/fuzz/pieces.h"

namespace rota::provider {
namespace {

using fuzz::Require;

const WallTime kNow{std::chrono::seconds(1'800'000'000)};

// The text's lines up to an empty one are headers, the rest is the body.
std::string_view TakeHeaders(std::string_view text, AnswerHeaders& headers) {
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty()) {
      break;
    }
    const size_t colon = std::min(line.find(':'), line.size());
    const std::string_view value = line.substr(std::min(colon + 1, line.size()));
    headers.Add(line.substr(0, colon), value);
    for (const auto& window :
         {ParseRetryAfter(value, kNow), ParseReset(value, kNow), ParseMilliseconds(value)}) {
      Require(!window.has_value() || (*window >= Duration::zero() && *window <= kLongestReset));
    }
  }
  return text;
}

void CheckEvidence(std::string_view text, int status) {
  AnswerHeaders headers;
  const std::string_view body = TakeHeaders(text, headers);
  SuspensionPolicy policy;
  policy.quota = std::chrono::seconds(60);
  policy.maximum = std::chrono::hours(1);
  policy.failure = std::chrono::seconds(30);
  for (const Dialect dialect : {Dialect::kOpenAi, Dialect::kAzure, Dialect::kAnthropic,
                                Dialect::kGoogle, Dialect::kBedrock}) {
    const Evidence evidence = Judge(dialect, status, headers, body, kNow);
    if (SaysNothing(status, headers)) {
      Require(evidence.verdict == Verdict::kNone);
    }
    const std::optional<Duration> window = SuspensionWindow(evidence, policy);
    Require(!window.has_value() || (*window > Duration::zero() && *window <= policy.maximum));
    JudgeStreamEvent(dialect, "error", body, kNow);
  }
}

void CheckUsage(const fuzz::Pieces& pieces) {
  Usage usage;
  const bool found = UpdateUsage(pieces.text(), usage);
  Require(!found || MayHoldUsage(pieces.text()));
  for (const UsageDecoder::Form form : {UsageDecoder::Form::kJson, UsageDecoder::Form::kEvents}) {
    const std::unique_ptr<UsageDecoder> decoder = UsageDecoder::Create("gzip", form);
    pieces.ForEach([&decoder](std::string_view piece) { decoder->Add(piece); });
    decoder->Finish();
  }
}

// A body has up to 4 KiB here; the small limit is one that it can go beyond without compression.
void CheckCodings(std::string_view body) {
  for (const char* coding : {"", "gzip", "deflate", "br", "zstd"}) {
    for (const size_t limit : {size_t{100}, kMaxEvidenceBody}) {
      const std::optional<std::string> text = DecodePrefix(coding, body, limit);
      Require(text.has_value() && text->size() <= limit);
    }
  }
}

}  // namespace
}  // namespace rota::provider

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr int kStatuses[] = {200, 400, 401, 403, 413, 429, 500, 503, 529};
  const rota::fuzz::Pieces pieces(data, size);
  const int status = kStatuses[size % std::size(kStatuses)];
  rota::provider::CheckEvidence(pieces.text(), status);
  rota::provider::CheckUsage(pieces);
  rota::provider::CheckCodings(pieces.text());
  return 0;
}
