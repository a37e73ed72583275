#pragma once

// Where one event of an upstream's stream ends and the next begins, for each framing that providers
// use. Incremental: bytes come in any pieces.
//
// Memory: what has come of one frame, at most kMaxFrameBytes. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace rota::provider {

enum class Framing : uint8_t {
  kSse,                // "event: ...\ndata: ...\n\n", CR, LF or CRLF
  kNdjson,             // one JSON text per line
  kAmazonEventStream,  // application/vnd.amazon.eventstream, both CRCs checked
};

// One event; views are good until the sink returns.
struct Frame {
  // SSE: the event's name. Amazon: ":event-type", or ":exception-type" of an exception. "" for
  // none.
  std::string_view name;
  std::string_view data;  // SSE: its data lines joined with "\n"
  // Amazon ":message-type" exception or error.
  bool is_exception = false;
};

// Tool arguments and images come as one event; 1 MiB is far above what providers send.
inline constexpr size_t kMaxFrameBytes = size_t{1} << 20;

class FrameDecoder {
 public:
  virtual ~FrameDecoder() = default;
  // Calls `sink` for each frame that becomes whole, in order; a sink that returns false ends it:
  // the rest is not looked at. Events without data (comments, keep-alives) are no frames. DataLoss
  // when the bytes break the framing or a frame is larger than kMaxFrameBytes; nothing more can be
  // read then.
  virtual absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink) = 0;
  // The body has ended: SSE and NDJSON allow a last event without its empty line. DataLoss when a
  // frame is cut that cannot be.
  virtual absl::Status Finish(absl::FunctionRef<bool(const Frame&)> sink) = 0;
};

std::unique_ptr<FrameDecoder> NewSseDecoder();
std::unique_ptr<FrameDecoder> NewNdjsonDecoder();
// For any framing. In registry.cc, beside the dialects.
std::unique_ptr<FrameDecoder> NewFrameDecoder(Framing framing);

}  // namespace rota::provider
