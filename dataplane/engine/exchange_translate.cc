// Tries at providers with a form of their own: the request in their form, the answer in OpenAI's.

#include <array>
#include <chrono>
#include <span>
#include <utility>

#include "common/log.h"
#include "common/provider_catalog.h"
#include "dataplane/engine/exchange.h"
#include "dataplane/engine/request_signature.h"
#include "dataplane/engine/request_writing.h"
#include "dataplane/provider/defaults.h"
#include "dataplane/provider/field_rules.h"
#include "dataplane/table/operation_form.h"

namespace rota::engine {
namespace {

// The budget for bodies is asked once per that many bytes of it.
constexpr size_t kAnswerStep = 64 << 10;

// A provider has a new word, which the tables should know: counted each time, told once.
void NoteUnknownWord(Loop& loop, std::string_view provider, observe::ProviderWord kind,
                     const std::string& word) {
  const Provider* const known = FindProvider(provider);
  if (word.empty() || known == nullptr) {
    return;
  }
  loop.metrics().CountUnknownWord(*known, kind);
  const std::string_view name = observe::ProviderWordName(kind);
  if (loop.shared().told_words.IsNew(known->name, name, word)) {
    log::Warn(
        "engine", "a provider has a word that is not known",
        {{"provider", known->name},
         {"kind", name},
         {"word", word},
         {"meaning", kind == observe::ProviderWord::kFinishReason ? "shown as stop" : "left out"}});
  }
}

void NoteUnknownWords(Loop& loop, std::string_view provider, const provider::UnknownWords& words) {
  NoteUnknownWord(loop, provider, observe::ProviderWord::kFinishReason, words.finish_reason);
  NoteUnknownWord(loop, provider, observe::ProviderWord::kEvent, words.event);
}

GatewayError UnreadableAnswer() {
  return {502, "upstream_malformed", "the upstream's answer cannot be understood", -1, ""};
}

}  // namespace

// --- The request
// --------------------------------------------------------------------------------------------

std::optional<GatewayError> Exchange::Translate(const TryPlan& plan) {
  if (translation_ != nullptr) {
    body_share_.Shrink(translation_->request().body.size());  // of the try before
    translation_.reset();
  }
  const std::optional<provider::OpenAiOperation> operation =
      table::OpenAiOperationOf(match_.operation->kind);
  if (plan.endpoint->translator == nullptr || !operation.has_value() || !HasBody()) {
    return std::nullopt;
  }
  Translation::Input input;
  input.operation = *operation;
  input.endpoint = plan.endpoint;
  input.model = plan.model;
  input.body = body_;
  input.request_id = request_id_;
  input.unix_time =
      std::chrono::duration_cast<std::chrono::seconds>(loop_.clock().WallNow().time_since_epoch())
          .count();
  std::string filled;
  if (plan.target != nullptr && !plan.target->defaults.empty()) {
    filled = provider::FillDefaults(body_, plan.target->defaults);
    input.body = filled.empty() ? body_ : std::string_view(filled);
  }
  absl::StatusOr<std::unique_ptr<Translation>> made = Translation::Make(input);
  if (!made.ok()) {
    provider::FieldProblem problem = provider::ProblemOf(made.status());
    GatewayError error{400, problem.code, std::move(problem.message), -1, ""};
    error.param = std::move(problem.field);
    return error;
  }
  if (!body_share_.Grow((*made)->request().body.size())) {
    return BodyErrorOf(BodyResult::kOverBudget);
  }
  translation_ = *std::move(made);
  return std::nullopt;
}

Task<bool> Exchange::SendTranslatedRequest(const TryPlan& plan) {
  const provider::TranslatedRequest& translated = translation_->request();
  UpstreamRequest request;
  request.head = &head_;
  request.endpoint = plan.endpoint;
  request.path = translated.path;
  request.request_id = request_id_;
  request.body_size = translated.body.size();
  request.own_headers = translated.headers;
  request.is_translated = true;
  const std::array<std::string_view, 1> body{translated.body};
  const std::vector<provider::HeaderField> signature =
      SignatureOf(request, body, loop_.clock(), loop_.signing_keys());
  request.signature = signature;
  std::string head;
  AppendUpstreamHead(request, head);
  std::array<iovec, 2> parts{Part(head), Part(translated.body)};
  const std::span<iovec> all(parts);
  RequestWriting writing(loop_, *upstream_, all);
  const bool is_sent = co_await writing;
  upstream_timed_out_ = writing.timed_out();
  WipeString(head);  // it holds the credential
  co_return is_sent;
}

// --- The answer
// ---------------------------------------------------------------------------------------------

// From here on the answer is this head's, but for what became of the connection.
void Exchange::ReplaceHead(std::string head) {
  const bool keep_alive = response_.keep_alive;
  response_bytes_ = std::move(head);
  head_in_connection_ = false;
  ParseResponseHead(response_bytes_, response_);
  response_.keep_alive = keep_alive;
}

// An answer that was failed over from, as the client would get it.
void Exchange::SaveTranslated() {
  absl::StatusOr<Translation::Answer> answer = translation_->error().has_value()
                                                   ? translation_->OfError(response_)
                                                   : translation_->Whole(response_, looked_at_);
  if (answer.ok()) {
    DropSaved();
    saved_.emplace(SavedAnswer{std::move(answer->head), std::move(answer->body), series_, model_,
                               target_name_});
  }
}

Task<void> Exchange::RelayTranslated() {
  const bool begins_with_error = translation_->error().has_value();
  if (is_events_ && !begins_with_error) {
    std::string head;
    ReplaceHead(translation_->StreamHead());
    BeginRelay(head);
    ReleaseRequest();
    translation_->ReleaseRequest();
    co_await StreamTranslated(head);
    usage_.Set(translation_->usage());
    NoteUnknownWords(loop_, translation_->provider_name(), translation_->unknown());
  } else if (begins_with_error) {
    const Translation::Answer answer = translation_->OfError(response_);
    DropUpstream();
    co_await SendTranslated(answer);
  } else {
    co_await RelayWhole();
  }
  if (cancelled_ || client_.gone()) {
    EndUpstreamTime();
    DropUpstream();
  } else {
    FinishUpstream();
  }
  usage_.Count(events_, series_, loop_.metrics());
}

Task<void> Exchange::RelayWhole() {
  // Of an error that was looked at already there is enough.
  bool is_whole = response_.status >= 400 && !head_in_connection_;
  if (!is_whole) {
    is_whole = co_await ReadWholeAnswer();
  }
  if (cancelled_ || client_.gone()) {
    co_return;
  }
  if (!is_whole && response_.status < 400) {
    const GatewayError error{502, "upstream_cut",
                             "the upstream's answer ended before it was complete", -1, ""};
    co_await Answer(error);
    co_return;
  }
  const absl::StatusOr<Translation::Answer> answer = translation_->Whole(response_, looked_at_);
  if (!answer.ok()) {
    const GatewayError error = UnreadableAnswer();
    co_await Answer(error);
    co_return;
  }
  if (answer->usage.has_value()) {
    usage_.Set(*answer->usage);
  }
  NoteUnknownWords(loop_, translation_->provider_name(), answer->unknown);
  co_await SendTranslated(*answer);
}

Task<bool> Exchange::ReadWholeAnswer() {
  Input& input = upstream_->input();
  if (head_in_connection_) {
    MoveHeadOut();
  }
  size_t asked = looked_at_.size();
  while (true) {
    const BodyPiece piece = NextPiece(/*first=*/false);
    looked_at_.append(piece.decoded);
    input.Consume(piece.consumed);
    if (piece.is_complete) {
      co_return true;
    }
    if (looked_at_.size() >= asked + kAnswerStep) {
      const bool has_room = body_share_.Grow(looked_at_.size() - asked);
      asked = looked_at_.size();
      if (!has_room || asked > Translation::kMaxWholeAnswer) {
        co_return false;
      }
    }
    if (response_body_.failed() || upstream_timed_out_ || cancelled_ ||
        (input.ended() && input.empty())) {
      co_return false;
    }
    if (input.empty()) {
      upstream_deadline_.Set(loop_.TurnTime() + loop_.limits().between_chunks_time);
      co_await input.More();
      upstream_deadline_.Clear();
    }
  }
}

Task<void> Exchange::SendTranslated(const Translation::Answer& answer) {
  ReplaceHead(answer.head);
  response_.content_length = answer.body.size();
  is_events_ = false;
  std::string head;
  BeginRelay(head);
  co_await SendPiece(head, answer.body, /*last=*/true);
}

Task<void> Exchange::StreamTranslated(std::string& head) {
  Input& input = upstream_->input();
  std::string out;
  bool is_first = true;
  bool has_data = false;
  while (true) {
    const BodyPiece piece = NextPiece(is_first);
    is_first = false;
    out.clear();
    const bool goes_on = translation_->Add(piece.decoded, out);
    input.Consume(piece.consumed);
    if (!has_data && !out.empty()) {
      has_data = true;
      loop_.metrics().ObserveTimeToFirstToken(series_, loop_.Now() - start_);
    }
    if (translation_->error().has_value()) {
      JudgeErrorEvent(translation_->error()->name, translation_->error()->data);
    }
    if (!goes_on) {
      co_await SendPiece(head, out, /*last=*/true);
      co_return;
    }
    const bool is_over = piece.is_complete || response_body_.failed() || upstream_timed_out_ ||
                         (input.ended() && input.empty());
    if (is_over) {
      co_await FinishTranslated(head, out);
      co_return;
    }
    if (!out.empty()) {
      const bool delivered = co_await SendPiece(head, out, /*last=*/false);
      if (!delivered) {
        co_return;
      }
    }
    if (cancelled_) {
      co_return;
    }
    if (input.empty()) {
      upstream_deadline_.Set(loop_.TurnTime() + loop_.limits().between_chunks_time);
      co_await input.More();
      upstream_deadline_.Clear();
    }
    if (cancelled_) {
      co_return;
    }
  }
}

// The body has ended, in whatever way. What counts is whether the provider's last event was there.
Task<void> Exchange::FinishTranslated(std::string& head, std::string& out) {
  const bool has_ended = translation_->Finish(out);
  if (translation_->error().has_value()) {
    JudgeErrorEvent(translation_->error()->name, translation_->error()->data);
  }
  if (has_ended || !out.empty()) {
    const bool delivered = co_await SendPiece(head, out, has_ended);
    if (!delivered) {
      co_return;
    }
  }
  if (!has_ended) {
    co_await EndCutAnswer(head);
  }
}

}  // namespace rota::engine
