#include "tests/support/mock_llm/answer.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"
#include "tests/support/mock_llm/json_scan.h"
#include "tests/support/mock_llm/native_answer.h"

namespace rota::mock_llm {
namespace {

// Embeddings have this many dimensions: enough to be a vector, cheap to send.
constexpr int kDimensions = 8;
constexpr std::string_view kWords =
    "the rota turns and every model takes its share of the work while those that are off duty rest "
    "until "
    "their window ends ";

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string Quote(std::string_view text) {
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// `bytes` bytes of words.
std::string Words(uint64_t bytes) {
  std::string text;
  text.reserve(bytes);
  while (text.size() < bytes) {
    text.append(kWords.substr(0, bytes - text.size()));
  }
  return text;
}

uint64_t CountWords(std::string_view text) {
  uint64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    words += (c != ' ' && !inside) ? 1 : 0;
    inside = c != ' ';
  }
  return words;
}

struct Failure {
  int status = 400;
  std::string message;
  std::string_view type = "invalid_request_error";
  std::string_view param = {};
  std::string_view code = {};
};

Answer FailureAnswer(const Failure& failure, std::string model) {
  Answer answer;
  answer.status = failure.status;
  answer.model = std::move(model);
  answer.body = ErrorBody(failure.message, failure.type, failure.param, failure.code);
  return answer;
}

// The error that OpenAI sends with that status.
Failure FailureOfStatus(int status, const std::string& model, std::string_view code) {
  Failure failure;
  failure.status = status;
  switch (status) {
    case 401:
      failure = {
          401, "Incorrect API key provided.", "invalid_request_error", {}, "invalid_api_key"};
      break;
    case 402:
    case 403:
      failure = {status, "You have no access to this model.", "invalid_request_error", {}, {}};
      break;
    case 404:
      failure = {
          404,
          absl::StrCat("The model `", model, "` does not exist or you do not have access to it."),
          "invalid_request_error", "model", "model_not_found"};
      break;
    case 429:
      failure = {429,
                 absl::StrCat("Rate limit reached for ", model, " on requests per min (RPM)."),
                 "requests",
                 {},
                 "rate_limit_exceeded"};
      break;
    default:
      failure.message = "The server had an error while processing your request.";
      failure.type = status >= 500 ? "server_error" : "invalid_request_error";
  }
  if (code == "insufficient_quota") {
    failure.message =
        "You exceeded your current quota, please check your plan and billing details.";
    failure.type = "insufficient_quota";
  }
  if (!code.empty()) {
    failure.code = code;
  }
  return failure;
}

// What all parts of an answer share.
struct Frame {
  bool chat = true;
  std::string id;
  std::string model_json;
  std::string fingerprint;
  int64_t created = 0;
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;

  std::string Usage() const {
    return absl::StrCat("{\"prompt_tokens\":", prompt_tokens,
                        ",\"completion_tokens\":", completion_tokens,
                        ",\"total_tokens\":", prompt_tokens + completion_tokens,
                        ",\"prompt_tokens_details\":{\"cached_tokens\":0},"
                        "\"completion_tokens_details\":{\"reasoning_tokens\":0}}");
  }
  std::string Head(std::string_view object, std::string_view fingerprint_text) const {
    return absl::StrCat("{\"id\":\"", id, "\",\"object\":\"", View(object),
                        "\",\"created\":", created, ",\"model\":", model_json,
                        ",\"system_fingerprint\":\"", View(fingerprint_text), "\"");
  }
};

// Events: the role, `chunks` pieces of text, the finish reason, the usage when asked for, [DONE].
class CompletionEvents final : public EventSource {
 public:
  struct Plan {
    uint64_t chunks = 0;
    uint64_t answer_bytes = 0;
    bool include_usage = false;
    bool stamp = false;
    std::optional<uint64_t> malformed;
  };

  CompletionEvents(Frame frame, Plan plan) : frame_(std::move(frame)), plan_(plan) {
    text_ = Words(std::max(plan_.answer_bytes, plan_.chunks));
    frame_.completion_tokens = plan_.chunks == 0 ? 0 : CountWords(text_);
  }

  std::string Next(MonotonicTime now) override {
    if (frame_.chat && !role_sent_) {
      role_sent_ = true;
      return Event(now, R"({"role":"assistant","content":""})", "null");
    }
    if (sent_ < plan_.chunks) {
      ++sent_;
      if (plan_.malformed == sent_) {
        return "data: {\"id\":\"" + frame_.id + "\",\"choices\":[{\"delta\":\n\n";
      }
      const uint64_t from = text_.size() * (sent_ - 1) / plan_.chunks;
      const uint64_t to = text_.size() * sent_ / plan_.chunks;
      const std::string piece = Quote(std::string_view(text_).substr(from, to - from));
      const std::string content = frame_.chat ? absl::StrCat("{\"content\":", piece, "}") : piece;
      return Event(now, content, "null");
    }
    if (!finished_) {
      finished_ = true;
      return Event(now, frame_.chat ? "{}" : "\"\"", "\"stop\"");
    }
    if (plan_.include_usage && !usage_sent_) {
      usage_sent_ = true;
      return absl::StrCat("data: ", Head(now), ",\"choices\":[],\"usage\":", frame_.Usage(),
                          "}\n\n");
    }
    if (!done_) {
      done_ = true;
      return "data: [DONE]\n\n";
    }
    return "";
  }

 private:
  std::string Head(MonotonicTime now) const {
    const std::string_view object = frame_.chat ? "chat.completion.chunk" : "text_completion";
    if (!plan_.stamp) {
      return frame_.Head(object, frame_.fingerprint);
    }
    return frame_.Head(object, absl::StrCat("t=", now.time_since_epoch().count()));
  }
  std::string Event(MonotonicTime now, std::string_view content,
                    std::string_view finish_reason) const {
    return absl::StrCat("data: ", Head(now), ",\"choices\":[{\"index\":0,\"",
                        frame_.chat ? "delta" : "text", "\":", View(content),
                        ",\"logprobs\":null,\"finish_reason\":", View(finish_reason), "}]",
                        plan_.include_usage ? ",\"usage\":null" : "", "}\n\n");
  }

  Frame frame_;
  Plan plan_;
  std::string text_;
  uint64_t sent_ = 0;
  bool role_sent_ = false;
  bool finished_ = false;
  bool usage_sent_ = false;
  bool done_ = false;
};

enum class Kind { kChat, kCompletions, kEmbeddings };

std::string WholeBody(Kind kind, Frame& frame, uint64_t answer_bytes) {
  if (kind == Kind::kEmbeddings) {
    std::string vector;
    for (int i = 0; i < kDimensions; ++i) {
      absl::StrAppend(&vector, i == 0 ? "" : ",", "0.", i + 1);
    }
    return absl::StrCat(
        "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[",
        vector, "]}],\"model\":", frame.model_json,
        ",\"usage\":{\"prompt_tokens\":", frame.prompt_tokens,
        ",\"total_tokens\":", frame.prompt_tokens, "}}");
  }
  const std::string text = Words(answer_bytes);
  frame.completion_tokens = CountWords(text);
  const std::string head =
      frame.Head(frame.chat ? "chat.completion" : "text_completion", frame.fingerprint);
  return absl::StrCat(
      head, ",\"choices\":[{\"index\":0,\"",
      frame.chat ? "message\":{\"role\":\"assistant\",\"refusal\":null,\"content\":" : "text\":",
      Quote(text), frame.chat ? "}" : "",
      ",\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":", frame.Usage(), "}");
}

std::string ModelsBody(const AnswerOptions& options, int64_t created) {
  nlohmann::ordered_json data = nlohmann::ordered_json::array();
  for (const std::string& model : options.models) {
    data.push_back(
        {{"id", model}, {"object", "model"}, {"created", created}, {"owned_by", options.name}});
  }
  return nlohmann::ordered_json{{"object", "list"}, {"data", std::move(data)}}.dump();
}

struct Parsed {
  std::string model;
  std::string_view prompt;  // raw value
  bool stream = false;
  bool include_usage = false;
};

// Reads the body and checks it as OpenAI does. On a failure `parsed.model` is still set when it was
// readable.
std::optional<Failure> Parse(const RequestView& request, Kind kind, Parsed& parsed) {
  const absl::StatusOr<std::vector<JsonMember>> members = ScanObject(request.body);
  if (!members.ok()) {
    return Failure{400, absl::StrCat("We could not parse the JSON body of your request: ",
                                     members.status().message(), ".")};
  }
  const auto models = std::count_if(members->begin(), members->end(),
                                    [](const JsonMember& member) { return member.key == "model"; });
  const absl::StatusOr<std::string> model = DecodeString(FindMember(*members, "model"));
  if (models != 1 || !model.ok() || model->empty()) {
    return Failure{
        400, models > 1 ? "'model' is given more than once" : "you must provide a model parameter"};
  }
  parsed.model = *model;
  const std::string_view name = kind == Kind::kChat          ? "messages"
                                : kind == Kind::kCompletions ? "prompt"
                                                             : "input";
  parsed.prompt = FindMember(*members, name);
  if (parsed.prompt.empty()) {
    return Failure{400, absl::StrCat("Missing required parameter: '", View(name), "'."),
                   "invalid_request_error", name, "missing_required_parameter"};
  }
  if (kind == Kind::kChat && parsed.prompt.front() != '[') {
    return Failure{400, "Invalid type for 'messages': expected an array of objects.",
                   "invalid_request_error", name, "invalid_type"};
  }
  if (kind == Kind::kChat && std::count(parsed.prompt.begin(), parsed.prompt.end(), '{') == 0) {
    return Failure{400, "Invalid 'messages': empty array. Expected an array with minimum length 1.",
                   "invalid_request_error", name, "empty_array"};
  }
  const std::string_view stream = FindMember(*members, "stream");
  if (!stream.empty() && stream != "true" && stream != "false" && stream != "null") {
    return Failure{400, "Invalid type for 'stream': expected a boolean.", "invalid_request_error",
                   "stream", "invalid_type"};
  }
  parsed.stream = stream == "true" && kind != Kind::kEmbeddings;
  const std::string_view stream_options = FindMember(*members, "stream_options");
  if (!stream_options.empty() && stream_options.front() == '{') {
    const auto inner = ScanObject(stream_options);
    parsed.include_usage = inner.ok() && FindMember(*inner, "include_usage") == "true";
  }
  return std::nullopt;
}

std::optional<Kind> KindOf(std::string_view path) {
  if (path.ends_with("/chat/completions")) {
    return Kind::kChat;
  }
  if (path.ends_with("/completions")) {
    return Kind::kCompletions;
  }
  if (path.ends_with("/embeddings")) {
    return Kind::kEmbeddings;
  }
  return std::nullopt;
}

void ApplyDelivery(const Behavior& behavior, Answer& answer) {
  answer.headers.insert(answer.headers.end(), behavior.headers.begin(), behavior.headers.end());
  answer.hang = behavior.hang;
  answer.close = behavior.close;
  answer.reset = behavior.reset;
  answer.delay = behavior.delay;
  answer.cut_after_bytes = behavior.cut_after_bytes;
  answer.cut_after_chunks = behavior.cut_after_chunks;
  answer.stall_after_chunks = behavior.stall_after_chunks;
}

// The answer that the behaviour replaces the proper one with, if it does.
std::optional<Answer> Replacement(const Behavior& behavior, const std::string& model) {
  if (behavior.status < 300 && !behavior.body) {
    return std::nullopt;
  }
  Answer answer = FailureAnswer(FailureOfStatus(behavior.status, model, behavior.code), model);
  if (behavior.body) {
    answer.body = *behavior.body;
  }
  if (!behavior.content_type.empty()) {
    answer.content_type = behavior.content_type;
  }
  return answer;
}

}  // namespace

std::string ErrorBody(std::string_view message, std::string_view type, std::string_view param,
                      std::string_view code) {
  return absl::StrCat("{\"error\":{\"message\":", Quote(message), ",\"type\":", Quote(type),
                      ",\"param\":", param.empty() ? "null" : Quote(param),
                      ",\"code\":", code.empty() ? "null" : Quote(code), "}}");
}

namespace {

Answer CompletionAnswer(const AnswerOptions& options, const Behavior& behavior, Kind kind,
                        const Parsed& parsed, uint64_t request_number, int64_t created) {
  Answer answer;
  answer.model = parsed.model;
  answer.status = behavior.status;
  answer.chunk_interval = behavior.chunk_interval.value_or(options.chunk_interval);
  const uint64_t answer_bytes = behavior.answer_bytes.value_or(options.answer_bytes);
  Frame frame;
  frame.chat = kind == Kind::kChat;
  frame.id = absl::StrCat(frame.chat ? "chatcmpl-" : "cmpl-", request_number);
  frame.model_json = Quote(parsed.model);
  frame.fingerprint = options.name;
  frame.created = created;
  frame.prompt_tokens = (parsed.prompt.size() + 3) / 4;
  if (parsed.stream) {
    answer.content_type = "text/event-stream; charset=utf-8";
    answer.events = std::make_unique<CompletionEvents>(
        std::move(frame), CompletionEvents::Plan{behavior.chunks.value_or(options.chunks),
                                                 answer_bytes, parsed.include_usage,
                                                 options.stamp_chunks, behavior.malformed_chunk});
  } else {
    answer.body = WholeBody(kind, frame, answer_bytes);
  }
  return answer;
}

// One of the forms that are not OpenAI's. `model` and `messages` are looked at, nothing else.
Answer NativeAnswer(const AnswerOptions& options, const BehaviorBook::Rules& rules, NativeForm form,
                    const RequestView& request, uint64_t request_number) {
  const absl::StatusOr<std::vector<JsonMember>> members = ScanObject(request.body);
  if (!members.ok()) {
    return FailureAnswer({400, "The body is no JSON object."}, "");
  }
  const std::string model = form == NativeForm::kBedrock
                                ? BedrockModelOf(request.path)
                                : DecodeString(FindMember(*members, "model")).value_or("");
  const std::string_view prompt = FindMember(*members, "messages");
  if (model.empty() || prompt.empty()) {
    return FailureAnswer({400, "model or messages are missing."}, model);
  }
  const bool is_stream = FindMember(*members, "stream") == "true";
  if (is_stream && form != NativeForm::kAnthropic) {
    return FailureAnswer({400, "The mock streams in OpenAI's and Anthropic's form only."}, model);
  }
  static const Behavior kProper;
  const Behavior* taken = BehaviorBook::Take(rules, model);
  const Behavior& behavior = taken != nullptr ? *taken : kProper;
  std::optional<Answer> replacement = Replacement(behavior, model);
  Answer answer = replacement ? *std::move(replacement) : Answer{};
  answer.model = model;
  if (!replacement) {
    const uint64_t chunks = behavior.chunks.value_or(options.chunks);
    const uint64_t bytes = behavior.answer_bytes.value_or(options.answer_bytes);
    const std::string text = Words(is_stream ? std::max(bytes, chunks) : bytes);
    const NativeText said{absl::StrCat(request_number), model, text, (prompt.size() + 3) / 4,
                          CountWords(text)};
    if (is_stream) {
      answer.content_type = "text/event-stream; charset=utf-8";
      answer.chunk_interval = behavior.chunk_interval.value_or(options.chunk_interval);
      answer.events = AnthropicEvents(said, chunks);
    } else {
      answer.body = NativeBody(form, said);
    }
  }
  ApplyDelivery(behavior, answer);
  return answer;
}

}  // namespace

Answer MakeAnswer(const AnswerOptions& options, const BehaviorBook::Rules& rules,
                  const RequestView& request, uint64_t request_number, int64_t created) {
  if (!options.require_key.empty() && request.api_key != options.require_key) {
    return FailureAnswer(FailureOfStatus(401, "", ""), "");
  }
  if (request.path.ends_with("/models") && (request.method == "GET" || request.method == "HEAD")) {
    Answer answer;
    answer.body = ModelsBody(options, created);
    return answer;
  }
  const std::optional<NativeForm> native = NativeFormOf(request.path);
  if (native && request.method == "POST") {
    return NativeAnswer(options, rules, *native, request, request_number);
  }
  const std::optional<Kind> kind = KindOf(request.path);
  if (!kind) {
    return FailureAnswer(
        {404, absl::StrCat("Invalid URL (", View(request.method), " ", View(request.path), ")")},
        "");
  }
  if (request.method != "POST") {
    return FailureAnswer({405, absl::StrCat("Not allowed to ", View(request.method), " on ",
                                            View(request.path), " (HINT: use POST).")},
                         "");
  }
  Parsed parsed;
  if (const std::optional<Failure> failure = Parse(request, *kind, parsed)) {
    return FailureAnswer(*failure, parsed.model);
  }
  if (!options.models.empty() && std::find(options.models.begin(), options.models.end(),
                                           parsed.model) == options.models.end()) {
    return FailureAnswer(FailureOfStatus(404, parsed.model, ""), parsed.model);
  }
  static const Behavior kProper;
  const Behavior* taken = BehaviorBook::Take(rules, parsed.model);
  const Behavior& behavior = taken != nullptr ? *taken : kProper;
  std::optional<Answer> replacement = Replacement(behavior, parsed.model);
  Answer answer = replacement
                      ? *std::move(replacement)
                      : CompletionAnswer(options, behavior, *kind, parsed, request_number, created);
  ApplyDelivery(behavior, answer);
  return answer;
}

}  // namespace rota::mock_llm
