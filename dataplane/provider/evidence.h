#pragma once

// What an upstream's answer says about the target that gave it: quota used up, credential refused,
// server failed, this request too large, or nothing. One data table (Rules()) holds what is known
// per provider; docs/concepts/rotation.md explains it.
//
//   AnswerHeaders headers;                              // in the loop that forwards the headers
//   anyway for (each field) headers.Add(name, value); if (NeedsBody(dialect, status)) { ...buffer
//   at most kMaxEvidenceBody bytes of the body... } const Evidence evidence = Judge(dialect,
//   status, headers, body, clock.WallNow()); if (auto window = SuspensionWindow(evidence, policy))
//   rotation->Suspend(target, reason, now, now + *window);
//
// Pure and thread-safe. Whatever an upstream sends is bounded and never an error: what cannot be
// read says nothing.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "absl/types/span.h"
#include "common/clock.h"

namespace rota::provider {

inline constexpr size_t kMaxEvidenceBody = 64 << 10;
// Stands for the status of an error event inside a stream that began well.
inline constexpr int kStreamStatus = 0;

// Whose answers these are. kOpenAi also stands for every compatible provider.
enum class Dialect : uint8_t { kOpenAi, kAzure, kAnthropic, kGoogle, kBedrock };
// "openai", "azure", "azure-openai", "anthropic", "google", "gemini", "vertex", "bedrock", ...;
// unknown names are OpenAI-compatible. Case does not matter.
Dialect DialectOf(std::string_view provider);

enum class Verdict : uint8_t {
  kNone,             // nothing about the target: the answer is the client's
  kQuota,            // a quota is used up
  kAuth,             // the credential is refused
  kFailure,          // the server failed
  kRequestTooLarge,  // this request alone is over a limit: passed through, nobody is suspended
};

struct Evidence {
  Verdict verdict = Verdict::kNone;
  // Another target may answer the same request (semantics: quota, credential, 500/502/503/504/529).
  bool fails_over = false;
  // To be passed to Rotation::RecordFailures (5xx, unless the target has been suspended already).
  bool counts_as_failure = false;
  // `upstream_window` is the length, not only a lower bound (success with nothing left, 503 with
  // Retry-After).
  bool exact = false;
  // How long the upstream itself asks for, from now. Absent: it did not say.
  std::optional<Duration> upstream_window;
  std::string_view rule;  // the table's row, for logs; "" for kNone
};

// The headers of an answer that say something, kept as views (they must outlive this). Bounded.
class AnswerHeaders {
 public:
  // Any header; those without a meaning cost a few nanoseconds.
  void Add(std::string_view name, std::string_view value);
  // Bytes of headers that are kept as views have moved or gone.
  void Clear() { *this = AnswerHeaders(); }

  // One rate-limit bucket: "requests", "tokens", "unified-5h", "" (no name).
  struct Bucket {
    std::string_view name;
    bool is_anthropic = false;
    std::optional<std::string_view> remaining;
    std::optional<std::string_view> reset;
    std::optional<std::string_view> status;
  };
  absl::Span<const Bucket> buckets() const { return buckets_; }
  std::optional<std::string_view> retry_after() const { return retry_after_; }
  std::optional<std::string_view> retry_after_ms() const { return retry_after_ms_; }
  std::optional<std::string_view> amazon_error() const { return amazon_error_; }

 private:
  Bucket* FindBucket(std::string_view name, bool is_anthropic);

  static constexpr size_t kMaxBuckets = 16;
  absl::InlinedVector<Bucket, 4> buckets_;  // as many as the usual providers have
  std::optional<std::string_view> retry_after_;
  std::optional<std::string_view> retry_after_ms_;
  std::optional<std::string_view> amazon_error_;
};

// Whether Judge wants the first bytes of the body. False for every success.
bool NeedsBody(Dialect dialect, int status);

// The usual success, which costs a look at the headers and nothing else: Judge would say kNone.
bool SaysNothing(int status, const AnswerHeaders& headers);

// `body`: its first bytes (as much as kMaxEvidenceBody), decoded from chunking; "" when it was not
// needed. A body that is compressed or cut says nothing.
Evidence Judge(Dialect dialect, int status, const AnswerHeaders& headers, std::string_view body,
               WallTime now);

// Quota and overload errors inside a stream that began with 200 (Anthropic "event: error", Bedrock
// exception frames, OpenAI {"error":...}). `event` is the event's name ("" for none), `data` its
// JSON.
Evidence JudgeStreamEvent(Dialect dialect, std::string_view event, std::string_view data,
                          WallTime now);

// How long the target that was picked goes off the rota; absent: not at all.
struct SuspensionPolicy {
  Duration quota{};    // configured length; 0: never on quota, whatever the upstream says
  Duration maximum{};  // cap on what the upstream asks for, not on `quota`
  Duration failure{};  // length of an `auth` suspension
};
std::optional<Duration> SuspensionWindow(const Evidence& evidence, const SuspensionPolicy& policy);

// One row of the table; the first that matches decides.
struct Rule {
  enum class Where : uint8_t {
    kAlways,       // the status alone
    kRetryAfter,   // a header says when to come back
    kNothingLeft,  // a rate-limit bucket has nothing remaining
    kErrorCode,    // error.code, error.type, error.status, code, __type, x-amzn-ErrorType or
                   // details[].reason
    kMessage,      // the error's message holds the text
    kTooLarge,     // "Limit 10000, ... Requested 12000": more than the limit at once
  };
  std::string_view name;
  uint8_t dialects;  // bits 1 << Dialect
  int min_status;    // kStreamStatus: an error event inside a stream
  int max_status;
  Where where;
  std::string_view text;  // lower case; "" unless kErrorCode or kMessage
  Verdict verdict;
  bool fails_over;
  bool counts_as_failure;
  bool exact;
};
absl::Span<const Rule> Rules();

}  // namespace rota::provider
