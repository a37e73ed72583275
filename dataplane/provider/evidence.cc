#include "dataplane/provider/evidence.h"

#include <algorithm>
#include <charconv>
#include <string>
#include <vector>

#include "absl/strings/ascii.h"
#include "dataplane/provider/reset_time.h"
#include "nlohmann/json.hpp"

namespace rota::provider {
namespace {

// Codes in one error body; more are not read.
constexpr size_t kMaxCodes = 32;

bool EqualsIgnoreCase(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() &&
         std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return absl::ascii_tolower(static_cast<unsigned char>(a)) == b;
         });
}

bool TakePrefix(std::string_view& text, std::string_view lower) {
  if (!EqualsIgnoreCase(text.substr(0, lower.size()), lower)) {
    return false;
  }
  text.remove_prefix(lower.size());
  return true;
}

bool TakeSuffix(std::string_view& text, std::string_view lower) {
  if (text.size() < lower.size() ||
      !EqualsIgnoreCase(text.substr(text.size() - lower.size()), lower)) {
    return false;
  }
  text.remove_suffix(lower.size());
  return true;
}

// "com.amazon.coral#ThrottlingException:http://..." -> "throttlingexception".
std::string BareCode(std::string_view code) {
  code = code.substr(0, code.find(':'));
  if (const size_t hash = code.rfind('#'); hash != std::string_view::npos) {
    code.remove_prefix(hash + 1);
  }
  std::string bare(code.substr(0, 128));
  absl::AsciiStrToLower(&bare);
  return bare;
}

// What an error body says, in lower case.
struct ErrorBody {
  std::vector<std::string> codes;
  std::string message;
  std::optional<std::string> retry_delay;

  void AddCode(const nlohmann::json& value) {
    if (codes.size() < kMaxCodes && value.is_string()) {
      codes.push_back(BareCode(value.get_ref<const std::string&>()));
    } else if (codes.size() < kMaxCodes && value.is_number_integer()) {
      codes.push_back(value.dump());
    }
  }
  void AddMessage(const nlohmann::json& value) {
    if (message.empty() && value.is_string()) {
      message = value.get_ref<const std::string&>().substr(0, 4096);
      absl::AsciiStrToLower(&message);
    }
  }
};

// error.details[] and error.errors[] of Google.
void ReadDetails(const nlohmann::json& details, ErrorBody& body) {
  if (!details.is_array()) {
    return;
  }
  for (const nlohmann::json& detail : details) {
    if (!detail.is_object()) {
      continue;
    }
    if (const auto reason = detail.find("reason"); reason != detail.end()) {
      body.AddCode(*reason);
    }
    if (const auto delay = detail.find("retryDelay"); delay != detail.end() && delay->is_string()) {
      body.retry_delay = delay->get<std::string>();
    }
  }
}

void ReadError(const nlohmann::json& error, ErrorBody& body) {
  if (!error.is_object()) {
    body.AddMessage(error);  // Ollama: {"error":"..."}
    return;
  }
  for (const auto& [key, value] : error.items()) {
    if (key == "code" || key == "type" || key == "status" || key == "__type" || key == "reason") {
      body.AddCode(value);
    } else if (key == "message" || key == "Message") {
      body.AddMessage(value);
    } else if (key == "details" || key == "errors") {
      ReadDetails(value, body);
    }
  }
}

ErrorBody ReadErrorBody(std::string_view text) {
  ErrorBody body;
  text = text.substr(0, kMaxEvidenceBody);
  nlohmann::json document = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_array() && !document.empty()) {
    document = nlohmann::json(document.front());  // Google's compatible endpoint answers a list
  }
  if (document.is_discarded() || !document.is_object()) {
    return body;
  }
  if (const auto error = document.find("error"); error != document.end()) {
    ReadError(*error, body);
  }
  ReadError(document, body);
  return body;
}

// The number behind the first `word` that has one.
std::optional<uint64_t> NumberBehind(std::string_view text, std::string_view word) {
  for (size_t place = text.find(word); place != std::string_view::npos;
       place = text.find(word, place)) {
    place += word.size();
    uint64_t number = 0;
    const auto [end, error] =
        std::from_chars(text.data() + place, text.data() + text.size(), number);
    if (error == std::errc()) {
      return number;
    }
  }
  return std::nullopt;
}

// "Request too large for gpt-4o ... Limit 30000, Requested 40000".
bool IsRequestTooLarge(std::string_view message) {
  if (message.starts_with("request too large")) {
    return true;
  }
  const std::optional<uint64_t> requested = NumberBehind(message, "requested ");
  const std::optional<uint64_t> limit = NumberBehind(message, "limit ");
  return requested.has_value() && limit.has_value() && *requested > *limit;
}

bool IsExhausted(const AnswerHeaders::Bucket& bucket, bool is_error) {
  if (bucket.remaining.has_value()) {
    // A negative number means that the provider does not know.
    double remaining = 1;
    const std::string_view text = *bucket.remaining;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), remaining);
    return error == std::errc() && end != text.data() && remaining == 0;
  }
  // A success may say "rejected" where paid overage steps in.
  return is_error && bucket.status.has_value() && EqualsIgnoreCase(*bucket.status, "rejected");
}

bool HasExhausted(const AnswerHeaders& headers, bool is_error) {
  return std::any_of(headers.buckets().begin(), headers.buckets().end(),
                     [is_error](const auto& bucket) { return IsExhausted(bucket, is_error); });
}

void TakeLonger(std::optional<Duration>& longest, std::optional<Duration> other) {
  if (other.has_value() && (!longest.has_value() || *other > *longest)) {
    longest = other;
  }
}

std::optional<Duration> RetryWindow(const AnswerHeaders& headers, WallTime now) {
  std::optional<Duration> window;
  if (headers.retry_after().has_value()) {
    window = ParseRetryAfter(*headers.retry_after(), now);
  }
  if (headers.retry_after_ms().has_value()) {
    TakeLonger(window, ParseMilliseconds(*headers.retry_after_ms()));
  }
  return window;
}

// Each exhausted bucket speaks for itself; the target is of no use before the last of them is
// filled.
std::optional<Duration> BucketWindow(const AnswerHeaders& headers, bool is_error, WallTime now) {
  std::optional<Duration> window;
  for (const AnswerHeaders::Bucket& bucket : headers.buckets()) {
    if (bucket.reset.has_value() && IsExhausted(bucket, is_error)) {
      TakeLonger(window, ParseReset(*bucket.reset, now));
    }
  }
  return window;
}

bool HasCode(const ErrorBody& body, const std::string& amazon_code, std::string_view code) {
  return amazon_code == code ||
         std::find(body.codes.begin(), body.codes.end(), code) != body.codes.end();
}

struct Answer {
  Dialect dialect;
  int status;
  const AnswerHeaders& headers;
  const ErrorBody& body;
  std::string amazon_code;
};

bool Matches(const Rule& rule, const Answer& answer, WallTime now) {
  if ((rule.dialects & (1 << static_cast<uint8_t>(answer.dialect))) == 0 ||
      answer.status < rule.min_status || answer.status > rule.max_status) {
    return false;
  }
  switch (rule.where) {
    case Rule::Where::kAlways:
      return true;
    case Rule::Where::kRetryAfter:
      return RetryWindow(answer.headers, now).has_value();
    case Rule::Where::kNothingLeft:
      return HasExhausted(answer.headers, /*is_error=*/false);
    case Rule::Where::kErrorCode:
      return HasCode(answer.body, answer.amazon_code, rule.text);
    case Rule::Where::kMessage:
      return answer.body.message.find(rule.text) != std::string::npos;
    case Rule::Where::kTooLarge:
      return IsRequestTooLarge(answer.body.message);
  }
  return false;
}

std::optional<Duration> UpstreamWindow(const Rule& rule, const Answer& answer, WallTime now) {
  if (rule.verdict != Verdict::kQuota) {
    return std::nullopt;
  }
  if (rule.where == Rule::Where::kNothingLeft) {
    return BucketWindow(answer.headers, /*is_error=*/false, now);
  }
  std::optional<Duration> window = RetryWindow(answer.headers, now);
  TakeLonger(window, BucketWindow(answer.headers, /*is_error=*/true, now));
  if (answer.body.retry_delay.has_value()) {
    TakeLonger(window, ParseReset(*answer.body.retry_delay, now));
  }
  return window;
}

Evidence Decide(const Answer& answer, WallTime now) {
  Evidence evidence;
  for (const Rule& rule : Rules()) {
    if (!Matches(rule, answer, now)) {
      continue;
    }
    evidence.verdict = rule.verdict;
    evidence.fails_over = rule.fails_over;
    evidence.counts_as_failure = rule.counts_as_failure;
    evidence.exact = rule.exact;
    evidence.upstream_window = UpstreamWindow(rule, answer, now);
    evidence.rule = rule.name;
    break;
  }
  return evidence;
}

}  // namespace

Dialect DialectOf(std::string_view provider) {
  std::string name(provider.substr(0, 64));
  absl::AsciiStrToLower(&name);
  const auto has = [&name](std::string_view word) { return name.find(word) != std::string::npos; };
  if (has("azure")) {
    return Dialect::kAzure;
  }
  if (has("anthropic") || has("claude")) {
    return Dialect::kAnthropic;
  }
  if (has("bedrock") || has("aws") || has("amazon")) {
    return Dialect::kBedrock;
  }
  if (has("gemini") || has("google") || has("vertex")) {
    return Dialect::kGoogle;
  }
  return Dialect::kOpenAi;
}

void AnswerHeaders::Add(std::string_view name, std::string_view value) {
  if (name.size() < 11) {  // "retry-after"
    return;
  }
  switch (name.front()) {
    case 'r':
    case 'R':
      if (EqualsIgnoreCase(name, "retry-after")) {
        retry_after_ = value;
      } else if (EqualsIgnoreCase(name, "retry-after-ms")) {
        retry_after_ms_ = value;
      }
      return;
    case 'x':
    case 'X': {
      const bool is_plain = TakePrefix(name, "x-ratelimit-");
      if (!is_plain) {
        if (EqualsIgnoreCase(name, "x-amzn-errortype")) {
          amazon_error_ = value;
        } else if (EqualsIgnoreCase(name, "x-ms-retry-after-ms")) {
          retry_after_ms_ = value;
        }
        return;
      }
      const bool is_remaining = TakePrefix(name, "remaining");
      if (!is_remaining && !TakePrefix(name, "reset")) {
        return;
      }
      if (!name.empty() && name.front() == '-') {
        name.remove_prefix(1);
      } else if (!name.empty()) {
        return;
      }
      if (Bucket* bucket = FindBucket(name, /*is_anthropic=*/false)) {
        (is_remaining ? bucket->remaining : bucket->reset) = value;
      }
      return;
    }
    case 'a':
    case 'A': {
      if (!TakePrefix(name, "anthropic-ratelimit-")) {
        return;
      }
      std::optional<std::string_view> Bucket::*member = nullptr;
      if (TakeSuffix(name, "-remaining")) {
        member = &Bucket::remaining;
      } else if (TakeSuffix(name, "-reset")) {
        member = &Bucket::reset;
      } else if (TakeSuffix(name, "-status")) {
        member = &Bucket::status;
      } else {
        return;
      }
      if (Bucket* bucket = FindBucket(name, /*is_anthropic=*/true)) {
        bucket->*member = value;
      }
      return;
    }
    default:
      return;
  }
}

AnswerHeaders::Bucket* AnswerHeaders::FindBucket(std::string_view name, bool is_anthropic) {
  for (Bucket& bucket : buckets_) {
    if (bucket.is_anthropic == is_anthropic && bucket.name.size() == name.size() &&
        std::equal(name.begin(), name.end(), bucket.name.begin(), [](char a, char b) {
          return absl::ascii_tolower(static_cast<unsigned char>(a)) ==
                 absl::ascii_tolower(static_cast<unsigned char>(b));
        })) {
      return &bucket;
    }
  }
  if (buckets_.size() == kMaxBuckets) {
    return nullptr;
  }
  buckets_.push_back({name, is_anthropic, std::nullopt, std::nullopt, std::nullopt});
  return &buckets_.back();
}

bool NeedsBody(Dialect dialect, int status) {
  switch (status) {
    case 402:
    case 403:
    case 429:
      return true;
    case 400:
      return dialect == Dialect::kGoogle || dialect == Dialect::kBedrock;
    default:
      return dialect == Dialect::kBedrock && status > 400 && status <= 599;
  }
}

bool SaysNothing(int status, const AnswerHeaders& headers) {
  return status >= 200 && status <= 299 && !HasExhausted(headers, /*is_error=*/false);
}

Evidence Judge(Dialect dialect, int status, const AnswerHeaders& headers, std::string_view body,
               WallTime now) {
  if (SaysNothing(status, headers)) {
    return {};
  }
  if (status >= 200 && status <= 299) {
    body = {};
  }
  const ErrorBody error = NeedsBody(dialect, status) ? ReadErrorBody(body) : ErrorBody();
  const std::string amazon_code =
      headers.amazon_error().has_value() ? BareCode(*headers.amazon_error()) : "";
  return Decide({dialect, status, headers, error, amazon_code}, now);
}

Evidence JudgeStreamEvent(Dialect dialect, std::string_view event, std::string_view data,
                          WallTime now) {
  ErrorBody error = ReadErrorBody(data);
  if (!event.empty()) {
    error.codes.push_back(BareCode(event));
  }
  const AnswerHeaders none;
  return Decide({dialect, kStreamStatus, none, error, ""}, now);
}

std::optional<Duration> SuspensionWindow(const Evidence& evidence, const SuspensionPolicy& policy) {
  Duration window{};
  if (evidence.verdict == Verdict::kAuth) {
    window = policy.failure;
  } else if (evidence.verdict == Verdict::kQuota && policy.quota > Duration::zero()) {
    const Duration upstream =
        std::min(evidence.upstream_window.value_or(Duration{}), policy.maximum);
    window = evidence.exact && evidence.upstream_window.has_value()
                 ? upstream
                 : std::max(policy.quota, upstream);
  }
  return window > Duration::zero() ? std::optional(window) : std::nullopt;
}

}  // namespace rota::provider
