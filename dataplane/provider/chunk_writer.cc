// The stream side of openai_form.h.

#include "absl/strings/str_cat.h"
#include "dataplane/provider/openai_form.h"

namespace rota::provider {

ChunkWriter::ChunkWriter(const AnswerContext& context)
    : include_usage_(context.plan->include_usage),
      id_(context.id),
      model_(context.model),
      created_(context.created) {}

void ChunkWriter::SetId(std::string_view id) {
  if (!id.empty() && !has_begun_) {
    id_ = id.substr(0, kMaxName);
  }
}

void ChunkWriter::SetModel(std::string_view model) {
  if (!model.empty() && !has_begun_) {
    model_ = model.substr(0, kMaxName);
  }
}

void ChunkWriter::RenderPrefix() {
  prefix_ = R"(data: {"id":)";
  AppendJsonText(id_, prefix_);
  absl::StrAppend(&prefix_, R"(,"object":"chat.completion.chunk","created":)", created_,
                  R"(,"model":)");
  AppendJsonText(model_, prefix_);
  prefix_.append(R"(,"choices":[)");
}

void ChunkWriter::Begin(std::string& out) {
  if (!has_begun_) {
    has_begun_ = true;
    RenderPrefix();
    OpenDelta(out);
    out.append(R"("role":"assistant","content":"")");
    CloseDelta("null", out);
  }
}

void ChunkWriter::OpenDelta(std::string& out) {
  out.append(prefix_).append(R"({"index":0,"delta":{)");
}

void ChunkWriter::CloseDelta(std::string_view finish_reason, std::string& out) {
  out.append(R"(},"logprobs":null,"finish_reason":)").append(finish_reason);
  out.append(include_usage_ ? R"(}],"usage":null})" : "}]}").append("\n\n");
}

void ChunkWriter::AddText(std::string_view member, std::string_view text, std::string& out) {
  if (text.empty() || has_finished_) {
    return;
  }
  Begin(out);
  OpenDelta(out);
  out.append(member);
  AppendJsonText(text, out);
  CloseDelta("null", out);
}

void ChunkWriter::Content(std::string_view text, std::string& out) {
  AddText(R"("content":)", text, out);
}

void ChunkWriter::Reasoning(std::string_view text, std::string& out) {
  AddText(R"("reasoning_content":)", text, out);
}

void ChunkWriter::Refusal(std::string_view text, std::string& out) {
  AddText(R"("refusal":)", text, out);
}

size_t ChunkWriter::BeginToolCall(std::string_view id, std::string_view name, std::string& out) {
  const size_t index = has_arguments_.size();
  if (index == kMaxToolCalls || has_finished_) {
    return kMaxToolCalls;
  }
  has_arguments_.push_back(false);
  Begin(out);
  OpenDelta(out);
  absl::StrAppend(&out, R"("tool_calls":[{"index":)", index, R"(,"id":)");
  AppendJsonText(id.empty() ? MadeCallId(id_, index) : std::string(id), out);
  out.append(R"(,"type":"function","function":{"name":)");
  AppendJsonText(name, out);
  out.append(R"(,"arguments":""}}])");
  CloseDelta("null", out);
  return index;
}

void ChunkWriter::ToolArguments(size_t index, std::string_view fragment, std::string& out) {
  if (index >= has_arguments_.size() || fragment.empty() || has_finished_) {
    return;
  }
  has_arguments_[index] = true;
  OpenDelta(out);
  absl::StrAppend(&out, R"("tool_calls":[{"index":)", index, R"(,"function":{"arguments":)");
  AppendJsonText(fragment, out);
  out.append("}}]");
  CloseDelta("null", out);
}

void ChunkWriter::EndToolCall(size_t index, std::string& out) {
  if (index < has_arguments_.size() && !has_arguments_[index]) {
    ToolArguments(index, "{}", out);
  }
}

void ChunkWriter::FinishReason(std::string_view reason, std::string& out) {
  if (has_finished_) {
    return;
  }
  Begin(out);
  has_finished_ = true;
  OpenDelta(out);
  CloseDelta(absl::StrCat("\"", std::string(reason), "\""), out);
}

void ChunkWriter::End(const Usage& usage, std::string& out) {
  if (include_usage_) {
    if (!has_begun_) {
      Begin(out);
    }
    out.append(prefix_).append(R"(],"usage":)");
    AppendUsage(usage, out);
    out.append("}\n\n");
  }
  out.append("data: [DONE]\n\n");
}

void ChunkWriter::Error(const OpenAiError& error, std::string& out) {
  absl::StrAppend(&out, "data: ", RenderError(error), "\n\n");
}

}  // namespace rota::provider
