// Where a request goes: the rotation's pick, evidence from answers, and the next try.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "dataplane/engine/exchange.h"
#include "dataplane/engine/upstream_pool.h"
#include "dataplane/provider/content_coding.h"
#include "dataplane/provider/framing.h"
#include "dataplane/provider/json.h"

namespace rota::engine {
namespace {

constexpr std::string_view kComponent = "engine";

rotation::FailureKind KindOf(TryResult result) {
  switch (result) {
    case TryResult::kTls:
      return rotation::FailureKind::kTls;
    case TryResult::kReset:
    case TryResult::kMalformed:
      return rotation::FailureKind::kReset;
    case TryResult::kTimeout:
      return rotation::FailureKind::kTimeout;
    default:
      return rotation::FailureKind::kConnect;
  }
}

observe::FailoverReason ReasonOf(TryResult result) {
  switch (result) {
    case TryResult::kTls:
      return observe::FailoverReason::kTls;
    case TryResult::kReset:
    case TryResult::kMalformed:
      return observe::FailoverReason::kReset;
    case TryResult::kTimeout:
      return observe::FailoverReason::kTimeout;
    default:
      return observe::FailoverReason::kConnect;
  }
}

observe::FailoverReason ReasonOf(provider::Verdict verdict) {
  switch (verdict) {
    case provider::Verdict::kQuota:
      return observe::FailoverReason::kQuota;
    case provider::Verdict::kAuth:
      return observe::FailoverReason::kAuth;
    default:
      return observe::FailoverReason::kServerError;
  }
}

std::optional<size_t> TargetOf(const rotation::PickResult& picked) {
  return picked.pick.has_value() ? std::optional<size_t>(picked.pick->target) : std::nullopt;
}

// A JSON string as text; "" when it has no escapes.
std::string WithoutEscapes(std::string_view json) {
  if (json.find('\\') == std::string_view::npos) {
    return "";
  }
  const absl::StatusOr<provider::Json> text = provider::ParseJson(json);
  return text.ok() && text->is_string() ? text->get<std::string>() : "";
}

int64_t CeilSeconds(Duration duration) {
  const int64_t seconds = std::chrono::ceil<std::chrono::seconds>(duration).count();
  return std::max<int64_t>(1, seconds);
}

}  // namespace

// --- Without a rotation
// -----------------------------------------------------------------------------

Task<void> Exchange::ForwardFixed() {
  TryPlan plan;
  plan.endpoint = match_.route->endpoint;
  plan.series = match_.route->endpoint_series;
  if (plan.endpoint->credential_missing) {
    const GatewayError error{
        503, "credential_missing",
        plan.endpoint->identity.empty()
            ? "the Secret that this API's endpoint needs is missing or lacks its key"
            : "the gateway has no cloud identity at the moment, which this API's endpoint needs",
        -1, ""};
    co_await Answer(error);
    co_return;
  }
  const std::optional<GatewayError> problem = Translate(plan);
  if (problem.has_value()) {
    co_await Answer(*problem);
    co_return;
  }
  const TryResult result = co_await Try(plan);
  if (result == TryResult::kAnswer) {
    co_await Relay();
  } else if (result != TryResult::kCancelled) {
    LogTry(plan, "upstream failed");
    co_await AnswerFailure(result);
  }
}

// --- With a rotation
// --------------------------------------------------------------------------------

TryPlan Exchange::PlanOf(size_t target) const {
  TryPlan plan;
  plan.target = &match_.route->rotation->targets[target];
  plan.endpoint = plan.target->endpoint;
  plan.index = target;
  plan.series = plan.target->series;
  plan.model = plan.target->model;
  plan.model_json = plan.target->model_json;
  if (span_.has_model && !plan.target->allowed_models.empty()) {
    const std::string_view wanted = body_.substr(span_.begin, span_.end - span_.begin);
    const std::string written = WithoutEscapes(wanted);
    for (const table::AllowedModel& allowed : plan.target->allowed_models) {
      if (allowed.model_json == wanted || allowed.model == written) {
        plan.model = allowed.model;
        plan.model_json = allowed.model_json;
      }
    }
  }
  return plan;
}

// Not all targets can have all operations: those that cannot are passed over.
rotation::PickResult Exchange::PickFirst(MonotonicTime now) {
  return match_.route->rotation->rotation->PickFirst(now, match_.route->excluded);
}

Task<bool> Exchange::ForwardRotated() {
  bool is_served = true;
  if (match_.route->rotation->on_all_suspended == table::OnAllSuspended::kWait) {
    is_served = co_await ForwardInTurn();
  } else {
    const rotation::PickResult picked = PickFirst(loop_.TurnTime());
    if (picked.pick.has_value()) {
      co_await TryTargets(picked.pick->target);
    } else {
      co_await AnswerNoPick(picked.nothing);
    }
  }
  FlushFailures();
  co_return is_served;
}

Task<bool> Exchange::ForwardInTurn() {
  const std::shared_ptr<const table::RouteTable> kept = table_;  // with the rotation of `waiting`
  rotation::Rotation& rotation = *match_.route->rotation->rotation;
  Waiting waiting(loop_, {&rotation, match_.route->excluded}, body_.size());
  waiting_ = &waiting;
  std::optional<size_t> target;
  if (!waiting.IsBehindOthers()) {
    target = TargetOf(PickFirst(loop_.TurnTime()));
  }
  Turn turn = Turn::kHasCome;
  if (!target.has_value()) {
    turn = co_await WaitForTurn(target);
  }
  if (turn == Turn::kHasCome) {
    co_await TryTargets(*target);
  } else if (turn == Turn::kHasNotCome && !cancelled_) {
    // What Retry-After says is the return as it is known now. Who has waited in vain while
    // something has returned does not go all the same: all who have waited would, at once.
    const std::optional<rotation::NothingEligible> nothing =
        rotation.WhyNothing(loop_.Now(), match_.route->excluded);
    const GatewayError error = nothing.has_value() ? AllSuspendedError(*nothing) : NoTurnError();
    waiting.Report(Waiting::Outcome::kNothing);  // before a client that may be slow
    co_await Answer(error);
  }
  waiting_ = nullptr;
  co_return turn != Turn::kIsElsewhere;
}

Task<void> Exchange::AnswerNoPick(rotation::NothingEligible nothing) {
  if (match_.route->rotation->on_all_suspended == table::OnAllSuspended::kPassThrough) {
    co_await ForwardFixed();
  } else {
    const GatewayError error = AllSuspendedError(nothing);
    co_await Answer(error);
  }
}

void Exchange::FlushFailures() {
  if (!failures_.empty()) {
    const table::BoundRotation& bound = *match_.route->rotation;
    for (const size_t target : bound.rotation->RecordFailures(failures_, loop_.Now())) {
      loop_.metrics().CountSuspension(bound.targets[target].series, rotation::Reason::kFailures);
    }
    failures_.clear();
  }
}

void Exchange::ReportProbe(Waiting::Outcome outcome) {
  if (waiting_ != nullptr) {
    waiting_->Report(outcome);
  }
}

Task<Exchange::Turn> Exchange::WaitForTurn(std::optional<size_t>& target) {
  const MonotonicTime until = start_ + match_.route->rotation->wait_timeout;
  while (!target.has_value()) {
    const Waiting::Result result = co_await waiting_->Wait(until);
    if (result == Waiting::Result::kFull) {
      loop_.metrics().CountLimit(observe::Limit::kWaiters);
    }
    if (result != Waiting::Result::kReleased) {
      co_return Turn::kHasNotCome;
    }
    if (!FollowConfiguration()) {
      co_return Turn::kIsElsewhere;
    }
    target = TargetOf(PickFirst(loop_.Now()));
  }
  co_return Turn::kHasCome;
}

// What is configured now counts for who has waited: its credential may have been replaced, or
// withdrawn. False: its operation has another rotation now, or none.
bool Exchange::FollowConfiguration() {
  if (loop_.table() == table_) {
    return true;
  }
  const rotation::Rotation* const rotation = match_.route->rotation->rotation.get();
  const rotation::TargetSet excluded = match_.route->excluded;
  return !Match().has_value() && rotated_ && match_.route->rotation->rotation.get() == rotation &&
         match_.route->excluded == excluded;
}

GatewayError Exchange::NoTurnError() const {
  return {429, "rate_limit_exceeded",
          "requests that came before still wait for a model of this API that has just returned; "
          "try again",
          1, ""};
}

GatewayError Exchange::AllSuspendedError(const rotation::NothingEligible& nothing) const {
  if (!nothing.earliest_return.has_value()) {
    return {503, "no_usable_target",
            "no model of this API can be used: every weight is 0 or every credential is missing",
            -1, ""};
  }
  const int64_t seconds = CeilSeconds(*nothing.earliest_return - loop_.Now());
  return {429, "rate_limit_exceeded",
          absl::StrCat("every model of this API is suspended; the first one returns in ", seconds,
                       " s"),
          seconds, ""};
}

std::optional<size_t> Exchange::NextTarget() {
  const table::BoundRotation& bound = *match_.route->rotation;
  if (tries_ >= bound.attempts) {
    return std::nullopt;
  }
  return TargetOf(bound.rotation->PickNext(loop_.Now(), tried_, match_.route->excluded));
}

Task<void> Exchange::TryTargets(size_t first) {
  std::optional<size_t> next = first;
  std::optional<GatewayError> refused;  // why a provider cannot have the request
  TryResult result = TryResult::kConnect;
  while (next.has_value()) {
    const TryPlan plan = PlanOf(*next);
    tried_.set(plan.index);
    next.reset();
    if (std::optional<GatewayError> problem = Translate(plan); problem.has_value()) {
      // Another target may be able to.
      refused = std::move(problem);
      next = NextTarget();
      continue;
    }
    result = co_await Try(plan);
    if (result == TryResult::kCancelled || client_.gone()) {
      co_return;
    }
    if (result == TryResult::kAnswer) {
      bool is_whole = false;
      if (response_.status >= 400) {
        is_whole = co_await LookAtErrorBody();
        if (client_.gone()) {
          co_return;
        }
      }
      next = JudgeAnswer(plan, is_whole);
      if (!next.has_value()) {
        relayed_ = plan;
        FlushFailures();  // a stream may go on for minutes
        DropSaved();
        co_await Relay();
        co_return;
      }
      continue;
    }
    LogTry(plan, "try failed");
    RecordFailure(plan, result);
    if (MayReplay(result)) {
      next = NextTarget();
    }
    if (next.has_value()) {
      loop_.metrics().CountFailover(plan.series, ReasonOf(result));
    }
  }
  if (tries_ == 0 && refused.has_value()) {
    ReportProbe(Waiting::Outcome::kGone);
    co_await Answer(*refused);
  } else {
    ReportProbe(result == TryResult::kNoResources ? Waiting::Outcome::kGone
                                                  : Waiting::Outcome::kFailed);
    co_await AnswerFailure(result);
  }
}

bool Exchange::IsReplayable() const {
  switch (match_.operation->kind) {
    case rota::sync::v1::CHAT:
    case rota::sync::v1::COMPLETIONS:
    case rota::sync::v1::EMBEDDINGS:
    case rota::sync::v1::MESSAGES:
    case rota::sync::v1::CONVERSE:
      return true;
    default:
      return match_.route->rotation != nullptr && match_.route->rotation->retry_non_idempotent;
  }
}

bool Exchange::MayReplay(const provider::Evidence& evidence) const {
  // The server has looked at the request and failed, whatever else it says.
  const bool is_server_error =
      evidence.verdict == provider::Verdict::kFailure || response_.status >= 500;
  return evidence.fails_over && (!is_server_error || IsReplayable());
}

bool Exchange::MayReplay(TryResult result) const {
  switch (result) {
    case TryResult::kConnect:
    case TryResult::kTls:
    case TryResult::kNoResources:  // ports: to another address there may be one
      return true;
    case TryResult::kReset:
    case TryResult::kMalformed:
      return IsReplayable();
    case TryResult::kTimeout:
      // While connecting nothing was sent; a request that was may still be worked on.
      return !request_started_;
    default:
      return false;
  }
}

void Exchange::RecordFailure(const TryPlan& plan, TryResult result) {
  if (result != TryResult::kNoResources) {
    failures_.push_back({plan.index, KindOf(result)});
  }
}

provider::Evidence Exchange::Judge(const TryPlan& plan) const {
  provider::AnswerHeaders headers;
  for (const Field& field : response_.fields) {
    headers.Add(field.name, field.value);
  }
  if (provider::SaysNothing(response_.status, headers)) {
    return {};
  }
  const provider::Dialect dialect = provider::DialectOf(plan.endpoint->provider);
  const std::string_view coding = response_.Find(FieldKind::kContentEncoding);
  std::optional<std::string> decoded;
  if (!provider::IsIdentity(coding) && provider::NeedsBody(dialect, response_.status)) {
    decoded = provider::DecodePrefix(coding, looked_at_, provider::kMaxEvidenceBody);
  }
  const std::string_view body = decoded.has_value() ? *decoded : looked_at_;
  return provider::Judge(dialect, response_.status, headers, body, loop_.clock().WallNow());
}

provider::Evidence Exchange::JudgeEvent(const TryPlan& plan, std::string_view name,
                                        std::string_view data) const {
  return provider::JudgeStreamEvent(provider::DialectOf(plan.endpoint->provider), name, data,
                                    loop_.clock().WallNow());
}

// True when the stream begins with an error: the evidence is that.
bool Exchange::JudgeFirstEvents(const TryPlan& plan, provider::Evidence& evidence) {
  std::optional<Translation::ErrorFrame> error;
  if (translation_ != nullptr) {
    error = translation_->FindError(looked_at_);
  } else if (frames_ != nullptr) {
    // Bytes that are no frames are found again when the stream is followed.
    provider::NewFrameDecoder(provider::Framing::kAmazonEventStream)
        ->Add(looked_at_,
              [&error](const provider::Frame& frame) {
                if (frame.is_exception) {
                  error = {std::string(frame.name), std::string(frame.data)};
                }
                return !frame.is_exception;
              })
        .IgnoreError();
  } else {
    SseScanner first;
    first.Add(std::string_view(looked_at_).substr(0, SseScanner::WholeEvents(looked_at_)));
    if (!first.error_data().empty()) {
      error = {first.error_event(), first.error_data()};
    }
  }
  if (error.has_value()) {
    Suspend(plan, evidence);  // what the head has said holds all the same
    evidence = JudgeEvent(plan, error->name, error->data);
    has_judged_event_ = true;
  }
  return error.has_value();
}

// A stream that began well may still say that a quota is used up.
void Exchange::JudgeErrorEvent(std::string_view name, std::string_view data) {
  if (relayed_.target != nullptr && !has_judged_event_) {
    Suspend(relayed_, JudgeEvent(relayed_, name, data));
  }
}

void Exchange::Suspend(const TryPlan& plan, const provider::Evidence& evidence) {
  if (evidence.verdict == provider::Verdict::kNone) {
    return;
  }
  const table::BoundRotation& bound = *match_.route->rotation;
  provider::SuspensionPolicy policy;
  policy.quota = bound.quota_suspension;
  policy.maximum = bound.max_suspension;
  policy.failure = bound.failure_suspension;
  const MonotonicTime now = loop_.Now();
  const bool is_auth = evidence.verdict == provider::Verdict::kAuth;
  if (const std::optional<Duration> window = provider::SuspensionWindow(evidence, policy)) {
    const rotation::Reason reason = is_auth ? rotation::Reason::kAuth : rotation::Reason::kQuota;
    if (bound.rotation->Suspend(plan.index, reason, now, now + *window, table_->generation())) {
      loop_.metrics().CountSuspension(plan.series, reason);
    }
    if (is_auth) {
      log::Error(kComponent, "an upstream refuses the credential of an endpoint",
                 {{"api", match_.api->id},
                  {"endpoint", plan.endpoint->name},
                  {"model", plan.target->model},
                  {"status", response_.status}});
    }
  }
}

void Exchange::ApplyEvidence(const TryPlan& plan, const provider::Evidence& evidence) {
  const table::BoundRotation& bound = *match_.route->rotation;
  const bool is_auth = evidence.verdict == provider::Verdict::kAuth;
  Suspend(plan, evidence);
  if (evidence.counts_as_failure) {
    failures_.push_back({plan.index, rotation::FailureKind::kServerError});
  } else if (!is_auth && evidence.verdict != provider::Verdict::kFailure) {
    bound.rotation->RecordSuccess(plan.index);
  }
}

std::optional<size_t> Exchange::JudgeAnswer(const TryPlan& plan, bool is_whole) {
  has_judged_event_ = false;
  provider::Evidence evidence = Judge(plan);
  if (response_.status < 400 && is_stream() && JudgeFirstEvents(plan, evidence)) {
    is_whole = true;  // nothing follows an error event
  }
  ApplyEvidence(plan, evidence);
  const std::optional<size_t> next = MayReplay(evidence) ? NextTarget() : std::nullopt;
  if (next.has_value()) {
    loop_.metrics().CountFailover(plan.series, ReasonOf(evidence.verdict));
    SaveAnswer(is_whole);
  } else {
    // What the client has done wrong says nothing bad about the target.
    const bool is_served = evidence.verdict == provider::Verdict::kNone ||
                           evidence.verdict == provider::Verdict::kRequestTooLarge ||
                           (response_.status < 400 && !has_judged_event_);
    ReportProbe(is_served ? Waiting::Outcome::kServed : Waiting::Outcome::kFailed);
  }
  return next;
}

// Keeps the answer in case no other comes, and gives its connection back; of an answer that is long
// or slow the connection is kept, too.
void Exchange::SaveAnswer(bool is_whole) {
  if (translation_ != nullptr) {
    SaveTranslated();  // of an error its beginning is enough
  } else {
    DropSaved();
    saved_.emplace(SavedAnswer{response_bytes_, looked_at_, series_, model_, target_name_,
                               is_whole ? nullptr : std::move(upstream_),
                               is_whole ? BodyDecoder::None() : response_body_});
  }
  FinishUpstream();
}

void Exchange::DropSaved() {
  if (saved_.has_value() && saved_->upstream != nullptr) {
    UpstreamConnection::Discard(std::move(saved_->upstream));
  }
  saved_.reset();
}

Task<void> Exchange::RelaySaved() {
  response_bytes_ = std::move(saved_->head);
  looked_at_ = std::move(saved_->body);
  series_ = saved_->series;
  model_ = saved_->model;
  target_name_ = saved_->target;
  ParseResponseHead(response_bytes_, response_);
  is_events_ = IsEventStream(response_);
  frames_ = nullptr;
  head_in_connection_ = false;
  if (saved_->upstream != nullptr) {
    co_await RelaySavedRest();
    co_return;
  }
  // The body is whole: it goes out with its length, whatever its framing was.
  response_.content_length = looked_at_.size();
  response_.chunked = false;
  response_body_ = BodyDecoder::Length(0);
  std::string head;
  BeginRelay(head);
  co_await SendPiece(head, looked_at_, /*last=*/true);
}

Task<void> Exchange::RelaySavedRest() {
  DropUpstream();
  upstream_ = std::move(saved_->upstream);
  response_body_ = saved_->rest;
  translation_ = nullptr;
  request_sent_ = false;  // the one that it is about is forgotten: the connection serves no other
  upstream_timed_out_ = false;  // that was another one
  upstream_start_ = loop_.TurnTime();
  co_await Relay();
}

Task<void> Exchange::AnswerFailure(TryResult result) {
  if (client_.gone()) {
    co_return;
  }
  if (saved_.has_value()) {
    co_await RelaySaved();
    co_return;
  }
  if (result == TryResult::kTimeout && request_started_) {
    const GatewayError error{504, "102504", "the upstream did not answer in time", -1, ""};
    co_await Answer(error);
  } else if (result == TryResult::kMalformed) {
    const GatewayError error{502, "upstream_malformed",
                             "the upstream's answer is not valid HTTP/1.1", -1, ""};
    co_await Answer(error);
  } else if (result == TryResult::kNoResources) {
    const GatewayError error{503, "too_many_connections",
                             "this gateway can open no more connections to the upstream; retry in "
                             "a moment",
                             1, ""};
    loop_.metrics().CountLimit(observe::Limit::kConnections);
    co_await Answer(error);
  } else {
    const GatewayError error{503, "102503", "the upstream could not be reached", -1, ""};
    co_await Answer(error);
  }
}

void Exchange::LogTry(const TryPlan& plan, std::string_view what) const {
  if (!loop_.MayWarn()) {
    return;  // counted in any case
  }
  log::Warn(kComponent, what,
            {{"api", match_.api->id},
             {"endpoint", plan.endpoint->name},
             {"request_id", request_id_},
             {"error", failure_}});
}

}  // namespace rota::engine
