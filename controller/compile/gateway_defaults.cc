#include "controller/compile/gateway_defaults.h"

#include <algorithm>

#include "controller/compile/api_body.h"
#include "controller/compile/proto_duration.h"

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;
using resource::OnAllSuspended;

constexpr Duration kMaxSuspension = std::chrono::hours(1);
constexpr Duration kWaitTimeout = std::chrono::seconds(30);
constexpr uint32_t kFailureThreshold = 3;
constexpr Duration kFailureSuspension = std::chrono::seconds(60);

pb::OnAllSuspended ToProto(OnAllSuspended value) {
  switch (value) {
    case OnAllSuspended::kReject:
      return pb::REJECT;
    case OnAllSuspended::kWait:
      return pb::WAIT;
    case OnAllSuspended::kPassThrough:
      return pb::PASS_THROUGH;
  }
  return pb::REJECT;
}

}  // namespace

void SetSettings(const resource::RotationSettings& settings, pb::Rotation& rotation) {
  SetDuration(settings.quota_suspension.value_or(Duration::zero()),
              *rotation.mutable_quota_suspension());
  SetDuration(settings.max_suspension.value_or(kMaxSuspension), *rotation.mutable_max_suspension());
  SetDuration(settings.wait_timeout.value_or(kWaitTimeout), *rotation.mutable_wait_timeout());
  SetDuration(settings.failure_suspension.value_or(kFailureSuspension),
              *rotation.mutable_failure_suspension());
  rotation.set_on_all_suspended(ToProto(settings.all_suspended.value_or(OnAllSuspended::kReject)));
  rotation.set_retry_non_idempotent(settings.retry_non_idempotent.value_or(false));
  rotation.set_failure_threshold(settings.passive_health_checks.value_or(true)
                                     ? settings.failure_threshold.value_or(kFailureThreshold)
                                     : 0);
  const auto targets = static_cast<uint32_t>(rotation.targets_size());
  rotation.set_attempts(std::clamp(settings.attempts.value_or(targets), 1U, kMaxAttempts));
}

std::shared_ptr<const CompiledApi> WithDefaults(const std::shared_ptr<const CompiledApi>& api,
                                                const resource::GatewayDefaults& defaults) {
  pb::Api message;
  if (!message.ParseFromString(api->body->bytes)) {
    return api;  // cannot be: they are our own bytes
  }
  for (int i = 0; i < message.rotations_size(); ++i) {
    SetSettings(Inherit(api->settings.at(static_cast<size_t>(i)), defaults.rotation),
                *message.mutable_rotations(i));
  }
  for (pb::Endpoint& endpoint : *message.mutable_endpoints()) {
    if (!endpoint.has_connect_timeout() && defaults.connect_timeout.has_value()) {
      SetDuration(*defaults.connect_timeout, *endpoint.mutable_connect_timeout());
    }
    if (!endpoint.has_first_byte_timeout() && defaults.first_byte_timeout.has_value()) {
      SetDuration(*defaults.first_byte_timeout, *endpoint.mutable_first_byte_timeout());
    }
  }
  if (message.max_body_bytes() == 0) {
    message.set_max_body_bytes(defaults.limits.body_bytes.value_or(0));
  }
  std::shared_ptr<const ResourceBody> body = ApiBody(message);
  if (body->bytes == api->body->bytes) {
    return api;
  }
  auto inherited = std::make_shared<CompiledApi>(*api);
  inherited->body = std::move(body);
  return inherited;
}

}  // namespace rota::compile
