#include "dataplane/provider/translator_parts.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "fmt/format.h"

namespace rota::provider {
namespace {

constexpr std::string_view kJsonOnly =
    "Answer with one JSON object and nothing else: no text around it, no code fence.";

// How providers say that a prompt does not fit.
constexpr std::string_view kTooLong[] = {"too long", "maximum context", "context length",
                                         "context window", "maximum number of tokens"};

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return absl::EqualsIgnoreCase(absl::string_view(a.data(), a.size()),
                                absl::string_view(b.data(), b.size()));
}

bool SaysTooLong(std::string_view message) {
  std::string text(message);
  absl::AsciiStrToLower(&text);
  return std::any_of(std::begin(kTooLong), std::end(kTooLong), [&text](std::string_view words) {
    return text.find(words) != std::string::npos;
  });
}

}  // namespace

Json ObjectOf(std::string_view name, Json value) {
  Json object = Json::object();
  object.get_ref<Json::object_t&>().emplace_back(name, std::move(value));
  return object;
}

Json ObjectOf(std::string_view name, Json value, std::string_view other_name, Json other_value) {
  Json object = Json::object();
  auto& members = object.get_ref<Json::object_t&>();
  members.reserve(2);
  members.emplace_back(name, std::move(value));
  members.emplace_back(other_name, std::move(other_value));
  return object;
}

Json TextValue(std::string_view text) { return Json(std::string(text)); }

bool HasPart(const ChatRequest& request, Part::Kind kind) {
  return std::any_of(request.turns.begin(), request.turns.end(), [kind](const Turn& turn) {
    return std::any_of(turn.parts.begin(), turn.parts.end(),
                       [kind](const Part& part) { return part.kind == kind; });
  });
}

bool AnswersCalls(const ChatRequest& request) {
  const std::vector<Part>& last = request.turns.back().parts;
  return std::any_of(last.begin(), last.end(),
                     [](const Part& part) { return part.kind == Part::Kind::kToolResult; });
}

std::string PlainCallId(std::string_view id) {
  std::string plain(id);
  std::replace_if(
      plain.begin(), plain.end(),
      [](char c) {
        return !absl::ascii_isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '-';
      },
      '_');
  return plain;
}

Json ObjectSchema(const Json* schema) {
  Json object = schema == nullptr ? Json::object() : Json(*schema);
  if (Find(object, "type") == nullptr) {
    object["type"] = "object";
  }
  return object;
}

std::string SystemWithJsonOnly(const ChatRequest& request) {
  std::string system = request.system;
  if (request.output.kind == OutputFormat::Kind::kJsonObject) {
    system.append(system.empty() ? "" : "\n\n").append(kJsonOnly);
  }
  return system;
}

std::string OutputToolOf(const ChatRequest& request) {
  if (request.output.kind != OutputFormat::Kind::kJsonSchema) {
    return "";
  }
  std::string name = "json_output";
  const auto is_it = [&name](const Tool& tool) { return tool.name == name; };
  while (std::any_of(request.tools.begin(), request.tools.end(), is_it)) {
    name.push_back('_');
  }
  return name;
}

Json& BlocksOfTurn(Json& turns, std::string_view role, std::string_view member) {
  const std::string name(member);
  if (turns.empty() || FindText(turns.back(), "role") != role) {
    Json turn = ObjectOf("role", TextValue(role));
    turn[name] = Json::array();
    turns.push_back(std::move(turn));
  }
  return turns.back()[name];
}

absl::Status CopyNumber(const Json& request, std::string_view from, std::string_view to,
                        Json& object) {
  if (const Json* value = Find(request, from); value != nullptr) {
    if (!value->is_number()) {
      return InvalidField(from, "must be a number");
    }
    object[std::string(to)] = *value;
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string_view>> ReadEmbeddingInput(const Json& request) {
  const Json* input = Find(request, "input");
  std::vector<std::string_view> texts;
  if (input != nullptr && input->is_string()) {
    texts.push_back(input->get_ref<const std::string&>());
    return texts;
  }
  if (input == nullptr || !input->is_array() || input->empty()) {
    return InvalidField("input", "must be a string or a list of strings");
  }
  for (const Json& text : *input) {
    if (!text.is_string()) {
      return UnsupportedField("input", "takes strings only, no lists of tokens");
    }
    texts.push_back(text.get_ref<const std::string&>());
  }
  return texts;
}

bool ReadVector(const Json& list, std::vector<float>& vector) {
  if (!list.is_array()) {
    return false;
  }
  vector.reserve(list.size());
  for (const Json& number : list) {
    if (!number.is_number()) {
      return false;
    }
    vector.push_back(number.get<float>());
  }
  return true;
}

OpenAiError ErrorOf(int status, std::string_view word, std::string_view message,
                    absl::Span<const ErrorRow> rows) {
  OpenAiError error;
  error.status = status;
  error.message = message.empty() ? fmt::format("the provider answered with status {}", status)
                                  : std::string(message);
  for (const ErrorRow& row : rows) {
    if (EqualsIgnoreCase(row.theirs, word)) {
      error.status = row.status == 0 ? status : row.status;
      error.code = row.code;
      break;
    }
  }
  if (error.status == 400 && SaysTooLong(message)) {
    error.code = "context_length_exceeded";
  }
  return error;
}

}  // namespace rota::provider
