#pragma once

// What speaks to a provider that has an API of its own: a request in OpenAI's form becomes the
// provider's, its answer, stream or error becomes OpenAI's. One class per dialect
// (anthropic.cc, ...), one row in registry.cc, one column of fields() from which docs/providers.md
// is made. Facts about real providers: the comments of each dialect and its tests.
//
//   request = TranslateChat(translator, body, target)   per try
//   ... send request->body to endpoint base path + request->path ...
//   translator.ChatAnswer(body, context)   a whole success
//   translator.ErrorAnswer(...)            status >= 400
//   translator.NewStream(context)          a stream: frames (framing.h) in, OpenAI events out
//
// Stateless, pure and thread-safe; only StreamTranslator has state (thread-compatible, one stream).
// Errors of requests are made by InvalidField and UnsupportedField (field_rules.h) and become a 400
// that names the field. Errors of answers are DataLoss: the provider sent what nobody understands.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "dataplane/provider/field_rules.h"
#include "dataplane/provider/framing.h"
#include "dataplane/provider/header_field.h"
#include "dataplane/provider/json.h"
#include "dataplane/provider/openai_form.h"
#include "dataplane/provider/provider_options.h"
#include "dataplane/provider/usage.h"

namespace rota::provider {

// Where a request goes. Views outlive the call.
struct TargetContext {
  std::string_view model;      // the target's; the request's own `model` means nothing here
  std::string_view base_path;  // of the endpoint's URL: "/v1", "" for none
  const ProviderOptions* options = nullptr;  // never null
};

struct TranslatedRequest {
  // Behind the endpoint's base path, percent-encoded as it goes on the wire, query included:
  // "/v1/messages", "/models/gemini-2.5-pro:streamGenerateContent?alt=sse".
  std::string path;
  std::string body;
  // Beside content-type, accept-encoding and the credential: {"anthropic-version", "2023-06-01"}.
  std::vector<HeaderField> headers;
  // Fields of the request that the provider cannot express and that change nothing much: the answer
  // names them in x-rota-dropped. No name twice.
  std::vector<std::string> dropped;
  // What the translation of the answer has to know of the request.
  AnswerPlan plan;
};

// How requests have to be authenticated when a header or parameter is not enough.
enum class Signing : uint8_t { kNone, kSigV4 };

// One upstream error, before any of the answer has been passed on. Views outlive the call.
inline constexpr size_t kMaxErrorBody = 64 << 10;
struct ErrorInput {
  int status = 0;               // 0: a frame of a stream; the error's own status has to be found
  std::string_view body;        // at most kMaxErrorBody; may be cut or no JSON at all
  std::string_view error_type;  // x-amzn-ErrorType; of a frame its name
};

// Words of a provider that no table knows: it has something new. The last one of each kind of one
// answer, at most kMaxUnknownWord bytes; "" when there was none.
inline constexpr size_t kMaxUnknownWord = 64;
struct UnknownWords {
  std::string finish_reason;  // shown as "stop"
  std::string event;          // the type of an event or of its delta, which is left out
};

// What Add has seen.
enum class StreamState : uint8_t {
  kOpen,   // more is to come
  kEnded,  // the terminal event: what follows (usage, "[DONE]") is written by Finish
  kError,  // an error event: it is in `out` in OpenAI's form, nothing follows
};

// One stream. Bounded: keeps ids, indexes and counters, never the text that has passed.
class StreamTranslator {
 public:
  virtual ~StreamTranslator() = default;
  // One whole frame of the upstream; appends what it becomes (whole "data: ...\n\n" events, or
  // nothing) to `out`. Frames that are not understood, and everything behind kEnded except usage,
  // are skipped.
  virtual StreamState Add(const Frame& frame, std::string& out) = 0;
  // The body has ended. False when the terminal event was missing: the caller then ends with an
  // error event. True: usage (if the client asked for it) and "data: [DONE]" are in `out`.
  bool Finish(std::string& out);
  // What has been reported so far, as OpenAI counts: the last value wins, it is never a sum.
  const Usage& usage() const { return usage_; }
  const UnknownWords& unknown() const { return unknown_; }

 protected:
  explicit StreamTranslator(const AnswerContext& context) : chunks_(context) {}
  void NoteUnknownEvent(std::string_view type) { unknown_.event = type.substr(0, kMaxUnknownWord); }

  ChunkWriter chunks_;
  Usage usage_;
  bool has_ended_ = false;  // the terminal event has been seen
  UnknownWords unknown_;
};

// A whole answer in OpenAI's form, and what the gateway itself wants to know of it.
struct TranslatedAnswer {
  std::string body;
  Usage usage;
  UnknownWords unknown;
};

class Translator {
 public:
  virtual ~Translator() = default;
  // "anthropic": the value of `provider`.
  virtual std::string_view name() const = 0;

  // Requests. `request` is an object. TranslateChat applies fields() before: what is refused is not
  // there, what is dropped is named; a translator adds only what it drops beyond that table.
  virtual absl::StatusOr<TranslatedRequest> Chat(const Json& request,
                                                 const TargetContext& target) const = 0;
  virtual absl::StatusOr<TranslatedRequest> Embeddings(const Json& request,
                                                       const TargetContext& target) const;
  // What becomes of each field of a chat request: the table behind dropped fields, 400s and
  // docs/providers.md. A field that is not listed is dropped and named.
  virtual absl::Span<const FieldRule> fields() const = 0;
  // The same for embeddings; empty when the provider has none.
  virtual absl::Span<const FieldRule> embedding_fields() const { return {}; }

  // Answers to a success.
  virtual absl::StatusOr<TranslatedAnswer> ChatAnswer(std::string_view body,
                                                      const AnswerContext& context) const = 0;
  virtual absl::StatusOr<TranslatedAnswer> EmbeddingsAnswer(std::string_view body,
                                                            const AnswerContext& context) const;
  // Never fails: a body that is not understood is an error that says only the status.
  virtual OpenAiError ErrorAnswer(const ErrorInput& input) const = 0;
  virtual std::unique_ptr<StreamTranslator> NewStream(const AnswerContext& context) const = 0;
  virtual Framing framing() const { return Framing::kSse; }

  // The engine signs just before it sends, with the endpoint's credential (sigv4.h).
  virtual Signing signing() const { return Signing::kNone; }
};

// Reviews the request's fields (400 or dropped), then translates. What the engine calls.
absl::StatusOr<TranslatedRequest> TranslateChat(const Translator& translator, const Json& request,
                                                const TargetContext& target);
absl::StatusOr<TranslatedRequest> TranslateEmbeddings(const Translator& translator,
                                                      const Json& request,
                                                      const TargetContext& target);

// `version` + `path` unless the base path says the version already: ("/v1", "/messages") behind
// "https://host" is "/v1/messages", behind "https://host/v1" it is "/messages".
std::string VersionedPath(std::string_view base_path, std::string_view version,
                          std::string_view path);

}  // namespace rota::provider
