#pragma once

// One try of a request in OpenAI's form at a provider that has a form of its own: the request as
// the provider wants it, and its answer on the way back. Knows bytes and heads, no sockets; the
// exchange moves them (exchange_translate.cc).
//
// Memory: the translated request until ReleaseRequest(); of a stream what has come of one frame.
// Single-thread (owner: the exchange).

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/provider/dialect.h"
#include "dataplane/provider/registry.h"
#include "dataplane/table/route_table.h"

namespace rota::engine {

class Translation {
 public:
  // A whole answer is held to be translated, as it came and inflated; the largest is a list of
  // embeddings.
  static constexpr size_t kMaxWholeAnswer = size_t{32} << 20;

  struct Input {
    provider::OpenAiOperation operation = provider::OpenAiOperation::kChat;
    const table::Endpoint* endpoint = nullptr;  // with a translator
    std::string_view model;                     // "" = the request's own
    std::string_view body;
    std::string_view request_id;
    int64_t unix_time = 0;
  };
  // The error of a request that cannot be translated: ProblemOf() says which field.
  static absl::StatusOr<std::unique_ptr<Translation>> Make(const Input& input);

  std::string_view provider_name() const { return translator_.name(); }
  const provider::TranslatedRequest& request() const { return request_; }
  // The request has been sent and will not be again.
  void ReleaseRequest();

  // The answer is a stream of frames that can be followed.
  bool Streams(const ResponseHead& head) const;
  // Whether the beginning of such a stream says how it begins.
  using HasBegun = bool (*)(std::string_view bytes);
  HasBegun has_begun() const;

  // A frame that says that something went wrong, as evidence. Bounded.
  struct ErrorFrame {
    std::string name;
    std::string data;
  };
  // Looks for one in the beginning of a stream; error() has it too.
  const std::optional<ErrorFrame>& FindError(std::string_view bytes);

  // Answers in OpenAI's form: a head to parse (`content-type`, `x-rota-dropped`, what says when to
  // come back), and the body.
  struct Answer {
    std::string head;
    std::string body;
    std::optional<provider::Usage> usage;
    provider::UnknownWords unknown;
  };
  // A whole answer, an error included. DataLoss: the provider's answer makes no sense.
  absl::StatusOr<Answer> Whole(const ResponseHead& head, std::string_view body) const;
  // A stream that began with an error, as an answer with a status of its own. REQUIRES: error().
  Answer OfError(const ResponseHead& head) const;
  std::string StreamHead() const;

  // The next bytes of the stream; what they become is appended to `out`. False: it is over, with an
  // error event in `out` (error() has the frame, if it was one).
  bool Add(std::string_view bytes, std::string& out);
  const std::optional<ErrorFrame>& error() const { return error_; }
  // The upstream's body has ended; false when the terminal event was missing.
  bool Finish(std::string& out);
  const provider::Usage& usage() const;
  const provider::UnknownWords& unknown() const;

 private:
  Translation(const Input& input, provider::TranslatedRequest request);
  provider::AnswerContext Context() const;
  std::string Head(int status, std::string_view content_type, const ResponseHead* upstream) const;
  bool TakeFrame(const provider::Frame& frame, std::string& out);

  const provider::Translator& translator_;
  const provider::OpenAiOperation operation_;
  std::string model_;
  std::string id_;
  int64_t created_;
  provider::TranslatedRequest request_;
  std::string dropped_;  // as the header says it
  std::unique_ptr<provider::FrameDecoder> frames_;
  std::unique_ptr<provider::StreamTranslator> stream_;
  std::optional<ErrorFrame> error_;
  bool is_over_ = false;
};

}  // namespace rota::engine
