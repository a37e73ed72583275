#include "dataplane/provider/openai_form.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace rota::provider {
namespace {

constexpr size_t kMaxMessage = 2048;
constexpr size_t kMaxUnknownReason = 64;
// Numbers of accounts and projects are that long; counts of tokens and bytes are not.
constexpr size_t kIdentifierDigits = 10;
constexpr std::string_view kRemoved = "[removed]";
// What keys, tokens and ids of organisations begin with.
constexpr std::array<std::string_view, 16> kSecretPrefixes = {
    "sk-",  "sk_",  "pk-",  "gsk_",  "xai-", "org-", "org_", "proj_",
    "AKIA", "ASIA", "AIza", "ya29.", "eyJ",  "arn:", "key-", "csk-"};

bool IsSeparator(char c) {
  return absl::ascii_isspace(static_cast<unsigned char>(c)) ||
         std::string_view("\"'`,;()[]{}<>=").find(c) != std::string_view::npos;
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// The word, with long numbers in it removed.
void AppendWithoutIdentifiers(std::string_view word, std::string& out) {
  size_t place = 0;
  while (place < word.size()) {
    size_t end = place;
    while (end < word.size() && IsDigit(word[end])) {
      ++end;
    }
    if (end - place >= kIdentifierDigits) {
      out.append(kRemoved);
      place = end;
    } else {
      end = std::max(end, place + 1);
      out.append(word.substr(place, end - place));
      place = end;
    }
  }
}

void AppendTextOrNull(std::string_view text, std::string& out) {
  if (text.empty()) {
    out.append("null");
  } else {
    AppendJsonText(text, out);
  }
}

// The shortest text that is the same number again.
void AppendFloat(float value, std::string& out) {
  std::array<char, 32> text{};
  const auto [end, error] = std::to_chars(text.data(), text.data() + text.size(), value);
  out.append(text.data(), end);
}

std::string Base64Of(const std::vector<float>& numbers) {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
  return absl::Base64Escape(
      {reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(float)});
}

void AppendToolCalls(const ChatResult& result, std::string_view answer_id, std::string& out) {
  out.append(",\"tool_calls\":[");
  for (size_t i = 0; i < result.tool_calls.size(); ++i) {
    const ToolCall& call = result.tool_calls[i];
    out.append(i == 0 ? R"({"id":)" : R"(,{"id":)");
    AppendJsonText(call.id.empty() ? MadeCallId(answer_id, i) : call.id, out);
    out.append(R"(,"type":"function","function":{"name":)");
    AppendJsonText(call.name, out);
    out.append(R"(,"arguments":)");
    AppendJsonText(call.arguments.empty() ? "{}" : std::string_view(call.arguments), out);
    out.append("}}");
  }
  out.push_back(']');
}

}  // namespace

AnswerPlan PlanOf(const Json& request) {
  AnswerPlan plan;
  plan.is_stream = FindFlag(request, "stream");
  const Json* options = Find(request, "stream_options");
  plan.include_usage = options != nullptr && FindFlag(*options, "include_usage");
  plan.base64 = FindText(request, "encoding_format") == "base64";
  return plan;
}

std::string MadeCallId(std::string_view answer_id, size_t index) {
  const size_t dash = answer_id.find('-');
  const std::string_view unique =
      dash == std::string_view::npos ? answer_id : answer_id.substr(dash + 1);
  return absl::StrCat("call_", std::string(unique), "_", index);
}

void AppendUsage(const Usage& usage, std::string& out) {
  const uint64_t prompt = usage.prompt.value_or(0);
  const uint64_t completion = usage.completion.value_or(0);
  absl::StrAppend(&out, R"({"prompt_tokens":)", prompt, R"(,"completion_tokens":)", completion,
                  R"(,"total_tokens":)", usage.total.value_or(prompt + completion));
  if (usage.cached.has_value()) {
    absl::StrAppend(&out, R"(,"prompt_tokens_details":{"cached_tokens":)", *usage.cached, "}");
  }
  if (usage.reasoning.has_value()) {
    absl::StrAppend(&out, R"(,"completion_tokens_details":{"reasoning_tokens":)", *usage.reasoning,
                    "}");
  }
  out.push_back('}');
}

std::string RenderChat(const ChatResult& result, const AnswerContext& context) {
  const std::string_view id = result.id.empty() ? context.id : std::string_view(result.id);
  std::string out = R"({"id":)";
  AppendJsonText(id, out);
  absl::StrAppend(&out, R"(,"object":"chat.completion","created":)", context.created,
                  R"(,"model":)");
  AppendJsonText(result.model.empty() ? context.model : std::string_view(result.model), out);
  out.append(R"(,"choices":[{"index":0,"message":{"role":"assistant","content":)");
  if (result.content.has_value()) {
    AppendJsonText(*result.content, out);
  } else {
    out.append("null");
  }
  out.append(R"(,"refusal":)");
  AppendTextOrNull(result.refusal.value_or(""), out);
  if (!result.reasoning.empty()) {
    out.append(R"(,"reasoning_content":)");
    AppendJsonText(result.reasoning, out);
  }
  if (!result.tool_calls.empty()) {
    AppendToolCalls(result, id, out);
  }
  out.append(R"(},"logprobs":null,"finish_reason":)");
  AppendJsonText(result.finish_reason, out);
  out.append(R"(}],"usage":)");
  AppendUsage(result.usage, out);
  out.push_back('}');
  return out;
}

std::string RenderEmbeddings(const EmbeddingsResult& result, const AnswerContext& context) {
  std::string out = R"({"object":"list","data":[)";
  for (size_t i = 0; i < result.embeddings.size(); ++i) {
    absl::StrAppend(&out, i == 0 ? "" : ",", R"({"object":"embedding","index":)", i,
                    R"(,"embedding":)");
    const std::vector<float>& numbers = result.embeddings[i];
    if (context.plan->base64) {
      absl::StrAppend(&out, "\"", Base64Of(numbers), "\"}");
      continue;
    }
    out.push_back('[');
    for (size_t k = 0; k < numbers.size(); ++k) {
      out.append(k == 0 ? "" : ",");
      AppendFloat(numbers[k], out);
    }
    out.append("]}");
  }
  out.append(R"(],"model":)");
  AppendJsonText(result.model.empty() ? context.model : std::string_view(result.model), out);
  const uint64_t prompt = result.usage.prompt.value_or(0);
  absl::StrAppend(&out, R"(,"usage":{"prompt_tokens":)", prompt, R"(,"total_tokens":)",
                  result.usage.total.value_or(prompt), "}}");
  return out;
}

std::string RenderError(const OpenAiError& error) {
  std::string out = R"({"error":{"message":)";
  AppendJsonText(CleanMessage(error.message), out);
  out.append(R"(,"type":)");
  AppendJsonText(error.type.empty() ? ErrorTypeOf(error.status) : std::string_view(error.type),
                 out);
  out.append(R"(,"code":)");
  AppendTextOrNull(error.code, out);
  out.append(R"(,"param":)");
  AppendTextOrNull(error.param, out);
  out.append("}}");
  return out;
}

std::string_view ErrorTypeOf(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_exceeded";
    default:
      return status >= 500 ? "server_error" : "invalid_request_error";
  }
}

std::string CleanMessage(std::string_view message) {
  bool is_cut = false;
  if (message.size() > kMaxMessage) {
    size_t end = kMaxMessage;
    while (end > 0 && (static_cast<unsigned char>(message[end]) & 0xC0) == 0x80) {
      --end;  // not in the middle of a character
    }
    message = message.substr(0, end);
    is_cut = true;
  }
  std::string out;
  while (!message.empty()) {
    const auto* const separator = std::find_if(message.begin(), message.end(), IsSeparator);
    const std::string_view word(message.begin(), separator);
    const bool is_secret = std::any_of(
        kSecretPrefixes.begin(), kSecretPrefixes.end(), [word](std::string_view prefix) {
          // "Key:sk-..." is one word too.
          const size_t place = word.find(prefix);
          const bool begins = place == 0 || (place != std::string_view::npos &&
                                             std::strchr(":/", word[place - 1]) != nullptr);
          return begins && word.size() >= place + prefix.size() + 4;
        });
    if (is_secret) {
      out.append(kRemoved);
    } else {
      AppendWithoutIdentifiers(word, out);
    }
    message.remove_prefix(word.size());
    if (!message.empty()) {
      out.push_back(message.front());
      message.remove_prefix(1);
    }
  }
  out.append(is_cut ? "..." : "");
  return out;
}

std::string_view FinishReasonOf(std::string_view theirs, absl::Span<const FinishReasonRow> rows,
                                std::string& unknown) {
  for (const FinishReasonRow& row : rows) {
    if (row.theirs == theirs) {
      return row.ours;
    }
  }
  unknown = theirs.substr(0, kMaxUnknownReason);
  return "stop";
}

}  // namespace rota::provider
