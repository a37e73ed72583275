#pragma once

// One request from its head to the end of its answer: admission, match, body, rotation and tries,
// relay, accounting. The files follow that order: exchange.cc, exchange_forward.cc,
// exchange_try.cc, exchange_relay.cc, exchange_translate.cc. Contract: docs/concepts.
// Lives inside its connection's coroutine; Cancel() ends it wherever it waits. Single-thread
// (owner: the loop).

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/engine/body_budget.h"
#include "dataplane/engine/body_decoder.h"
#include "dataplane/engine/client_connection.h"
#include "dataplane/engine/deadline.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/engine/loop.h"
#include "dataplane/engine/message_writer.h"
#include "dataplane/engine/sse_scanner.h"
#include "dataplane/engine/task.h"
#include "dataplane/engine/translation.h"
#include "dataplane/engine/try_plan.h"
#include "dataplane/engine/upstream_connection.h"
#include "dataplane/engine/usage_meter.h"
#include "dataplane/engine/waiting.h"
#include "dataplane/observe/request_metrics.h"
#include "dataplane/provider/evidence.h"
#include "dataplane/provider/framing.h"
#include "dataplane/provider/model_span.h"
#include "dataplane/table/route_table.h"

namespace rota::engine {

class Exchange final {
 public:
  explicit Exchange(ClientConnection& client);
  ~Exchange();
  Task<void> Run();
  void Cancel();  // the client is gone
  // For its client the end of the connection is the end of the answer.
  bool ends_with_connection() const {
    return head_sent_ && framing_ == ClientAnswer::Framing::kUntilClose;
  }

 private:
  // exchange.cc
  std::optional<GatewayError> Admit();
  std::optional<GatewayError> Match();
  std::optional<GatewayError> CheckContentType();
  std::optional<GatewayError> CheckBody();
  GatewayError BodyErrorOf(BodyResult result);
  size_t BodyLimit() const;
  bool UsesRotation() const;
  bool HasBody() const;
  Task<void> Serve();
  Task<void> Answer(const GatewayError& error);  // `error` outlives it
  Task<void> AnswerModels();
  Task<void> AnswerOptions();
  Task<void> Write(std::string_view bytes);
  void Account();
  void WriteAccessRecord(MonotonicTime now);

  // exchange_forward.cc
  Task<void> ForwardFixed();
  // False: it has waited for a rotation that is not its operation's any more, and has to begin anew
  // with what is configured now.
  Task<bool> ForwardRotated();
  Task<bool> ForwardInTurn();  // `onAllSuspended: Wait`: behind those who wait already
  Task<void> AnswerNoPick(rotation::NothingEligible nothing);
  enum class Turn : uint8_t { kHasCome, kHasNotCome, kIsElsewhere };
  Task<Turn> WaitForTurn(std::optional<size_t>& target);
  bool FollowConfiguration();
  rotation::PickResult PickFirst(MonotonicTime now);
  Task<void> TryTargets(size_t first);  // and others behind it; relays or answers
  // Suspends, counts; the target to try next. `is_whole`: all of an error's body was looked at.
  std::optional<size_t> JudgeAnswer(const TryPlan& plan, bool is_whole);
  provider::Evidence Judge(const TryPlan& plan) const;
  bool MayReplay(const provider::Evidence& evidence) const;
  bool MayReplay(TryResult result) const;
  bool IsReplayable() const;
  void RecordFailure(const TryPlan& plan, TryResult result);
  std::optional<size_t> NextTarget();
  void SaveAnswer(bool is_whole);
  void DropSaved();
  // All failures of the request at once: two alike count against neither target.
  void FlushFailures();
  void ReportProbe(Waiting::Outcome outcome);  // to the waiting room that has released this request
  void LogTry(const TryPlan& plan, std::string_view what) const;
  TryPlan PlanOf(size_t target) const;
  Task<void> AnswerFailure(TryResult result);  // the last upstream answer, or an own error
  Task<void> RelaySaved();
  Task<void> RelaySavedRest();
  GatewayError AllSuspendedError(const rotation::NothingEligible& nothing) const;
  GatewayError NoTurnError() const;
  bool is_stream() const { return is_events_ || frames_ != nullptr; }
  // Its last event says that it is complete.
  bool NeedsLastEvent() const;
  // Error events inside a stream that began with 200.
  void JudgeErrorEvent(std::string_view name, std::string_view data);
  provider::Evidence JudgeEvent(const TryPlan& plan, std::string_view name,
                                std::string_view data) const;
  bool JudgeFirstEvents(const TryPlan& plan, provider::Evidence& evidence);
  void Suspend(const TryPlan& plan, const provider::Evidence& evidence);  // if it says so
  void ApplyEvidence(const TryPlan& plan, const provider::Evidence& evidence);

  // exchange_try.cc
  Task<TryResult> Try(const TryPlan& plan);
  Task<TryResult> Connect(const table::Endpoint& endpoint);
  Task<bool> SendRequest(const TryPlan& plan);
  provider::BodyPieces PiecesFor(const TryPlan& plan, std::string& own_body);
  Task<TryResult> ReadResponseHead(const table::Endpoint& endpoint);  // of a final answer
  bool MayRepeat() const;
  std::unique_ptr<UpstreamConnection> TakeIdle(const table::Endpoint& endpoint);
  void OnUpstreamDeadline();
  void DropUpstream();
  void EndUpstreamTime();
  void FinishUpstream();  // its answer has been read: into the pool if it may be used again
  void MoveHeadOut();
  // Reads the body into looked_at_ until `enough`, its end, the limit or `time`; true when whole.
  Task<bool> LookAtBody(Duration time, bool (*enough)(std::string_view body));
  Task<bool> LookAtErrorBody();
  // Holds a stream's head back until it is known whether the stream begins with an error.
  Task<TryResult> AwaitFirstEvent();

  // exchange_relay.cc
  Task<void> Relay();
  void BeginRelay(std::string& head);
  void ReleaseRequest();  // what was kept for another try: a stream may stay for minutes
  // Sends `piece` (decoded) with what frames it; `last` ends the body. Clears `head`.
  Task<bool> SendPiece(std::string& head, std::string_view piece, bool last);
  std::string_view Releasable(std::string_view piece);
  std::string_view WithTheRest(std::string_view piece);
  BodyPiece NextPiece(bool first);  // of the body; `first`: what was looked at already
  Task<void> StreamBody(std::string& head);
  void FollowEvents(std::string_view events);
  void FollowFrames(std::string_view bytes);
  // The answer cannot be completed: a stream of events gets an error event, others are cut.
  Task<void> EndCutAnswer(std::string& head);

  // exchange_translate.cc
  // Makes translation_ for a try at a provider with its own form, or says why it cannot be made.
  std::optional<GatewayError> Translate(const TryPlan& plan);
  Task<void> RelayTranslated();
  Task<bool> ReadWholeAnswer();
  Task<bool> SendTranslatedRequest(const TryPlan& plan);
  void SaveTranslated();
  Task<void> RelayWhole();
  void ReplaceHead(std::string head);
  Task<void> SendTranslated(const Translation::Answer& answer);
  Task<void> StreamTranslated(std::string& head);
  Task<void> FinishTranslated(std::string& head, std::string& out);

  ClientConnection& client_;
  Loop& loop_;
  const RequestHead& head_;
  std::shared_ptr<const table::RouteTable> table_;
  table::Match match_;
  BodyShare body_share_;
  std::string body_storage_;
  std::string_view body_;
  size_t request_bytes_ = 0;  // of the body
  provider::ModelSpan span_;
  RequestId made_id_{};
  std::string_view request_id_;  // that, or the client's own
  bool rotated_ = false;
  bool cancelled_ = false;

  rotation::TargetSet tried_;
  std::vector<rotation::Failure> failures_;
  uint32_t tries_ = 0;
  Dial* dial_ = nullptr;
  Waiting* waiting_ = nullptr;  // only with `onAllSuspended: Wait`
  std::unique_ptr<UpstreamConnection> upstream_;
  Deadline upstream_deadline_;
  bool upstream_timed_out_ = false;
  std::string failure_;           // of the last try, for the log
  bool request_started_ = false;  // bytes of the last try's request may have left
  bool request_sent_ = false;     // all of it has
  bool asked_usage_ = false;      // ... asks for usage that the client does not want to see
  std::string response_bytes_;    // the answer's head, when it has been moved out of the connection
  bool head_in_connection_ = false;  // it has not
  ResponseHead response_;
  bool is_events_ = false;  // the answer is a stream of server-sent events
  // Follows a stream of Bedrock's own that is passed on as it is.
  std::unique_ptr<provider::FrameDecoder> frames_;
  size_t response_head_size_ = 0;
  BodyDecoder response_body_;
  std::string looked_at_;  // decoded beginning of a body that was looked at before it was relayed
  std::optional<SavedAnswer> saved_;          // the last answer that was failed over from
  std::unique_ptr<Translation> translation_;  // of this try; null: in OpenAI's form both ways

  TryPlan relayed_;  // `target` is null without a rotation
  ClientAnswer::Framing framing_ = ClientAnswer::Framing::kNone;
  SseScanner events_;
  bool has_judged_event_ = false;  // the stream's error event has been evidence already
  std::string held_;               // the beginning of an event that is not whole
  std::string outgoing_;           // a held event with its rest, while it is being sent
  bool is_inside_event_ = false;   // what was sent last ends in the middle of an event
  UsageMeter usage_;
  bool head_sent_ = false;

  MonotonicTime start_;
  MonotonicTime upstream_start_;
  Duration upstream_time_{};
  uint64_t response_bytes_sent_ = 0;
  int status_ = 0;
  std::string_view error_code_;
  table::SeriesId series_ = 0;
  bool has_series_ = false;
  std::string_view model_;
  std::string_view target_name_;
};

}  // namespace rota::engine
