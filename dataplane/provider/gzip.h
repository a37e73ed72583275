#pragma once

// Undoes gzip piece by piece, for looking at compressed answers while they are passed on as they
// came. Output is bounded (an answer of 1 MB may stand for 1 GB). Pure; thread-compatible. zlib
// stays in gzip.cc.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"

namespace rota::provider {

class GzipReader {
 public:
  // At most `max_output` bytes come out; with more the reader fails.
  explicit GzipReader(size_t max_output);
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

}  // namespace rota::provider
