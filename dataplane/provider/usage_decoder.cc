#include "dataplane/provider/usage_decoder.h"

namespace rota::provider {
namespace {

// Usage stands at the end of an answer, or of a long event.
constexpr size_t kTail = 64 << 10;

}  // namespace

std::unique_ptr<UsageDecoder> UsageDecoder::Create(std::string_view content_encoding, Form form) {
  if (!IsGzip(content_encoding)) {
    return nullptr;
  }
  return std::unique_ptr<UsageDecoder>(new UsageDecoder(form));
}

void UsageDecoder::Add(std::string_view bytes) {
  if (!has_failed_) {
    has_failed_ = !reader_.Add(bytes, [this](std::string_view text) { AddText(text); });
  }
}

void UsageDecoder::Finish() {
  Look();
  has_failed_ = has_failed_ || !reader_.done();
}

void UsageDecoder::AddText(std::string_view text) {
  size_t end = std::string_view::npos;
  while (form_ == Form::kEvents && (end = text.find_first_of("\r\n")) != std::string_view::npos) {
    Keep(text.substr(0, end));
    Look();
    text.remove_prefix(end + 1);
  }
  Keep(text);
}

void UsageDecoder::Keep(std::string_view text) {
  kept_.append(text);
  if (kept_.size() > 2 * kTail) {
    kept_.erase(0, kept_.size() - kTail);
  }
}

void UsageDecoder::Look() {
  if (MayHoldUsage(kept_)) {
    has_usage_ = UpdateUsage(kept_, usage_) || has_usage_;
  }
  kept_.clear();
}

}  // namespace rota::provider
