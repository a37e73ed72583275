#pragma once

// Token usage of one answer, read beside the bytes that are passed on. Memory: at most 128 KiB of
// an answer's end, or what a compressed one takes to be read. Single-thread (owner: the exchange).

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dataplane/engine/http_head.h"
#include "dataplane/engine/sse_scanner.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/provider/usage.h"
#include "dataplane/provider/usage_decoder.h"

namespace rota::engine {

class UsageMeter {
 public:
  // The answer that is going to be passed on.
  void Begin(const ResponseHead& head, bool has_body, observe::LoopMetrics& metrics);
  // The next bytes of its body.
  void Add(std::string_view piece, bool is_last);
  // Of an answer that was translated.
  void Set(const provider::Usage& usage) { usage_ = usage; }
  // The answer is over: counts what was found. `events`: of an answer that was followed.
  void Count(const SseScanner& events, table::SeriesId series, observe::LoopMetrics& metrics);

 private:
  void BeginCompressed(const ResponseHead& head, observe::LoopMetrics& metrics);

  bool captures_ = false;
  std::string capture_;
  std::unique_ptr<provider::UsageDecoder> decoder_;  // only of compressed answers
  std::optional<provider::Usage> usage_;
};

}  // namespace rota::engine
