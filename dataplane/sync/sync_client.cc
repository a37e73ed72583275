#include "dataplane/sync/sync_client.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/proto_duration.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kSuspensionsPerReport = 1024;

BackoffOptions RetryBackoff(const SyncClientOptions& options) {
  BackoffOptions backoff;
  backoff.initial = options.first_retry;
  backoff.maximum = options.longest_retry;
  backoff.jitter = -1.0;  // full jitter: uniform in (0, d]
  return backoff;
}

}  // namespace

SyncClient::SyncClient(SyncClientOptions options, std::unique_ptr<SyncTransport> transport,
                       SyncCallbacks callbacks, Clock& clock)
    : options_(std::move(options)),
      transport_(std::move(transport)),
      callbacks_(std::move(callbacks)),
      clock_(clock),
      inbox_(std::make_shared<SyncInbox>()),
      worker_({options_.gateway, options_.state_dir, options_.state_key, options_.save_interval},
              callbacks_.apply, inbox_, clock),
      stager_(options_.limits),
      backoff_(RetryBackoff(options_), options_.random) {
  // Data planes that start at once do not all choose the same controller.
  address_ =
      static_cast<size_t>(options_.random() * static_cast<double>(transport_->address_count())) %
      transport_->address_count();
}

SyncClient::~SyncClient() {
  if (thread_.joinable()) {
    thread_.request_stop();
    thread_.join();
  }
  stream_.reset();
}

void SyncClient::Start() {
  started_ = clock_.Now();
  retry_at_ = started_;
  thread_ = std::jthread([this](std::stop_token stop) { Run(stop); });
}

void SyncClient::ReportSuspension(const rotation::Suspension& suspension) {
  inbox_->AddSuspension(suspension);
}

SyncState SyncClient::state() const {
  SyncState state;
  worker_.FillState(state);
  state.suspension_reports_dropped = inbox_->dropped_suspensions();
  std::lock_guard guard(state_mutex_);
  state.connected = state_.connected;
  state.controller = state_.controller;
  state.server = state_.server;
  state.last_error = state_.last_error;
  state.current_at = state_.current_at;
  state.streams = state_.streams;
  state.retry_at = state_.retry_at;
  return state;
}

void SyncClient::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    OnTime(clock_.Now());
    Write(clock_.Now());
    for (SyncEvent& event : inbox_->Wait(clock_, NextDeadline(), stop)) {
      Handle(std::move(event), clock_.Now());
    }
  }
}

MonotonicTime SyncClient::NextDeadline() const {
  MonotonicTime next = MonotonicTime::max();
  if (!configured_ && !load_tried_ && !welcomed_) {
    next = started_ + options_.startup_grace;
  }
  if (stream_ == nullptr) {
    return jobs_ > 0 ? next : std::min(next, retry_at_);
  }
  next = std::min(next, welcomed_ ? last_received_ + options_.silence_timeout
                                  : opened_at_ + options_.welcome_timeout);
  next = std::min(next, leave_at_.value_or(next));
  next = std::min(next, remind_at_.value_or(next));
  if (!writing_ && welcomed_) {
    next = std::min(next, last_written_ + options_.heartbeat_interval);
  }
  return next;
}

void SyncClient::OnTime(MonotonicTime now) {
  if (!configured_ && !load_tried_ && !welcomed_ && now >= started_ + options_.startup_grace) {
    load_tried_ = true;
    ++jobs_;
    worker_.LoadLastKnownGood();
  }
  if (stream_ == nullptr) {
    // The inventory of the next Hello has to wait for what is being applied.
    if (jobs_ == 0 && now >= retry_at_) {
      Connect(now);
    }
    return;
  }
  if (!welcomed_ && now >= opened_at_ + options_.welcome_timeout) {
    Disconnect(absl::DeadlineExceededError("the controller did not welcome in time"), now);
  } else if (welcomed_ && now >= last_received_ + options_.silence_timeout) {
    Disconnect(absl::DeadlineExceededError("the controller has been silent for too long"), now);
  } else if (leave_at_.has_value() && now >= *leave_at_) {
    backoff_.Reset();
    Disconnect(absl::UnavailableError("the controller asked to connect elsewhere"), now);
  } else if (remind_at_.has_value() && now >= *remind_at_) {
    Remind(now);
  }
}

void SyncClient::Connect(MonotonicTime now) {
  ++stream_number_;
  stager_.Reset();
  welcomed_ = false;
  hello_written_ = false;
  writing_ = false;
  ack_.reset();
  leave_at_.reset();
  remind_at_.reset();
  controller_clock_ = {};
  early_updates_ = {};
  controller_view_.Clear();
  opened_at_ = now;
  last_received_ = now;
  {
    std::lock_guard guard(state_mutex_);
    ++state_.streams;
    state_.retry_at.reset();
    state_.controller = transport_->address(address_);
  }
  stream_ = transport_->Connect(address_, std::make_shared<InboxEvents>(inbox_, stream_number_));
  stream_->StartRead();
}

void SyncClient::Disconnect(const absl::Status& status, MonotonicTime now) {
  stream_.reset();  // cancels
  ++stream_number_;
  inbox_->RestoreSuspensions(writing_report_, last_written_);
  writing_report_.Clear();
  const std::string controller = transport_->address(address_);
  address_ = (address_ + 1) % transport_->address_count();
  retry_at_ = now + backoff_.Next();
  const std::string error =
      absl::StrCat(status.ok() ? std::string("the controller closed the stream")
                               : std::string(status.message()));
  if (welcomed_ || error != logged_error_) {
    log::Warn("sync", "no stream to a controller; serving goes on",
              {{"controller", controller}, {"reason", error}});
    logged_error_ = error;
  }
  welcomed_ = false;
  std::lock_guard guard(state_mutex_);
  state_.connected = false;
  state_.last_error = error;
  state_.retry_at = retry_at_;
}

void SyncClient::Handle(SyncEvent event, MonotonicTime now) {
  const bool of_this_stream = stream_ != nullptr && event.stream == stream_number_;
  if (auto* applied = std::get_if<AppliedEvent>(&event.what)) {
    On(std::move(*applied), of_this_stream, now);
  } else if (const auto* loaded = std::get_if<LoadedEvent>(&event.what)) {
    On(*loaded);
  } else if (!of_this_stream) {
    return;
  } else if (auto* message = std::get_if<MessageEvent>(&event.what)) {
    On(std::move(*message), now);
  } else if (const auto* written = std::get_if<WriteDoneEvent>(&event.what)) {
    On(*written);
  } else if (const auto* closed = std::get_if<ClosedEvent>(&event.what)) {
    On(*closed, now);
  }
}

void SyncClient::On(MessageEvent event, MonotonicTime now) {
  last_received_ = now;
  v1::ServerMessage& message = event.message;
  MonotonicTime sent = now;
  if (message.has_sent_at()) {
    const Duration age = FromProto(message.sent_at());
    sent = controller_clock_.Received(age, now);
    early_updates_.DateAnew(controller_clock_, age, [&](const auto& update, MonotonicTime when) {
      OnSuspensions(update, when, now);
    });
    if (message.has_suspensions()) {
      early_updates_.Remember(controller_clock_, age, message.suspensions(),
                              message.suspensions().items_size());
    }
  }
  if (!welcomed_ && !message.has_welcome()) {
    Disconnect(absl::InvalidArgumentError("the controller's first message is not Welcome"), now);
    return;
  }
  switch (message.msg_case()) {
    case v1::ServerMessage::kWelcome:
      OnWelcome(message.welcome(), now);
      break;
    case v1::ServerMessage::kChunk:
      OnChunk(std::move(*message.mutable_chunk()), now);
      break;
    case v1::ServerMessage::kSuspensions:
      OnSuspensions(message.suspensions(), sent, now);
      break;
    case v1::ServerMessage::kDrain:
      leave_at_ = now + Duration(static_cast<int64_t>(
                            options_.random() *
                            static_cast<double>(FromProto(message.drain().within()).count())));
      break;
    case v1::ServerMessage::kHeartbeat:
    case v1::ServerMessage::MSG_NOT_SET:  // a newer controller's message
      break;
  }
  if (stream_ == nullptr) {
    return;
  }
  if (configured_ && !stager_.staging() && jobs_ == 0) {
    std::lock_guard guard(state_mutex_);
    state_.current_at = now;
  }
  stream_->StartRead();
}

void SyncClient::OnWelcome(const v1::Welcome& welcome, MonotonicTime now) {
  if (welcomed_) {
    Disconnect(absl::InvalidArgumentError("Welcome came twice on one stream"), now);
    return;
  }
  welcomed_ = true;
  logged_error_.clear();
  callbacks_.set_phase(welcome.rotation_phase());
  // The controller may be new and know nothing: everything this process has decided is told again.
  for (const rotation::Suspension& suspension : callbacks_.own_suspensions(now)) {
    if (suspension.until > now) {
      inbox_->AddSuspension(suspension);
      controller_view_.Has(suspension);
    }
  }
  remind_at_ = now + Duration(static_cast<int64_t>(
                         options_.random() * static_cast<double>(options_.remind_within.count())));
  log::Info("sync", "connected to a controller",
            {{"controller", transport_->address(address_)}, {"server", welcome.server()}});
  std::lock_guard guard(state_mutex_);
  state_.connected = true;
  state_.server = welcome.server();
}

void SyncClient::OnChunk(v1::Chunk chunk, MonotonicTime now) {
  absl::StatusOr<std::optional<Transaction>> staged = stager_.Add(std::move(chunk));
  if (!staged.ok()) {
    Disconnect(staged.status(), now);
    return;
  }
  if (staged->has_value()) {
    ++jobs_;
    worker_.Apply(stream_number_, std::move(**staged));
  }
}

void SyncClient::OnSuspensions(const v1::SuspensionUpdate& update, MonotonicTime sent,
                               MonotonicTime now) {
  std::vector<rotation::Suspension> items;
  items.reserve(static_cast<size_t>(update.items_size()));
  for (const v1::Suspension& message : update.items()) {
    items.push_back(FromProto(message, sent));
    if (remind_at_.has_value()) {
      controller_view_.Has(items.back());
    }
  }
  if (!items.empty()) {
    callbacks_.apply_remote(items, now);
  }
}

// The controller may have started anew while the origin of a statement is gone: then nobody but
// those who were told can tell it.
void SyncClient::Remind(MonotonicTime now) {
  remind_at_.reset();
  for (const rotation::Suspension& statement : callbacks_.known_suspensions(now)) {
    if (controller_view_.Lacks(statement, options_.node)) {
      inbox_->AddSuspension(statement);
    }
  }
  controller_view_.Clear();
}

void SyncClient::On(const WriteDoneEvent& event) {
  writing_ = false;
  if (event.ok) {
    writing_report_.Clear();
    return;
  }
  // The reason follows with ClosedEvent.
  inbox_->RestoreSuspensions(writing_report_, last_written_);
  writing_report_.Clear();
  writing_ = true;  // nothing more goes out on this stream
}

void SyncClient::On(const ClosedEvent& event, MonotonicTime now) { Disconnect(event.status, now); }

void SyncClient::On(AppliedEvent event, bool of_this_stream, MonotonicTime now) {
  --jobs_;
  if (!event.ack.ok()) {
    worker_.ForgetInventory();
    if (of_this_stream) {
      Disconnect(event.ack.status(), now);
    }
    return;
  }
  configured_ = true;
  if (!of_this_stream) {
    return;  // the next Hello says what is in use
  }
  log::Debug("sync", "snapshot applied",
             {{"snapshot", HexEncode(event.ack->applied_snapshot_hash()).substr(0, 12)},
              {"rejected", event.ack->rejected_size()}});
  for (const v1::Rejection& rejection : event.ack->rejected()) {
    log::Warn("sync", "a resource was rejected",
              {{"name", rejection.id().name()},
               {"field", rejection.field()},
               {"reason", rejection.message()}});
  }
  backoff_.Reset();
  stager_.OnAcknowledged();
  ack_ = std::move(*event.ack);
  std::lock_guard guard(state_mutex_);
  state_.last_error.clear();
  state_.current_at = now;
}

void SyncClient::On(const LoadedEvent& event) {
  --jobs_;
  if (event.status.ok()) {
    configured_ = true;
  } else {
    log::Warn("sync", "no controller has answered and there is nothing to serve from",
              {{"reason", std::string(event.status.message())}});
  }
}

void SyncClient::Write(MonotonicTime now) {
  if (stream_ == nullptr || writing_) {
    return;
  }
  v1::ClientMessage message;
  if (!NextMessage(now, message)) {
    return;
  }
  writing_ = true;
  last_written_ = now;
  ToProto(now - opened_at_, *message.mutable_sent_at());
  stream_->StartWrite(std::move(message));
}

bool SyncClient::NextMessage(MonotonicTime now, v1::ClientMessage& message) {
  if (!hello_written_) {
    hello_written_ = true;
    v1::Hello& hello = *message.mutable_hello();
    hello.set_node(options_.node);
    hello.set_gateway(options_.gateway);
    hello.set_build(options_.build);
    worker_.FillHello(hello);
    return true;
  }
  if (!welcomed_) {
    return false;
  }
  // Own lane: a suspension goes before an acknowledgement.
  writing_report_ = inbox_->TakeSuspensions(kSuspensionsPerReport, now);
  if (writing_report_.items_size() > 0) {
    *message.mutable_report() = writing_report_;
    return true;
  }
  if (ack_.has_value()) {
    *message.mutable_ack() = std::move(*ack_);
    ack_.reset();
    return true;
  }
  if (now - last_written_ >= options_.heartbeat_interval) {
    message.mutable_heartbeat()->set_sequence(++heartbeats_);
    return true;
  }
  return false;
}

}  // namespace rota::sync
