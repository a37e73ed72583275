#include "controller/serve/peer_session.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "controller/serve/peer_status.h"

namespace rota::serve {
namespace {

namespace v1 = rota::sync::v1;

constexpr size_t kMaxNameBytes = 256;

}  // namespace

PeerSession::PeerSession(const PeerOptions& options, bool opened_here, PeerIdentity peer,
                         v1::PeerStatus status, MonotonicTime now)
    : options_(options),
      opened_here_(opened_here),
      peer_(std::move(peer)),
      status_(std::move(status)),
      opened_(now),
      last_received_(now),
      last_written_(now) {}

absl::Status PeerSession::OnMessage(const v1::PeerMessage& message, MonotonicTime now,
                                    PeerEffects& effects) {
  last_received_ = now;
  MonotonicTime sent = now;
  const Duration age = FromProto(message.sent_at());
  if (message.has_sent_at()) {
    sent = peer_clock_.Received(age, now);
    early_statements_.DateAnew(peer_clock_, age, [&](const auto& update, MonotonicTime when) {
      effects.dated.push_back({update.gateway(), update.items(), when});
    });
  }
  if (introduced() == message.has_hello()) {
    return absl::InvalidArgumentError(introduced() ? "Hello came twice on one stream"
                                                   : "the first message must be Hello");
  }
  switch (message.msg_case()) {
    case v1::PeerMessage::kHello:
      return OnHello(message.hello(), effects);
    case v1::PeerMessage::kSuspensions:
      return OnSuspensions(message, sent, effects);
    case v1::PeerMessage::kStatus:
      TakeStatus(message.status(), effects);
      return absl::OkStatus();
    case v1::PeerMessage::MSG_NOT_SET:
      return absl::OkStatus();  // a newer replica's message
  }
  return absl::OkStatus();
}

absl::Status PeerSession::OnHello(const v1::PeerHello& hello, PeerEffects& effects) {
  if (hello.replica() == options_.replica) {
    effects.is_self = true;
    return absl::AlreadyExistsError("this is the replica that asks");
  }
  if (hello.replica().empty() || hello.replica().size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("PeerHello.replica must have 1 to ", kMaxNameBytes, " bytes"));
  }
  RETURN_IF_ERROR(CheckReplica(options_.access, peer_));
  replica_ = hello.replica();
  server_ = hello.server().substr(0, kMaxNameBytes);
  TakeStatus(hello.status(), effects);
  effects.introduced = true;
  effects.status_changed = true;
  return absl::OkStatus();
}

void PeerSession::TakeStatus(const v1::PeerStatus& status, PeerEffects& effects) {
  v1::PeerStatus bounded = Bounded(status);
  if (IsSame(bounded, *peer_status_)) {
    return;
  }
  effects.status_changed = true;
  peer_data_planes_.clear();
  for (const v1::PeerStatus::Gateway& gateway : bounded.gateways()) {
    peer_data_planes_[gateway.name()] = gateway.data_planes();
  }
  peer_status_ = std::make_shared<const v1::PeerStatus>(std::move(bounded));
}

absl::Status PeerSession::OnSuspensions(const v1::PeerMessage& message, MonotonicTime sent,
                                        PeerEffects& effects) {
  const v1::SuspensionUpdate& update = message.suspensions();
  if (static_cast<size_t>(update.items_size()) > options_.max_items) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "a message has ", update.items_size(), " statements, the limit is ", options_.max_items));
  }
  effects.dated.push_back({update.gateway(), update.items(), sent});
  if (message.has_sent_at()) {
    early_statements_.Remember(peer_clock_, FromProto(message.sent_at()), update,
                               update.items_size());
  }
  return absl::OkStatus();
}

bool PeerSession::SaySuspensions(const GatewayRegistry& gateways, MonotonicTime now,
                                 v1::PeerMessage& message) {
  std::erase_if(lanes_, [&](const auto& lane) { return !peer_data_planes_.contains(lane.first); });
  for (const auto& [name, data_planes] : peer_data_planes_) {
    const GatewayPtr gateway = gateways.Find(name);
    if (gateway == nullptr) {
      lanes_.erase(name);
      continue;
    }
    SuspensionLane& lane = lanes_[name];
    if (lane.has_something()) {
      *message.mutable_suspensions() =
          lane.Next([&](const StatementKey& after,
                        size_t count) { return gateway->hub.Known(now, after, count); },
                    now);
      message.mutable_suspensions()->set_gateway(name);
      return true;
    }
  }
  return false;
}

std::optional<v1::PeerMessage> PeerSession::NextMessage(const GatewayRegistry& gateways,
                                                        MonotonicTime now) {
  v1::PeerMessage message;
  if (!hello_said_ && (opened_here_ || introduced())) {
    hello_said_ = true;
    v1::PeerHello& hello = *message.mutable_hello();
    hello.set_replica(options_.replica);
    hello.set_server(options_.server);
    *hello.mutable_status() = status_;
    status_said_ = true;
  } else if (!introduced()) {
    return std::nullopt;
  } else if (SaySuspensions(gateways, now, message)) {
    // Before anything else.
  } else if (!status_said_ || now - last_written_ >= options_.heartbeat_interval) {
    *message.mutable_status() = status_;
    status_said_ = true;
  } else {
    return std::nullopt;
  }
  last_written_ = now;
  ToProto(now - opened_, *message.mutable_sent_at());
  return message;
}

void PeerSession::Add(const std::string& gateway, const std::vector<SharedSuspension>& statements) {
  if (const auto lane = lanes_.find(gateway); lane != lanes_.end()) {  // else everything follows
    lane->second.Add(statements);
  }
}

void PeerSession::SetStatus(v1::PeerStatus status) {
  if (!IsSame(status, status_)) {
    status_ = std::move(status);
    status_said_ = false;
  }
}

absl::Status PeerSession::CheckTimeouts(MonotonicTime now) const {
  if (!introduced() && now - opened_ >= options_.hello_timeout) {
    return absl::DeadlineExceededError("no Hello came in time");
  }
  if (now - last_received_ >= options_.silence_timeout) {
    return absl::DeadlineExceededError("the replica has been silent for too long");
  }
  return absl::OkStatus();
}

MonotonicTime PeerSession::NextDeadline() const {
  const MonotonicTime silence = last_received_ + options_.silence_timeout;
  return introduced() ? std::min(silence, last_written_ + options_.heartbeat_interval)
                      : std::min(silence, opened_ + options_.hello_timeout);
}

}  // namespace rota::serve
