#pragma once

// Decoder of application/vnd.amazon.eventstream, the framing of Bedrock's streams: a prelude (total
// length, headers' length, CRC-32 of both), headers, payload, CRC-32 of everything before it.
// Source: AWS, "Event stream encoding" (Smithy documents the same format).
//
// Memory: what has come of one frame, at most kMaxFrameBytes, and none while frames come whole.
// Pure; thread-compatible. Errors: DataLoss, and nothing more comes out after it: behind a damaged
// frame there is no telling where the next one begins.

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "dataplane/provider/framing.h"

namespace rota::provider {

// Whether `bytes`, the beginning of a stream, hold its first frame, or can hold none.
bool HasAmazonFrame(std::string_view bytes);

class AmazonEventStreamDecoder final : public FrameDecoder {
 public:
  // Those of a conversation are three of some 15 bytes.
  static constexpr size_t kMaxHeaderBytes = size_t{16} << 10;

  // A frame's name is its :event-type, :exception-type or :error-code. An error that the service
  // has not modelled (:message-type error) has its text in a header; its data is {"message":text}
  // like an exception's.
  absl::Status Add(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink) override;
  absl::Status Finish(absl::FunctionRef<bool(const Frame&)> sink) override;

 private:
  absl::Status Decode(std::string_view bytes, absl::FunctionRef<bool(const Frame&)> sink);

  std::string pending_;  // the beginning of a frame
  absl::Status failure_;
  bool is_over_ = false;  // the sink has had enough
};

}  // namespace rota::provider
