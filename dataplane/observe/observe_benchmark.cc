// What the request path pays for being observed, and what a scrape of many APIs costs.
#include <benchmark/benchmark.h>

#include <string>

#include "dataplane/observe/access_line.h"
#include "dataplane/observe/request_metrics.h"

namespace rota::observe {
namespace {

// All calls that one proxied request makes.
void BM_CountOneRequest(benchmark::State& state) {
  const RealClock clock;
  RequestMetrics metrics(1, clock);
  const table::SeriesId series = metrics.Intern({"default/chat", "production", "gpt-4o", "openai"});
  LoopMetrics& loop = metrics.loop(0);
  for (auto _ : state) {
    loop.AddOpenRequests(1);
    loop.ObserveOverhead(series, std::chrono::microseconds(15));
    loop.ObserveUpstream(series, std::chrono::milliseconds(800));
    loop.ObserveTimeToFirstToken(series, std::chrono::milliseconds(200));
    loop.CountTokens(series, TokenKind::kPrompt, 10);
    loop.CountTokens(series, TokenKind::kCompletion, 100);
    loop.CountRequest(series, 200);
    loop.AddOpenRequests(-1);
  }
}
BENCHMARK(BM_CountOneRequest);

void BM_FormatAccessLine(benchmark::State& state) {
  AccessRecord record;
  record.request_id = "0af7651916cd43dd8448eb211c80319c";
  record.client = "10.0.0.17";
  record.method = "POST";
  record.host = "chat.example.com";
  record.path = "/chat/1.0/chat/completions";
  record.api = "default/chat";
  record.environment = "production";
  record.model = "gpt-4o";
  record.target = "openai";
  record.status = 200;
  std::string line;
  for (auto _ : state) {
    line.clear();
    AppendAccessLine(record, WallTime(std::chrono::seconds(1'795'212'000)), line);
    benchmark::DoNotOptimize(line.data());
  }
}
BENCHMARK(BM_FormatAccessLine);

// Argument: APIs, each with three targets that have been used.
void BM_Collect(benchmark::State& state) {
  const RealClock clock;
  RequestMetrics metrics(2, clock);
  for (int64_t api = 0; api < state.range(0); ++api) {
    for (const char* model : {"gpt-4o", "gpt-4o-mini", "o1-mini"}) {
      const table::SeriesId series =
          metrics.Intern({"default/api-" + std::to_string(api), "production", model, "openai"});
      metrics.loop(0).CountRequest(series, 200);
      metrics.loop(1).ObserveOverhead(series, std::chrono::microseconds(15));
    }
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(metrics.Collect());
  }
}
BENCHMARK(BM_Collect)->Arg(100)->Arg(5000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace rota::observe

BENCHMARK_MAIN();
