#pragma once

// Reads HTTP/1.1 answers from bytes as they come: status, framing (content-length, chunked, none),
// the body handed on piece by piece. Deliberately small: it trusts the server that is measured, but
// not its framing. Single-thread.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace rota::bench {

class ResponseReader {
 public:
  enum class State : uint8_t { kHead, kBody, kDone, kBroken };
  using OnBody = std::function<void(std::string_view)>;

  explicit ResponseReader(OnBody on_body = nullptr) : on_body_(std::move(on_body)) {}

  // Takes all bytes up to the end of one answer. What follows it breaks the reader: no pipelining
  // here.
  State Read(std::string_view bytes);
  // The peer has closed: the end of an answer without framing, a broken one otherwise.
  State ReadEnd();
  void Reset();

  State state() const { return state_; }
  int status() const { return status_; }
  bool must_close() const { return must_close_; }
  bool has_retry_after() const { return has_retry_after_; }
  bool has_begun() const { return state_ != State::kHead || !head_.empty(); }

 private:
  enum class Framing : uint8_t { kLength, kChunked, kUntilEnd };
  enum class ChunkPart : uint8_t { kSize, kData, kDataEnd, kTrailer };

  void ParseHead();
  void ReadChunked(std::string_view bytes);
  void Hand(std::string_view piece) const;

  OnBody on_body_;
  State state_ = State::kHead;
  Framing framing_ = Framing::kLength;
  ChunkPart chunk_part_ = ChunkPart::kSize;
  std::string head_;
  std::string line_;   // of a chunk size or trailer, so far
  uint64_t left_ = 0;  // bytes of the body or chunk
  int status_ = 0;
  bool must_close_ = false;
  bool has_retry_after_ = false;
};

}  // namespace rota::bench
