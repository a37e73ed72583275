#pragma once

// Token usage of a compressed answer, read beside the bytes that are passed on as they came: a JSON
// answer or a stream of events under `content-encoding: gzip`. Other codings cannot be read here;
// the caller counts them.
//
// Memory: zlib's window and at most 128 KiB of text. Thread-compatible.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/provider/gzip.h"
#include "dataplane/provider/usage.h"

namespace rota::provider {

class UsageDecoder {
 public:
  enum class Form : uint8_t { kJson, kEvents };
  // Text that one answer may stand for; more is not looked at.
  static constexpr size_t kMaxText = size_t{32} << 20;

  // nullptr when `content_encoding` is not gzip.
  static std::unique_ptr<UsageDecoder> Create(std::string_view content_encoding, Form form);

  // The next bytes of the answer, as they came.
  void Add(std::string_view bytes);
  // The answer is over.
  void Finish();
  // The bytes are damaged, cut short or too many: there may be usage that was not seen. After
  // Finish().
  bool failed() const { return has_failed_; }
  bool has_usage() const { return has_usage_; }
  const Usage& usage() const { return usage_; }

 private:
  explicit UsageDecoder(Form form) : form_(form), reader_(kMaxText) {}
  void AddText(std::string_view text);
  // Appends to what is kept, of which only the end is kept when it grows.
  void Keep(std::string_view text);
  void Look();

  const Form form_;
  GzipReader reader_;
  std::string kept_;  // the end of the answer, or of the line that is not complete
  bool has_failed_ = false;
  bool has_usage_ = false;
  Usage usage_;
};

}  // namespace rota::provider
