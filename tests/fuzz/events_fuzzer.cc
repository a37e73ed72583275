// A stream of server-sent events as it is followed beside being passed on: what is known of it at
// its end does not depend on how it arrived.

#include <string>

#include "dataplane/engine/sse_scanner.h"
#include "dataplane/provider/stream_usage.h"
#include "tests/fuzz/pieces.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using rota::engine::SseScanner;
  using rota::fuzz::Require;
  const rota::fuzz::Pieces pieces(data, size);

  const size_t whole_events = SseScanner::WholeEvents(pieces.text());
  Require(whole_events <= pieces.text().size());
  SseScanner whole;
  whole.Add(pieces.text().substr(0, whole_events));

  SseScanner split;
  std::string held;
  size_t passed = 0;
  pieces.ForEach([&](std::string_view piece) {
    held += piece;
    SseScanner::HasBegun(held);
    const size_t events = SseScanner::WholeEvents(held);
    split.Add(std::string_view(held).substr(0, events));
    held.erase(0, events);
    passed += events;
  });

  // An empty line behind an event that was passed on may wait for what follows it.
  Require(passed <= whole_events);
  const std::string_view waiting = pieces.text().substr(passed, whole_events - passed);
  Require(waiting.find_first_not_of("\r\n") == std::string_view::npos);
  Require(split.has_ended() == whole.has_ended() && split.has_data() == whole.has_data());
  Require(split.has_usage() == whole.has_usage() && split.usage() == whole.usage());
  Require(split.error_event() == whole.error_event() && split.error_data() == whole.error_data());

  // What has been taken out once is not there any more.
  std::string buffer;
  std::string again;
  const std::string_view events = pieces.text().substr(0, whole_events);
  const std::string_view kept = rota::provider::WithoutUsageChunks(events, buffer);
  Require(kept.size() <= events.size());
  Require(rota::provider::WithoutUsageChunks(kept, again) == kept);
  return 0;
}
