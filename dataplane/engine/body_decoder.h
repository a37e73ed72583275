#pragma once

// The framing of an HTTP/1 body: by length, chunked, or up to the end of the connection. Decodes in
// place: what comes out is one contiguous piece of the buffer that went in. Strict about chunk
// lines and trailers (RFC 9112 7.1): CRLF only, no control bytes, bounded. Extensions and trailers
// are dropped. Thread-compatible.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace rota::engine {

class BodyDecoder {
 public:
  enum class Framing : uint8_t { kNone, kLength, kChunked, kUntilClose };

  BodyDecoder() = default;
  static BodyDecoder None() { return BodyDecoder(Framing::kNone, 0); }
  static BodyDecoder Length(uint64_t bytes) { return BodyDecoder(Framing::kLength, bytes); }
  static BodyDecoder Chunked() { return BodyDecoder(Framing::kChunked, 0); }
  static BodyDecoder UntilClose() { return BodyDecoder(Framing::kUntilClose, 0); }

  struct Result {
    size_t consumed = 0;       // of the input; the rest belongs to what follows the body
    std::string_view decoded;  // inside the input
  };
  // Everything of `input` that belongs to the body. Overwrites framing bytes between pieces.
  Result Decode(std::span<char> input);

  bool done() const { return state_ == State::kDone; }
  bool failed() const { return state_ == State::kFailed; }
  Framing framing() const { return framing_; }
  // kLength: bytes still to come.
  uint64_t remaining() const { return remaining_; }

 private:
  enum class State : uint8_t {
    kData,
    kSize,
    kSizeSpace,  // between the size and ';'
    kExtension,
    kSizeLineFeed,
    kDataReturn,
    kDataLineFeed,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLineFeed,
    kEndLineFeed,
    kDone,
    kFailed
  };
  static constexpr size_t kMaxLineBytes = 4096;  // the extensions of one chunk
  // Extensions of all chunks, beyond twice what they carry: bytes that cost work and bring nothing.
  static constexpr uint64_t kMaxExcessBytes = 16384;
  static constexpr size_t kMaxTrailerBytes = 16384;  // all trailers

  BodyDecoder(Framing framing, uint64_t length);
  // One byte of chunk framing.
  void Step(char c);
  void StepSize(char c);
  void StepExtension(char c);
  void EndSizeLine(char c);
  void StepTrailer(char c);

  Framing framing_ = Framing::kNone;
  State state_ = State::kDone;
  uint64_t remaining_ = 0;
  size_t line_bytes_ = 0;
  uint64_t excess_bytes_ = 0;
  size_t trailer_bytes_ = 0;
  int digits_ = 0;
};

}  // namespace rota::engine
