#include "dataplane/engine/translation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/status_macros.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/sse_scanner.h"
#include "dataplane/provider/amazon_event_stream.h"
#include "dataplane/provider/field_rules.h"
#include "dataplane/provider/gzip.h"

namespace rota::engine {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kEvents = "text/event-stream";

bool HasLine(std::string_view bytes) { return bytes.find('\n') != std::string_view::npos; }

Translation::ErrorFrame CopyOf(const provider::Frame& frame) {
  return {std::string(frame.name), std::string(frame.data.substr(0, provider::kMaxErrorBody))};
}

}  // namespace

absl::StatusOr<std::unique_ptr<Translation>> Translation::Make(const Input& input) {
  absl::StatusOr<provider::Json> body = provider::ParseJson(input.body);
  if (!body.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the body ", std::string(body.status().message())));
  }
  if (!body->is_object()) {
    return absl::InvalidArgumentError("the body must be a JSON object");
  }
  const table::Endpoint& endpoint = *input.endpoint;
  provider::TargetContext target;
  target.model = input.model.empty() ? provider::FindText(*body, "model") : input.model;
  target.base_path = endpoint.base_path;
  target.options = &endpoint.options;
  absl::StatusOr<provider::TranslatedRequest> request;
  switch (input.operation) {
    case provider::OpenAiOperation::kChat:
      request = provider::TranslateChat(*endpoint.translator, *body, target);
      break;
    case provider::OpenAiOperation::kEmbeddings:
      request = provider::TranslateEmbeddings(*endpoint.translator, *body, target);
      break;
    case provider::OpenAiOperation::kCompletions:
      request = provider::UnsupportedField("prompt", "has chat completions only");
      break;
  }
  RETURN_IF_ERROR(request.status());
  Input made = input;
  made.model = target.model;
  return std::unique_ptr<Translation>(new Translation(made, *std::move(request)));
}

Translation::Translation(const Input& input, provider::TranslatedRequest request)
    : translator_(*input.endpoint->translator),
      operation_(input.operation),
      model_(input.model),
      id_(absl::StrCat("chatcmpl-", std::string(input.request_id))),
      created_(input.unix_time),
      request_(std::move(request)),
      dropped_(absl::StrJoin(request_.dropped, ",")) {}

void Translation::ReleaseRequest() { std::string().swap(request_.body); }

provider::AnswerContext Translation::Context() const {
  return {&request_.plan, model_, id_, created_};
}

bool Translation::Streams(const ResponseHead& head) const {
  return request_.plan.is_stream && head.status >= 200 && head.status <= 299 &&
         !IsCompressed(head) && !IsMediaType(head.Find(FieldKind::kContentType), kJson);
}

Translation::HasBegun Translation::has_begun() const {
  switch (translator_.framing()) {
    case provider::Framing::kSse:
      return SseScanner::HasBegun;
    case provider::Framing::kNdjson:
      return HasLine;
    case provider::Framing::kAmazonEventStream:
      return provider::HasAmazonFrame;
  }
  return SseScanner::HasBegun;
}

const std::optional<Translation::ErrorFrame>& Translation::FindError(std::string_view bytes) {
  const std::unique_ptr<provider::FrameDecoder> frames =
      provider::NewFrameDecoder(translator_.framing());
  const std::unique_ptr<provider::StreamTranslator> stream = translator_.NewStream(Context());
  std::string out;
  // Bytes that break the framing are found again when the stream is followed.
  frames
      ->Add(bytes,
            [&](const provider::Frame& frame) {
              if (stream->Add(frame, out) == provider::StreamState::kError) {
                error_ = CopyOf(frame);
              }
              out.clear();
              return !error_.has_value();
            })
      .IgnoreError();
  return error_;
}

std::string Translation::Head(int status, std::string_view content_type,
                              const ResponseHead* upstream) const {
  std::string head = absl::StrCat("HTTP/1.1 ", status, " ", std::string(ReasonOf(status)),
                                  "\r\ncontent-type: ", std::string(content_type), "\r\n");
  if (!dropped_.empty()) {
    absl::StrAppend(&head, "x-rota-dropped: ", dropped_, "\r\n");
  }
  if (upstream != nullptr) {
    for (const std::string_view name : {"retry-after", "retry-after-ms"}) {
      if (const std::string_view value = upstream->Find(name); !value.empty()) {
        head.append(name).append(": ").append(value).append("\r\n");
      }
    }
  }
  return head.append("\r\n");
}

absl::StatusOr<Translation::Answer> Translation::Whole(const ResponseHead& head,
                                                       std::string_view body) const {
  std::string inflated;
  if (IsCompressed(head)) {  // although identity was asked for
    if (!provider::IsGzip(head.Find(FieldKind::kContentEncoding))) {
      return absl::DataLossError("the upstream's answer has a coding that was not asked for");
    }
    inflated = provider::GunzipPrefix(body, kMaxWholeAnswer);
    body = inflated;
  }
  Answer answer;
  if (head.status >= 400) {
    const provider::OpenAiError error = translator_.ErrorAnswer(
        {head.status, body.substr(0, provider::kMaxErrorBody), head.Find("x-amzn-errortype")});
    answer.head = Head(error.status, kJson, &head);
    answer.body = provider::RenderError(error);
    return answer;
  }
  const bool is_chat = operation_ == provider::OpenAiOperation::kChat;
  absl::StatusOr<provider::TranslatedAnswer> translated =
      is_chat ? translator_.ChatAnswer(body, Context())
              : translator_.EmbeddingsAnswer(body, Context());
  RETURN_IF_ERROR(translated.status());
  answer.head = Head(200, kJson, nullptr);
  answer.body = std::move(translated->body);
  answer.usage = translated->usage;
  answer.unknown = std::move(translated->unknown);
  return answer;
}

Translation::Answer Translation::OfError(const ResponseHead& head) const {
  provider::OpenAiError told = translator_.ErrorAnswer({/*status=*/0, error_->data, error_->name});
  if (told.status < 400) {
    told.status = 502;  // an error without a status of its own
  }
  Answer answer;
  answer.head = Head(told.status, kJson, &head);
  answer.body = provider::RenderError(told);
  return answer;
}

std::string Translation::StreamHead() const { return Head(200, kEvents, nullptr); }

bool Translation::TakeFrame(const provider::Frame& frame, std::string& out) {
  if (stream_->Add(frame, out) != provider::StreamState::kError) {
    return true;
  }
  is_over_ = true;
  error_ = CopyOf(frame);
  return false;
}

bool Translation::Add(std::string_view bytes, std::string& out) {
  if (stream_ == nullptr) {
    frames_ = provider::NewFrameDecoder(translator_.framing());
    stream_ = translator_.NewStream(Context());
  }
  const absl::Status status = frames_->Add(
      bytes, [this, &out](const provider::Frame& frame) { return TakeFrame(frame, out); });
  if (!status.ok() && !is_over_) {
    is_over_ = true;
    provider::ChunkWriter::Error({502, "the upstream's stream cannot be read", "", "", ""}, out);
  }
  return !is_over_;
}

bool Translation::Finish(std::string& out) {
  const absl::Status status =
      frames_->Finish([this, &out](const provider::Frame& frame) { return TakeFrame(frame, out); });
  if (is_over_) {
    return true;  // the error event is its end
  }
  return status.ok() && stream_->Finish(out);
}

const provider::Usage& Translation::usage() const { return stream_->usage(); }

const provider::UnknownWords& Translation::unknown() const { return stream_->unknown(); }

}  // namespace rota::engine
