// One try: connect, send the request, read the head of the answer.

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "dataplane/engine/exchange.h"
#include "dataplane/engine/request_signature.h"
#include "dataplane/engine/request_writing.h"
#include "dataplane/engine/upstream_pool.h"
#include "dataplane/provider/amazon_event_stream.h"
#include "dataplane/provider/azure.h"
#include "dataplane/provider/defaults.h"
#include "dataplane/provider/field_quirks.h"
#include "dataplane/provider/stream_usage.h"
#include "dataplane/table/operation_form.h"

namespace rota::engine {
namespace {

// An error that is looked at before it is passed on must not take longer than this to arrive.
constexpr Duration kErrorBodyTime = std::chrono::seconds(5);
// What most heads need; the allocator is fast up to 1 KiB.
constexpr size_t kHeadReserve = 1000;
// Interim answers (1xx) in front of the final one.
constexpr int kMaxInterim = 16;

// The client has chosen a version of Azure's API itself.
bool NamesVersion(std::string_view query) {
  return query.find("api-version=") != std::string_view::npos;
}

// Where Azure has what others have at OpenAI's path, unless the client has named the deployment
// itself; "" elsewhere. The client's own api-version stays behind it in the query.
std::string AzurePathOf(const TryPlan& plan, const table::Operation& operation,
                        std::string_view path, std::string_view query) {
  const table::Endpoint& endpoint = *plan.endpoint;
  const std::optional<provider::OpenAiOperation> form = table::OpenAiOperationOf(operation.kind);
  if (endpoint.provider != "azure" || plan.target == nullptr || !form.has_value() ||
      path.find("/deployments/") != std::string_view::npos) {
    return "";
  }
  std::string own = provider::AzurePath(provider::OpenAiPath(*form),
                                        {plan.model, endpoint.base_path, &endpoint.options});
  if (NamesVersion(query)) {
    own.resize(std::min(own.find('?'), own.size()));
  }
  return own;
}

// The client's body with what the target adds to it and as its provider calls the fields; "" when
// it is good as it came.
std::string OwnBodyOf(const TryPlan& plan, bool has_openai_form, std::string_view body) {
  std::string own;
  if (!plan.target->defaults.empty()) {
    own = provider::FillDefaults(body, plan.target->defaults);
  }
  const Provider* const known = plan.endpoint->known;
  if (has_openai_form && known != nullptr && !known->quirks.empty()) {
    std::string changed = provider::ApplyQuirks(own.empty() ? body : own, known->quirks);
    if (!changed.empty()) {
      own = std::move(changed);
    }
  }
  return own;
}

// RFC 9110 9.2.2.
bool IsIdempotent(std::string_view method) {
  static constexpr std::string_view kMethods[] = {"GET",    "HEAD",    "PUT",
                                                  "DELETE", "OPTIONS", "TRACE"};
  return std::find(std::begin(kMethods), std::end(kMethods), method) != std::end(kMethods);
}

TryResult ResultOf(DialError error) {
  switch (error) {
    case DialError::kNone:
      return TryResult::kAnswer;
    case DialError::kConnect:
      return TryResult::kConnect;
    case DialError::kTls:
      return TryResult::kTls;
    case DialError::kTimeout:
      return TryResult::kTimeout;
    case DialError::kNoResources:
      return TryResult::kNoResources;
    case DialError::kCancelled:
      return TryResult::kCancelled;
  }
  return TryResult::kConnect;
}

}  // namespace

Task<TryResult> Exchange::Connect(const table::Endpoint& endpoint) {
  Dial dial(loop_, endpoint, table_->allow_local_upstreams());
  dial_ = &dial;
  const Duration timeout = endpoint.connect_timeout.value_or(loop_.limits().connect_time);
  const DialError error = co_await dial.Run(timeout);
  dial_ = nullptr;
  failure_ = dial.failure();
  upstream_ = dial.Take();
  // Cancelled between the last step of the dial and here: the connection is dropped with this.
  co_return cancelled_ ? TryResult::kCancelled : ResultOf(error);
}

Task<TryResult> Exchange::Try(const TryPlan& plan) {
  ++tries_;
  upstream_timed_out_ = false;
  request_started_ = false;
  upstream_start_ = loop_.Now();
  has_series_ = true;
  series_ = plan.series;
  target_name_ = plan.endpoint->name;
  model_ = plan.model;
  bool allow_pooled = true;
  TryResult result = TryResult::kReset;
  while (true) {
    if (allow_pooled) {
      upstream_ = TakeIdle(*plan.endpoint);
    }
    if (upstream_ == nullptr) {
      result = co_await Connect(*plan.endpoint);
      if (result != TryResult::kAnswer) {
        break;
      }
    }
    request_started_ = true;
    const uint64_t received = upstream_->input().total_bytes();
    // What must not arrive twice is sent again only when it is known not to have arrived: the end
    // of the connection says what had arrived before it, and a server that has hung up takes no
    // more.
    const bool is_counted = upstream_->reused() && !MayRepeat();
    const std::optional<uint64_t> taken =
        is_counted ? upstream_->stream().acknowledged_bytes() : std::nullopt;
    request_sent_ = co_await SendRequest(plan);
    result = co_await ReadResponseHead(*plan.endpoint);
    const bool was_stale = result == TryResult::kReset && upstream_->reused() &&
                           upstream_->input().total_bytes() == received;
    if (!was_stale || !allow_pooled) {
      break;
    }
    // Most likely the server had hung up on an idle connection, which is not its failure. Or it
    // has the request and died of it. A reset says nothing of what had arrived.
    const bool has_taken_nothing = upstream_->input().error() != IoError::kReset &&
                                   taken.has_value() &&
                                   upstream_->stream().acknowledged_bytes() == taken;
    if (is_counted && !has_taken_nothing) {
      break;
    }
    DropUpstream();
    upstream_deadline_.Clear();
    request_started_ = false;
    allow_pooled = false;
  }
  const bool waits = plan.target != nullptr || translation_ != nullptr;
  if (result == TryResult::kAnswer && waits && is_stream()) {
    result = co_await AwaitFirstEvent();
  }
  upstream_deadline_.Clear();
  if (result != TryResult::kAnswer) {
    EndUpstreamTime();
    DropUpstream();
  }
  co_return result;
}

// Whether no harm is done when an upstream gets the request twice.
bool Exchange::MayRepeat() const { return IsReplayable() || IsIdempotent(head_.method); }

// A connection of an earlier request; null: there is none. For what must not be sent twice it is
// looked at once more: the end of a connection that was given back in this turn has not been told.
std::unique_ptr<UpstreamConnection> Exchange::TakeIdle(const table::Endpoint& endpoint) {
  std::unique_ptr<UpstreamConnection> idle = loop_.pool().Take(endpoint.pool_key);
  const bool needs_look = idle != nullptr && !MayRepeat();
  while (needs_look && idle != nullptr && !idle->stream().is_quiet()) {
    UpstreamConnection::Discard(std::move(idle));
    idle = loop_.pool().Take(endpoint.pool_key);
  }
  return idle;
}

// The body as the target gets it; `own_body` holds it when it is not the client's.
provider::BodyPieces Exchange::PiecesFor(const TryPlan& plan, std::string& own_body) {
  if (plan.target == nullptr) {
    return HasBody() ? provider::BodyPieces{body_} : provider::BodyPieces();
  }
  const rota::sync::v1::OperationKind kind = match_.operation->kind;
  own_body = OwnBodyOf(plan, table::OpenAiOperationOf(kind).has_value(), body_);
  const bool is_own = !own_body.empty();
  const std::string_view body = is_own ? own_body : body_;
  const provider::ModelSpan span = is_own ? provider::FindModel(body) : span_;
  const bool may_stream = kind == rota::sync::v1::CHAT || kind == rota::sync::v1::COMPLETIONS;
  std::optional<provider::BodyEdit> question;
  if (span.stream && may_stream && plan.endpoint->takes_stream_options &&
      !(plan.endpoint->provider == "azure" && NamesVersion(head_.query))) {
    question = provider::AskForUsage(body, span);
  }
  asked_usage_ = question.has_value();
  return provider::PiecesOf(body, span, plan.model_json, question);
}

Task<bool> Exchange::SendRequest(const TryPlan& plan) {
  asked_usage_ = false;
  if (translation_ != nullptr) {
    const bool is_sent = co_await SendTranslatedRequest(plan);
    co_return is_sent;
  }
  std::string head;
  head.reserve(kHeadReserve);
  UpstreamRequest request;
  request.head = &head_;
  request.endpoint = plan.endpoint;
  const std::string_view own_path = match_.operation->own_path;
  request.path = own_path.empty() ? match_.upstream_path : own_path;
  const std::string azure_path =
      AzurePathOf(plan, *match_.operation, request.path, head_.has_query ? head_.query : "");
  if (!azure_path.empty()) {
    request.path = azure_path;
  }
  request.request_id = request_id_;
  std::string own_body;
  const provider::BodyPieces pieces = PiecesFor(plan, own_body);
  if (!pieces.empty()) {
    request.body_size = provider::SizeOf(pieces);
  }
  request.wants_plain_answer = asked_usage_;
  const absl::Span<const std::string_view> body(pieces);
  const std::vector<provider::HeaderField> signature =
      SignatureOf(request, body, loop_.clock(), loop_.signing_keys());
  request.signature = signature;
  AppendUpstreamHead(request, head);
  std::array<iovec, provider::kMaxBodyPieces + 1> parts{Part(head)};
  std::transform(body.begin(), body.end(), parts.begin() + 1, Part);
  const std::span<iovec> used(parts.data(), body.size() + 1);
  RequestWriting writing(loop_, *upstream_, used);
  const bool is_sent = co_await writing;
  upstream_timed_out_ = writing.timed_out();
  WipeString(head);  // it holds the credential
  co_return is_sent;
}

// Whoever waits for the upstream ends that; its connection stays open for what has come already.
void Exchange::OnUpstreamDeadline() {
  upstream_timed_out_ = true;
  if (upstream_ != nullptr) {
    upstream_->input().Wake();
  }
}

Task<TryResult> Exchange::ReadResponseHead(const table::Endpoint& endpoint) {
  Input& input = upstream_->input();
  const Duration limit = endpoint.first_byte_timeout.value_or(loop_.limits().first_byte_time);
  upstream_deadline_.Set(loop_.TurnTime() + limit);
  HeadScanner scanner;
  int interim = 0;
  while (true) {
    input.MarkSeen();
    const HeadScanner::Result found = scanner.Scan(input.view());
    if (found == HeadScanner::Result::kComplete) {
      response_head_size_ = scanner.size();
      const HeadError error =
          ParseResponseHead(input.view().substr(0, response_head_size_), response_);
      if (error != HeadError::kNone || response_.status == 101 || interim > kMaxInterim) {
        failure_ = "the upstream's answer is not valid HTTP/1.1";
        co_return TryResult::kMalformed;
      }
      if (response_.status >= 200) {
        break;
      }
      ++interim;
      input.Consume(response_head_size_);
      scanner.Reset();
      continue;
    }
    if (found != HeadScanner::Result::kIncomplete ||
        input.view().size() > loop_.limits().head_bytes) {
      failure_ = "the upstream's answer has a malformed or too large head";
      co_return TryResult::kMalformed;
    }
    if (cancelled_) {
      co_return TryResult::kCancelled;
    }
    if (upstream_timed_out_) {
      failure_ = "no answer in time";
      co_return TryResult::kTimeout;
    }
    if (input.ended()) {
      failure_ = "the upstream closed the connection before it answered";
      co_return input.empty() ? TryResult::kReset : TryResult::kMalformed;
    }
    co_await input.More();
  }
  upstream_deadline_.Clear();
  upstream_timed_out_ = false;  // it may have been in sending: an answer has come all the same
  head_in_connection_ = true;
  is_events_ =
      translation_ == nullptr ? IsEventStream(response_) : translation_->Streams(response_);
  frames_ = translation_ == nullptr && IsAmazonEventStream(response_)
                ? provider::NewFrameDecoder(provider::Framing::kAmazonEventStream)
                : nullptr;
  looked_at_.clear();
  const bool has_no_body =
      head_.method == "HEAD" || response_.status == 204 || response_.status == 304;
  if (has_no_body) {
    response_body_ = BodyDecoder::None();
  } else if (response_.chunked) {
    response_body_ = BodyDecoder::Chunked();
  } else if (response_.content_length.has_value()) {
    response_body_ = BodyDecoder::Length(*response_.content_length);
  } else {
    response_body_ = BodyDecoder::UntilClose();
  }
  co_return TryResult::kAnswer;
}

// Out of the connection: reading on may move what is there.
void Exchange::MoveHeadOut() {
  Input& input = upstream_->input();
  response_bytes_.assign(input.view().substr(0, response_head_size_));
  input.Consume(response_head_size_);
  head_in_connection_ = false;
  ParseResponseHead(response_bytes_, response_);
}

Task<bool> Exchange::LookAtBody(Duration time, bool (*enough)(std::string_view body)) {
  Input& input = upstream_->input();
  MoveHeadOut();
  upstream_deadline_.Set(loop_.TurnTime() + time);
  while (!response_body_.done() && looked_at_.size() < provider::kMaxEvidenceBody &&
         !enough(looked_at_)) {
    input.MarkSeen();
    if (!input.empty()) {
      const BodyDecoder::Result piece = response_body_.Decode(input.span());
      looked_at_.append(piece.decoded);
      input.Consume(piece.consumed);
      if (response_body_.failed()) {
        break;
      }
      continue;
    }
    if (input.ended() || upstream_timed_out_ || cancelled_) {
      break;
    }
    co_await input.More();
  }
  upstream_deadline_.Clear();
  upstream_timed_out_ = false;
  const bool ended_by_close = response_body_.framing() == BodyDecoder::Framing::kUntilClose &&
                              input.error() == IoError::kEndOfStream;
  co_return response_body_.done() || ended_by_close;
}

Task<bool> Exchange::LookAtErrorBody() {
  return LookAtBody(kErrorBodyTime, [](std::string_view) { return false; });
}

Task<TryResult> Exchange::AwaitFirstEvent() {
  const Duration limit = loop_.limits().first_event_time;
  Translation::HasBegun has_begun = SseScanner::HasBegun;
  if (translation_ != nullptr) {
    has_begun = translation_->has_begun();
  } else if (frames_ != nullptr) {
    has_begun = provider::HasAmazonFrame;
  }
  const bool is_whole = co_await LookAtBody(limit, has_begun);
  const bool is_cut = response_body_.failed() || (upstream_->input().ended() && !is_whole);
  const bool is_empty =
      is_whole && NeedsLastEvent() && looked_at_.find_first_not_of("\r\n") == std::string::npos;
  if (cancelled_) {
    co_return TryResult::kCancelled;
  }
  if (is_empty || (is_cut && !has_begun(looked_at_))) {
    failure_ = "the upstream's stream ended before its first event";
    co_return response_body_.failed() ? TryResult::kMalformed : TryResult::kReset;
  }
  co_return TryResult::kAnswer;
}

void Exchange::DropUpstream() {
  if (upstream_ != nullptr) {
    UpstreamConnection::Discard(std::move(upstream_));
  }
}

void Exchange::EndUpstreamTime() {
  // What came last came with this turn. A try that failed at once began in it.
  upstream_time_ += std::max(Duration{}, loop_.TurnTime() - upstream_start_);
}

void Exchange::FinishUpstream() {
  EndUpstreamTime();
  upstream_deadline_.Clear();
  if (upstream_ == nullptr) {
    return;
  }
  const bool is_reusable = response_body_.done() && request_sent_ && response_.keep_alive &&
                           upstream_->input().empty() && !upstream_->input().ended();
  if (is_reusable) {
    loop_.pool().Give(std::move(upstream_));
  } else {
    DropUpstream();
  }
}

}  // namespace rota::engine
