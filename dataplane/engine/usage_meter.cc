#include "dataplane/engine/usage_meter.h"

namespace rota::engine {
namespace {

// What is kept of an answer's end to look for token usage.
constexpr size_t kCaptureTail = 64 << 10;

bool IsJsonAnswer(const ResponseHead& head) {
  return head.status == 200 && !IsCompressed(head) &&
         IsMediaType(head.Find(FieldKind::kContentType), "application/json");
}

}  // namespace

void UsageMeter::Begin(const ResponseHead& head, bool has_body, observe::LoopMetrics& metrics) {
  captures_ = IsJsonAnswer(head);
  if (has_body && IsCompressed(head)) {
    BeginCompressed(head, metrics);
  }
}

// A compressed answer goes through as it is; its usage is read beside that, if it can be.
void UsageMeter::BeginCompressed(const ResponseHead& head, observe::LoopMetrics& metrics) {
  using Form = provider::UsageDecoder::Form;
  const std::string_view type = head.Find(FieldKind::kContentType);
  const bool has_events = IsMediaType(type, "text/event-stream");
  if (head.status != 200 || !(has_events || IsMediaType(type, "application/json"))) {
    return;
  }
  decoder_ = provider::UsageDecoder::Create(head.Find(FieldKind::kContentEncoding),
                                            has_events ? Form::kEvents : Form::kJson);
  if (decoder_ == nullptr) {
    metrics.CountUsageSkipped(observe::UsageSkipped::kCoding);
  }
}

void UsageMeter::Add(std::string_view piece, bool is_last) {
  if (decoder_ != nullptr) {
    decoder_->Add(piece);
    return;
  }
  if (!captures_) {
    return;
  }
  if (!is_last || !capture_.empty()) {
    capture_.append(piece);
    if (capture_.size() > 2 * kCaptureTail) {
      capture_.erase(0, capture_.size() - kCaptureTail);
    }
    piece = capture_;
  }
  provider::Usage usage;
  if (is_last && provider::UpdateUsage(piece, usage)) {
    usage_ = usage;
  }
}

void UsageMeter::Count(const SseScanner& events, table::SeriesId series,
                       observe::LoopMetrics& metrics) {
  if (events.has_usage()) {
    usage_ = events.usage();
  }
  if (decoder_ != nullptr) {
    decoder_->Finish();
    if (decoder_->failed()) {
      metrics.CountUsageSkipped(observe::UsageSkipped::kDamaged);
    }
    usage_.reset();
    if (decoder_->has_usage()) {
      usage_ = decoder_->usage();
    }
  }
  if (!usage_.has_value()) {
    return;
  }
  const auto count = [&](observe::TokenKind kind, std::optional<uint64_t> tokens) {
    if (tokens.has_value() && *tokens > 0) {
      metrics.CountTokens(series, kind, *tokens);
    }
  };
  count(observe::TokenKind::kPrompt, usage_->prompt);
  count(observe::TokenKind::kCompletion, usage_->completion);
  count(observe::TokenKind::kCached, usage_->cached);
  count(observe::TokenKind::kReasoning, usage_->reasoning);
}

}  // namespace rota::engine
