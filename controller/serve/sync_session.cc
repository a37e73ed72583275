#include "controller/serve/sync_session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/clip.h"
#include "common/log.h"
#include "common/status_macros.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;
using compile::ResourceKey;

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxMessageBytes = 1024;
constexpr int kMaxKinds = 16;  // of watermarks
// Places at the gate that slow readers have lost are not announced.
constexpr Duration kGateInterval = std::chrono::seconds(2);

std::string Cut(const std::string& text, size_t bytes) { return std::string(Clip(text, bytes)); }

// Takes over what a data plane objects to. Returns how many objections are about what the snapshot
// does not have: its names are bounded, a stranger's are not, and nobody would ever take them away.
int AddProblems(const google::protobuf::RepeatedPtrField<v1::Rejection>& objections,
                const compile::Snapshot& snapshot, size_t limit, ResourceProblems& problems) {
  int strange = 0;
  for (const v1::Rejection& objection : objections) {
    const ResourceKey key = FromProto(objection.id());
    if (!snapshot.resources.contains(key)) {
      ++strange;
      continue;
    }
    if (problems.size() >= limit) {
      break;
    }
    ResourceProblem& problem = problems[key];
    problem.rejected_hash = objection.rejected_hash();
    problem.kept_hash = objection.kept_hash();
    problem.code = objection.code();
    problem.field = Cut(objection.field(), kMaxNameBytes);
    problem.message = Cut(objection.message(), kMaxMessageBytes);
  }
  return strange;
}

}  // namespace

SyncSession::SyncSession(uint64_t stream, PeerIdentity peer, Shared shared, MonotonicTime now)
    : stream_(stream),
      peer_(std::move(peer)),
      shared_(shared),
      opened_(now),
      last_received_(now),
      last_written_(now) {}

absl::Status SyncSession::OnMessage(const v1::ClientMessage& message, MonotonicTime now,
                                    SessionEffects& effects) {
  last_received_ = now;
  MonotonicTime sent = now;
  if (message.has_sent_at()) {
    const Duration age = FromProto(message.sent_at());
    sent = data_plane_clock_.Received(age, now);
    early_reports_.DateAnew(data_plane_clock_, age, [&](const auto& report, MonotonicTime when) {
      effects.suspensions.Append(gateway_->hub.Merge(report_.node, report.items(), when, now));
    });
  }
  if (!registered_ && message.msg_case() != v1::ClientMessage::kHello) {
    return absl::InvalidArgumentError("the first message of a stream must be Hello");
  }
  switch (message.msg_case()) {
    case v1::ClientMessage::kHello:
      RETURN_IF_ERROR(OnHello(message.hello(), now));
      effects.registered = true;
      effects.fleet_changed = true;
      return absl::OkStatus();
    case v1::ClientMessage::kAck:
      RETURN_IF_ERROR(OnAck(message.ack(), now));
      effects.fleet_changed = true;
      return absl::OkStatus();
    case v1::ClientMessage::kReport:
      RETURN_IF_ERROR(OnReport(message.report(), sent, now, effects));
      if (message.has_sent_at()) {
        early_reports_.Remember(data_plane_clock_, FromProto(message.sent_at()), message.report(),
                                message.report().items_size());
      }
      return absl::OkStatus();
    case v1::ClientMessage::kHeartbeat:
      return absl::OkStatus();
    case v1::ClientMessage::MSG_NOT_SET:
      return absl::OkStatus();  // a newer peer's message: additive features are ignored
  }
  return absl::OkStatus();
}

absl::Status SyncSession::NoSuchGateway(const std::string& name) const {
  std::string known;
  size_t left = 0;
  for (const GatewayPtr& gateway : shared_.gateways.All()) {
    if (known.size() > kMaxNameBytes) {
      ++left;
      continue;
    }
    absl::StrAppend(&known, known.empty() ? "'" : ", '", gateway->name, "'");
  }
  return absl::NotFoundError(
      absl::StrCat("this controller has no gateway '", Cut(name, kMaxNameBytes), "', it has ",
                   known, left > 0 ? absl::StrCat(" and ", left, " more") : std::string(),
                   ": correct --gateway of the data plane, or create the RotaGateway"));
}

absl::Status SyncSession::OnHello(const v1::Hello& hello, MonotonicTime now) {
  if (registered_) {
    return absl::InvalidArgumentError("Hello came twice on one stream");
  }
  if (hello.node().empty() || hello.node().size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("Hello.node must have 1 to ", kMaxNameBytes, " bytes"));
  }
  RETURN_IF_ERROR(CheckDataPlane(shared_.options.access, peer_, hello.gateway(), hello.node()));
  const GatewayPtr gateway = shared_.gateways.Find(hello.gateway());
  if (gateway == nullptr) {
    return NoSuchGateway(hello.gateway());
  }
  if (static_cast<size_t>(hello.inventory_size()) > shared_.options.max_inventory) {
    return absl::ResourceExhaustedError(absl::StrCat("the inventory has ", hello.inventory_size(),
                                                     " resources, the limit is ",
                                                     shared_.options.max_inventory));
  }
  for (const v1::ResourceVersion& version : hello.inventory()) {
    if (!inventory_.emplace(FromProto(version.id()), version.hash()).second) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the inventory names '", Cut(version.id().name(), kMaxNameBytes), "' twice"));
    }
  }
  hello_hash_ = hello.snapshot_hash();
  for (int i = 0; i < std::min(hello.seen_size(), kMaxKinds); ++i) {
    seen_.Raise(Cut(hello.seen(i).kind(), kMaxNameBytes), hello.seen(i).resource_version());
  }
  gateway_ = gateway;
  registered_ = true;
  report_.gateway = gateway->name;
  report_.node = hello.node();
  report_.build = Cut(hello.build(), kMaxNameBytes);
  report_.peer = peer_.address;
  report_.connected_at = now;
  return absl::OkStatus();
}

absl::Status SyncSession::OnAck(const v1::Ack& ack, MonotonicTime now) {
  if (!transaction_.has_value() || !commit_written_.has_value() ||
      ack.transaction() != transaction_->number()) {
    return absl::InvalidArgumentError(
        absl::StrCat("Ack of transaction ", ack.transaction(), ", but ",
                     commit_written_.has_value()
                         ? absl::StrCat("transaction ", transaction_->number(), " is waiting")
                         : std::string("none is waiting")));
  }
  ForgetResent(transaction_->delta());
  report_.refused.clear();
  const SnapshotPtr& target = transaction_->target();
  const size_t limit = shared_.options.max_problems;
  const int strange = AddProblems(ack.rejected(), *target, limit, report_.rejected) +
                      AddProblems(ack.refused(), *target, limit, report_.refused);
  if (strange > 0) {
    log::Warn("serve", "a data plane objects to what it was not sent; that is ignored",
              {{"node", report_.node}, {"objections", strange}});
  }
  report_.acknowledged = target;
  report_.applied_snapshot_hash = Cut(ack.applied_snapshot_hash(), kMaxNameBytes);
  report_.acknowledged_at = now;
  report_.apply_time = std::chrono::seconds(ack.apply_time().seconds()) +
                       std::chrono::nanoseconds(ack.apply_time().nanos());
  inventory_.clear();
  transaction_.reset();
  commit_written_.reset();
  return absl::OkStatus();
}

// A rejection stands until the resource is sent again or is gone.
void SyncSession::ForgetResent(const SnapshotDelta& delta) {
  if (delta.full) {
    report_.rejected.clear();
    return;
  }
  for (const auto& upsert : delta.upserts) {
    report_.rejected.erase(upsert->first);
  }
  for (const ResourceKey& key : delta.removals) {
    report_.rejected.erase(key);
  }
}

absl::Status SyncSession::OnReport(const v1::SuspensionReport& report, MonotonicTime sent,
                                   MonotonicTime now, SessionEffects& effects) {
  if (static_cast<size_t>(report.items_size()) > shared_.options.max_report_items) {
    return absl::ResourceExhaustedError(absl::StrCat("a suspension report has ",
                                                     report.items_size(), " items, the limit is ",
                                                     shared_.options.max_report_items));
  }
  effects.suspensions.Append(gateway_->hub.Merge(report_.node, report.items(), sent, now));
  return absl::OkStatus();
}

std::optional<v1::ServerMessage> SyncSession::NextMessage(MonotonicTime now) {
  if (!registered_) {
    return std::nullopt;
  }
  if (sends_much_ && (!transaction_.has_value() || transaction_->done())) {
    sends_much_ = false;  // whoever asks for the next message has written the last one
    shared_.gate.Leave(stream_, now);
  }
  v1::ServerMessage message;
  if (!welcomed_) {
    welcomed_ = true;
    message = MakeWelcome();
  } else if (lane_.has_something()) {
    *message.mutable_suspensions() =
        lane_.Next([&](const StatementKey& after,
                       size_t count) { return gateway_->hub.Shared(now, after, count); },
                   now);
  } else if (drain_.has_value()) {
    message.mutable_drain()->mutable_within()->set_seconds(
        std::chrono::duration_cast<std::chrono::seconds>(*drain_).count());
    drain_.reset();
  } else if (now - last_written_ >= shared_.options.heartbeat_interval) {
    message.mutable_heartbeat()->set_sequence(++heartbeats_);
    message.mutable_heartbeat()->set_snapshot_hash(report_.applied_snapshot_hash);
  } else {
    if (!transaction_.has_value()) {
      StartTransaction(now);
    }
    if (!transaction_.has_value() || transaction_->done()) {
      return std::nullopt;
    }
    *message.mutable_chunk() = transaction_->Next(shared_.options.chunk_bytes);
    if (transaction_->done()) {
      commit_written_ = now;
      warned_ = false;
    }
  }
  last_written_ = now;
  ToProto(now - opened_, *message.mutable_sent_at());
  return message;
}

void SyncSession::StartTransaction(MonotonicTime now) {
  const SnapshotPtr target = gateway_->snapshots.Get();
  if (target == nullptr || target == report_.acknowledged || LagsBehind(*target, now)) {
    return;
  }
  std::shared_ptr<const SnapshotDelta> delta;
  if (report_.acknowledged != nullptr) {
    delta = gateway_->deltas.Between(report_.acknowledged, target);
  } else if (!hello_hash_.empty() && hello_hash_ == target->hash) {
    auto nothing = std::make_shared<SnapshotDelta>();
    nothing->to = target;
    delta = std::move(nothing);
  } else if (inventory_.empty()) {
    delta = gateway_->deltas.Between(nullptr, target);
  } else {
    delta = DeltaFromInventory(inventory_, target);
  }
  waits_at_gate_.reset();
  sends_much_ = delta->bytes > shared_.options.gated_bytes;
  if (sends_much_ && !shared_.gate.Enter(stream_, now)) {
    sends_much_ = false;
    waits_at_gate_ = now;
    return;
  }
  transaction_.emplace(++transactions_, std::move(delta));
}

// What a data plane has from another replica must not be taken back by one whose watches lag
// behind: for a moment it keeps what it has. Where the content is the same nobody has to wait.
bool SyncSession::LagsBehind(const compile::Snapshot& target, MonotonicTime now) {
  const bool is_older = report_.acknowledged == nullptr && !inventory_.empty() &&
                        hello_hash_ != target.hash && target.built_from.IsBehind(seen_);
  if (!is_older || served_stale_) {
    lag_deadline_.reset();
    return false;
  }
  if (!lag_deadline_.has_value()) {
    lag_deadline_ = now + shared_.options.lag_patience;
    log::Info("serve", "a data plane has seen more than this replica; it keeps what it has",
              {{"node", report_.node}});
  }
  if (now < *lag_deadline_) {
    return true;
  }
  lag_deadline_.reset();
  served_stale_ = true;
  log::Warn("serve", "a data plane is sent what may be older than what it had",
            {{"node", report_.node}});
  return false;
}

v1::ServerMessage SyncSession::MakeWelcome() {
  v1::ServerMessage message;
  v1::Welcome& welcome = *message.mutable_welcome();
  welcome.set_server(shared_.options.server);
  ToProto(shared_.options.heartbeat_interval, *welcome.mutable_heartbeat_interval());
  welcome.set_max_chunk_bytes(static_cast<uint32_t>(shared_.options.chunk_bytes));
  place_.emplace(gateway_->places);
  welcome.set_rotation_phase(place_->number());
  return message;
}

absl::Status SyncSession::CheckTimeouts(MonotonicTime now) {
  const SessionOptions& options = shared_.options;
  if (!registered_ && now - opened_ >= options.hello_timeout) {
    return absl::DeadlineExceededError("no Hello came in time");
  }
  if (now - last_received_ >= options.silence_timeout) {
    return absl::DeadlineExceededError("the data plane has been silent for too long");
  }
  if (!commit_written_.has_value()) {
    return absl::OkStatus();
  }
  if (now - *commit_written_ >= options.acknowledgement_timeout) {
    return absl::DeadlineExceededError(
        absl::StrCat("transaction ", transaction_->number(), " was not acknowledged in time"));
  }
  if (!warned_ && now - *commit_written_ >= options.acknowledgement_warning) {
    warned_ = true;
    ++slow_acknowledgements_;
    log::Warn("serve", "a data plane is slow to apply a snapshot",
              {{"node", report_.node}, {"transaction", transaction_->number()}});
  }
  return absl::OkStatus();
}

MonotonicTime SyncSession::NextDeadline() const {
  const SessionOptions& options = shared_.options;
  MonotonicTime next = last_received_ + options.silence_timeout;
  if (!registered_) {
    return std::min(next, opened_ + options.hello_timeout);
  }
  next = std::min(next, last_written_ + options.heartbeat_interval);
  if (lag_deadline_.has_value()) {
    next = std::min(next, *lag_deadline_);
  }
  if (waits_at_gate_.has_value()) {
    next = std::min(next, *waits_at_gate_ + kGateInterval);
  }
  if (commit_written_.has_value()) {
    next = std::min(next, *commit_written_ + (warned_ ? options.acknowledgement_timeout
                                                      : options.acknowledgement_warning));
  }
  return next;
}

}  // namespace rota::serve
