#include "controller/resource/decode_rotation.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr Duration kMaxSuspension = std::chrono::hours(24 * 365);
constexpr Duration kMaxWait = std::chrono::minutes(10);

std::optional<uint32_t> DecodeCount(ObjectReader& reader, const std::string& key, int64_t max) {
  const std::optional<int64_t> count = reader.Integer(key, 1, max);
  return count.has_value() ? std::optional(static_cast<uint32_t>(*count)) : std::nullopt;
}

void DecodeRetry(ObjectReader& parent, RotationSettings& settings) {
  const Json* const value = parent.Find("retry");
  if (value == nullptr) {
    return;
  }
  ObjectReader reader(*value, parent.At("retry"), parent.reporter());
  settings.attempts = DecodeCount(reader, "attempts", 5);
  settings.retry_non_idempotent = reader.Bool("nonIdempotent");
  reader.Finish();
}

void DecodeHealthChecks(ObjectReader& parent, RotationSettings& settings) {
  const Json* const value = parent.Find("healthChecks");
  if (value == nullptr) {
    return;
  }
  ObjectReader reader(*value, parent.At("healthChecks"), parent.reporter());
  if (const Json* const passive = reader.Find("passive")) {
    ObjectReader checks(*passive, reader.At("passive"), parent.reporter());
    settings.passive_health_checks = checks.Bool("enabled");
    settings.failure_threshold = DecodeCount(checks, "threshold", 1000);
    settings.failure_suspension = checks.Time("interval", kMaxSuspension);
    if (settings.failure_suspension.has_value() &&
        *settings.failure_suspension <= Duration::zero()) {
      parent.reporter().Error(
          "InvalidValue", checks.At("interval"),
          "is 0; write a time above 0, or switch the checks off with enabled: false");
    }
    checks.Finish();
  }
  reader.Finish();
}

}  // namespace

RotationSettings DecodeRotationSettings(ObjectReader& reader) {
  RotationSettings settings;
  settings.quota_suspension = reader.Time("onQuotaExceedSuspendDuration", kMaxSuspension);
  settings.max_suspension = reader.Time("maxSuspendDuration", kMaxSuspension);
  const std::optional<std::string> all_suspended =
      reader.Choice("onAllSuspended", {"Reject", "Wait", "PassThrough"});
  if (all_suspended.has_value()) {
    settings.all_suspended = *all_suspended == "Wait"          ? OnAllSuspended::kWait
                             : *all_suspended == "PassThrough" ? OnAllSuspended::kPassThrough
                                                               : OnAllSuspended::kReject;
  }
  settings.wait_timeout = reader.Time("waitTimeout", kMaxWait);
  DecodeRetry(reader, settings);
  DecodeHealthChecks(reader, settings);
  return settings;
}

}  // namespace rota::resource
