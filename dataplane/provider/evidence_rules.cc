// The data table of what providers' answers mean. The first row that matches decides.

#include "dataplane/provider/evidence.h"

namespace rota::provider {
namespace {

using enum Rule::Where;
using enum Verdict;

constexpr uint8_t Bit(Dialect dialect) {
  return static_cast<uint8_t>(1 << static_cast<uint8_t>(dialect));
}
constexpr uint8_t kAny = 0xFF;
constexpr uint8_t kAnthropicOnly = Bit(Dialect::kAnthropic);
constexpr uint8_t kGoogleOnly = Bit(Dialect::kGoogle);
constexpr uint8_t kBedrockOnly = Bit(Dialect::kBedrock);

constexpr Rule Quota(std::string_view name, uint8_t dialects, int min, int max, Rule::Where where,
                     std::string_view text) {
  return {name, dialects, min, max, where, text, kQuota, true, false, false};
}
constexpr Rule Auth(std::string_view name, uint8_t dialects, int min, int max, Rule::Where where,
                    std::string_view text) {
  return {name, dialects, min, max, where, text, kAuth, true, false, false};
}
constexpr Rule Fails(std::string_view name, uint8_t dialects, int min, int max, Rule::Where where,
                     std::string_view text) {
  return {name, dialects, min, max, where, text, kFailure, true, true, false};
}
constexpr Rule TooLarge(std::string_view name, int status, Rule::Where where) {
  return {name, kAny, status, status, where, "", kRequestTooLarge, false, false, false};
}

constexpr Rule kRules[] = {
    // Successes.
    {"nothing-left", kAny, 200, 299, kNothingLeft, "", kQuota, false, false, true},

    // One request over a limit is not the target's matter.
    TooLarge("payload-too-large", 413, kAlways),
    TooLarge("request-over-limit", 429, kTooLarge),
    TooLarge("stream-request-over-limit", kStreamStatus, kTooLarge),

    // AWS names its errors, whatever the status.
    Quota("aws-throttling", kBedrockOnly, 400, 599, kErrorCode, "throttlingexception"),
    Quota("aws-too-many-requests", kBedrockOnly, 400, 599, kErrorCode, "toomanyrequestsexception"),
    Quota("aws-service-quota", kBedrockOnly, 400, 599, kErrorCode, "servicequotaexceededexception"),
    Fails("aws-model-not-ready", kBedrockOnly, 429, 429, kErrorCode, "modelnotreadyexception"),
    Auth("aws-access-denied", kBedrockOnly, 400, 403, kErrorCode, "accessdeniedexception"),
    Auth("aws-unrecognized-client", kBedrockOnly, 400, 403, kErrorCode,
         "unrecognizedclientexception"),
    Auth("aws-invalid-signature", kBedrockOnly, 400, 403, kErrorCode, "invalidsignatureexception"),
    Auth("aws-expired-token", kBedrockOnly, 400, 403, kErrorCode, "expiredtokenexception"),
    Auth("aws-missing-token", kBedrockOnly, 400, 403, kErrorCode,
         "missingauthenticationtokenexception"),

    Quota("too-many-requests", kAny, 429, 429, kAlways, ""),
    Auth("unauthorized", kAny, 401, 401, kAlways, ""),
    Auth("google-key-invalid", kGoogleOnly, 400, 400, kErrorCode, "api_key_invalid"),

    // 402 and 403 say it in the body, or mean something else.
    Quota("insufficient-quota", kAny, 402, 403, kErrorCode, "insufficient_quota"),
    Quota("billing-hard-limit", kAny, 402, 403, kErrorCode, "billing_hard_limit_reached"),
    Quota("billing-not-active", kAny, 402, 403, kErrorCode, "billing_not_active"),
    Quota("quota-exceeded", kAny, 402, 403, kErrorCode, "quota_exceeded"),
    Quota("insufficient-balance-code", kAny, 402, 403, kErrorCode, "insufficient_balance"),
    Quota("insufficient-credits-code", kAny, 402, 403, kErrorCode, "insufficient_credits"),
    Quota("rate-limit-code", kAny, 402, 403, kErrorCode, "rate_limit_exceeded"),
    Quota("resource-exhausted", kAny, 402, 403, kErrorCode, "resource_exhausted"),
    Quota("google-rate-limit", kGoogleOnly, 403, 403, kErrorCode, "ratelimitexceeded"),
    Quota("google-user-rate-limit", kGoogleOnly, 403, 403, kErrorCode, "userratelimitexceeded"),
    Quota("google-daily-limit", kGoogleOnly, 403, 403, kErrorCode, "dailylimitexceeded"),
    Quota("insufficient-balance", kAny, 402, 402, kMessage, "insufficient balance"),
    Quota("insufficient-credits", kAny, 402, 402, kMessage, "insufficient credits"),
    Quota("anthropic-billing", kAnthropicOnly, 402, 403, kErrorCode, "billing_error"),

    Auth("invalid-api-key", kAny, 403, 403, kErrorCode, "invalid_api_key"),
    Auth("incorrect-api-key", kAny, 403, 403, kErrorCode, "incorrect_api_key"),
    Auth("expired-api-key", kAny, 403, 403, kErrorCode, "expired_api_key"),
    Auth("invalid-authentication", kAny, 403, 403, kErrorCode, "invalid_authentication"),
    Auth("authentication-error", kAny, 403, 403, kErrorCode, "authentication_error"),
    Auth("invalid-organization", kAny, 403, 403, kErrorCode, "invalid_organization"),
    Auth("account-deactivated", kAny, 403, 403, kErrorCode, "account_deactivated"),
    Auth("anthropic-permission", kAnthropicOnly, 403, 403, kErrorCode, "permission_error"),
    Auth("google-key-forbidden", kGoogleOnly, 403, 403, kErrorCode, "api_key_invalid"),
    Auth("google-key-blocked", kGoogleOnly, 403, 403, kErrorCode, "api_key_service_blocked"),
    Auth("google-consumer-suspended", kGoogleOnly, 403, 403, kErrorCode, "consumer_suspended"),
    Auth("google-consumer-invalid", kGoogleOnly, 403, 403, kErrorCode, "consumer_invalid"),

    // Servers.
    Quota("anthropic-overloaded", kAnthropicOnly, 529, 529, kAlways, ""),
    {"unavailable-until", kAny, 503, 503, kRetryAfter, "", kQuota, true, true, true},
    Fails("server-error", kAny, 500, 500, kAlways, ""),
    Fails("bad-gateway", kAny, 502, 504, kAlways, ""),
    Fails("overloaded", kAny, 529, 529, kAlways, ""),
    {"other-server-error", kAny, 500, 599, kAlways, "", kFailure, false, true, false},

    // Inside a stream that began with 200.
    Quota("stream-overloaded", kAny, kStreamStatus, kStreamStatus, kErrorCode, "overloaded_error"),
    Quota("stream-rate-limit", kAny, kStreamStatus, kStreamStatus, kErrorCode, "rate_limit_error"),
    Quota("stream-rate-limit-exceeded", kAny, kStreamStatus, kStreamStatus, kErrorCode,
          "rate_limit_exceeded"),
    Quota("stream-insufficient-quota", kAny, kStreamStatus, kStreamStatus, kErrorCode,
          "insufficient_quota"),
    Quota("stream-resource-exhausted", kAny, kStreamStatus, kStreamStatus, kErrorCode,
          "resource_exhausted"),
    Quota("stream-aws-throttling", kBedrockOnly, kStreamStatus, kStreamStatus, kErrorCode,
          "throttlingexception"),
    Quota("stream-429", kAny, kStreamStatus, kStreamStatus, kErrorCode, "429"),
    Auth("stream-authentication", kAny, kStreamStatus, kStreamStatus, kErrorCode,
         "authentication_error"),
    Fails("stream-api-error", kAny, kStreamStatus, kStreamStatus, kErrorCode, "api_error"),
    Fails("stream-server-error", kAny, kStreamStatus, kStreamStatus, kErrorCode, "server_error"),
    Fails("stream-unavailable", kAny, kStreamStatus, kStreamStatus, kErrorCode, "unavailable"),
    Fails("stream-internal", kAny, kStreamStatus, kStreamStatus, kErrorCode, "internal"),
    Fails("stream-500", kAny, kStreamStatus, kStreamStatus, kErrorCode, "500"),
    Fails("stream-502", kAny, kStreamStatus, kStreamStatus, kErrorCode, "502"),
    Fails("stream-503", kAny, kStreamStatus, kStreamStatus, kErrorCode, "503"),
    Fails("stream-504", kAny, kStreamStatus, kStreamStatus, kErrorCode, "504"),
    Fails("stream-529", kAny, kStreamStatus, kStreamStatus, kErrorCode, "529"),
    Fails("stream-aws-internal", kBedrockOnly, kStreamStatus, kStreamStatus, kErrorCode,
          "internalserverexception"),
    Fails("stream-aws-unavailable", kBedrockOnly, kStreamStatus, kStreamStatus, kErrorCode,
          "serviceunavailableexception"),
    Fails("stream-aws-model-stream-error", kBedrockOnly, kStreamStatus, kStreamStatus, kErrorCode,
          "modelstreamerrorexception"),
};

}  // namespace

absl::Span<const Rule> Rules() { return kRules; }

}  // namespace rota::provider
