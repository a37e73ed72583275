#pragma once

// Undoes gzip, and deflate in its other wrappings, piece by piece, for looking at compressed
// answers while they are passed on as they came. Output is bounded (an answer of 1 MB may stand for
// 1 GB). Pure; thread-compatible. zlib stays in gzip.cc.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace rota::provider {

// What stands around the deflated bytes (RFC 1951): RFC 1952, RFC 1950, nothing.
enum class Wrapping : uint8_t { kGzip, kZlib, kNone };

class GzipReader {
 public:
  // At most `max_output` bytes come out; with more the reader fails.
  explicit GzipReader(size_t max_output, Wrapping wrapping = Wrapping::kGzip);
  ~GzipReader();
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  // Hands what `input` stands for to `sink`, in pieces of at most 16 KiB. False once the bytes are
  // no gzip or the bound is reached; what came out before is good.
  bool Add(std::string_view input, absl::FunctionRef<void(std::string_view)> sink);
  // The stream has come to its end, its checksum is right.
  bool done() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// "gzip" or "x-gzip", in any case.
bool IsGzip(std::string_view content_encoding);

// What `gzip` (or as much as there is of it) stands for, up to `limit` bytes.
std::string GunzipPrefix(std::string_view gzip, size_t limit);
// ... in whatever wrapping.
std::string InflatePrefix(Wrapping wrapping, std::string_view deflated, size_t limit);

}  // namespace rota::provider
