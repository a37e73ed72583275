// What looking at bodies and headers costs on the request path.

#include <memory>
#include <string>

#include "benchmark/benchmark.h"
#include "dataplane/provider/evidence.h"
#include "dataplane/provider/model_span.h"
#include "dataplane/provider/registry.h"
#include "dataplane/provider/usage.h"

namespace rota::provider {
namespace {

// A conversation of about `bytes`, the model last (an early exit would find it in no time).
std::string Conversation(size_t bytes) {
  std::string body = R"({"temperature":0.7,"stream":false,"messages":[)";
  const std::string words = "How many moons does the planet have, and what are they called? ";
  for (size_t i = 0; body.size() + 300 < bytes; ++i) {
    body += i == 0 ? "" : ",";
    body += i % 2 == 0 ? R"({"role":"user","content":")" : R"({"role":"assistant","content":")";
    for (size_t n = 0; n < 4 + i % 5; ++n) {
      body += words;
    }
    body += "\"}";
  }
  body += R"(],"user":")";
  body.resize(std::max(body.size(), bytes - 20), 'u');
  return body + R"(","model":"gpt-4o"})";
}

void FindModelInBody(benchmark::State& state) {
  const std::string body = Conversation(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const ModelSpan span = FindModel(body);
    if (span.error != BodyError::kNone || !span.has_model) {
      state.SkipWithError("no model found");
    }
    benchmark::DoNotOptimize(span);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(FindModelInBody)->Arg(1 << 10)->Arg(4 << 10)->Arg(64 << 10)->Arg(1 << 20);

void JudgeUsualSuccess(benchmark::State& state) {
  const std::pair<std::string_view, std::string_view> headers[] = {
      {"date", "Sat, 21 Nov 2026 10:00:00 GMT"},
      {"content-type", "application/json"},
      {"openai-organization", "org-1"},
      {"openai-processing-ms", "412"},
      {"x-ratelimit-limit-requests", "10000"},
      {"x-ratelimit-limit-tokens", "2000000"},
      {"x-ratelimit-remaining-requests", "9999"},
      {"x-ratelimit-remaining-tokens", "1999000"},
      {"x-ratelimit-reset-requests", "6ms"},
      {"x-ratelimit-reset-tokens", "30ms"},
      {"x-request-id", "req_123"},
      {"strict-transport-security", "max-age=31536000"}};
  for (auto _ : state) {
    AnswerHeaders answer;
    for (const auto& [name, value] : headers) {
      answer.Add(name, value);
    }
    benchmark::DoNotOptimize(Judge(Dialect::kOpenAi, 200, answer, "", WallTime()));
  }
}
BENCHMARK(JudgeUsualSuccess);

void JudgeQuota(benchmark::State& state) {
  const std::string body =
      R"({"error":{"message":"Rate limit reached: Limit 10, Used 10, Requested 1.",)"
      R"("type":"requests","param":null,"code":"rate_limit_exceeded"}})";
  AnswerHeaders answer;
  answer.Add("retry-after", "20");
  for (auto _ : state) {
    benchmark::DoNotOptimize(Judge(Dialect::kOpenAi, 429, answer, body, WallTime()));
  }
}
BENCHMARK(JudgeQuota);

void ReadUsage(benchmark::State& state) {
  std::string body = R"({"choices":[{"message":{"content":")";
  body.resize(static_cast<size_t>(state.range(0)), 'x');
  body += R"("}}],"usage":{"prompt_tokens":16,"completion_tokens":300,"total_tokens":316,)"
          R"("prompt_tokens_details":{"cached_tokens":0}}})";
  for (auto _ : state) {
    Usage usage;
    UpdateUsage(body, usage);
    benchmark::DoNotOptimize(usage);
  }
}
BENCHMARK(ReadUsage)->Arg(1 << 10)->Arg(64 << 10);

void LookForUsageInAChunk(benchmark::State& state) {
  const std::string chunk =
      R"({"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-4o",)"
      R"("choices":[{"index":0,"delta":{"content":" moons"},"finish_reason":null}]})";
  for (auto _ : state) {
    benchmark::DoNotOptimize(MayHoldUsage(chunk));
  }
}
BENCHMARK(LookForUsageInAChunk);

// --- Translation
// ------------------------------------------------------------------------------------------

const ProviderOptions kOptions;

// Text to tree to another provider's text. Of 1 KiB: at most 25 us together with the answer below.
void TranslateARequest(benchmark::State& state) {
  const Translator& translator = *FindTranslator("anthropic");
  const std::string body = Conversation(static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    const absl::StatusOr<Json> request = ParseJson(body);
    absl::StatusOr<TranslatedRequest> translated =
        TranslateChat(translator, *request, {"claude-sonnet-4-5", "", &kOptions});
    if (!translated.ok()) {
      state.SkipWithError("not translated");
    }
    benchmark::DoNotOptimize(translated);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(body.size()));
}
BENCHMARK(TranslateARequest)->Arg(1 << 10)->Arg(64 << 10);

void TranslateAnAnswer(benchmark::State& state) {
  const Translator& translator = *FindTranslator("anthropic");
  const AnswerPlan plan;
  const AnswerContext context = {&plan, "claude-sonnet-4-5", "chatcmpl-1", 1767225600};
  std::string body =
      R"({"model":"claude-sonnet-4-5","id":"msg_01","type":"message","role":"assistant","content":)"
      R"([{"type":"text","text":")";
  body.append(static_cast<size_t>(state.range(0)) - 240, 'x');
  body += R"("}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,)"
          R"("cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":29}})";
  for (auto _ : state) {
    absl::StatusOr<TranslatedAnswer> answer = translator.ChatAnswer(body, context);
    if (!answer.ok()) {
      state.SkipWithError("not translated");
    }
    benchmark::DoNotOptimize(answer);
  }
}
BENCHMARK(TranslateAnAnswer)->Arg(400);

// One event of a stream, framing included: at most 4 us.
void TranslateAChunk(benchmark::State& state) {
  const Translator& translator = *FindTranslator("anthropic");
  const AnswerPlan plan;
  const std::unique_ptr<StreamTranslator> stream =
      translator.NewStream({&plan, "claude-sonnet-4-5", "chatcmpl-1", 1767225600});
  const std::unique_ptr<FrameDecoder> frames = NewFrameDecoder(translator.framing());
  const std::string event =
      "event: content_block_delta\n"
      "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\","
      "\"text\":\" moons\"}}\n\n";
  std::string out;
  for (auto _ : state) {
    out.clear();
    const absl::Status status = frames->Add(
        event, [&](const Frame& frame) { return stream->Add(frame, out) == StreamState::kOpen; });
    if (!status.ok() || out.empty()) {
      state.SkipWithError("not translated");
    }
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(TranslateAChunk);

}  // namespace
}  // namespace rota::provider

BENCHMARK_MAIN();
