#include "dataplane/provider/chat_request.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "dataplane/provider/field_rules.h"

namespace rota::provider {
namespace {

std::string Member(std::string_view field, std::string_view name) {
  return absl::StrCat(std::string(field), ".", std::string(name));
}

std::string Item(std::string_view field, size_t index) {
  return absl::StrCat(std::string(field), "[", index, "]");
}

// Reads messages into turns.
class MessageReader {
 public:
  explicit MessageReader(ChatRequest& out) : out_(out) {}

  absl::Status Read(const Json& request) {
    const Json* messages = Find(request, "messages");
    if (messages == nullptr || !messages->is_array() || messages->empty()) {
      return InvalidField("messages", "must be a list of at least one message");
    }
    for (size_t i = 0; i < messages->size(); ++i) {
      RETURN_IF_ERROR(ReadMessage((*messages)[i], Item("messages", i)));
    }
    DropEmptyTurn();
    if (!out_.turns.empty()) {
      return absl::OkStatus();
    }
    if (system_.empty()) {
      return InvalidField("messages", "must say something");
    }
    out_.turns.push_back({/*is_user=*/true, std::move(system_)});
    out_.system.clear();
    return absl::OkStatus();
  }

 private:
  absl::Status ReadMessage(const Json& message, const std::string& field) {
    if (!message.is_object()) {
      return InvalidField(field, "must be an object");
    }
    const std::string_view role = FindText(message, "role");
    const std::string content_field = Member(field, "content");
    const Json* content = Find(message, "content");
    if (role == "system" || role == "developer") {
      return ReadSystem(content, content_field);
    }
    if (role == "user") {
      return ReadContent(content, content_field, Part::Kind::kFile, PartsOf(/*is_user=*/true));
    }
    if (role == "assistant") {
      std::vector<Part>& parts = PartsOf(/*is_user=*/false);
      RETURN_IF_ERROR(ReadContent(content, content_field, Part::Kind::kText, parts));
      return ReadToolCalls(message, Member(field, "tool_calls"), parts);
    }
    if (role == "tool") {
      return ReadToolResult(message, content, field);
    }
    if (role == "function") {
      return UnsupportedField(Member(field, "role"),
                              "has no functions of the old kind; use role 'tool'");
    }
    return InvalidField(Member(field, "role"),
                        "must be system, developer, user, assistant or tool");
  }

  // What an empty message has left.
  void DropEmptyTurn() {
    if (!out_.turns.empty() && out_.turns.back().parts.empty()) {
      out_.turns.pop_back();
    }
  }

  // Of the last turn, or of a new one when that is the other side's.
  std::vector<Part>& PartsOf(bool is_user) {
    DropEmptyTurn();
    if (out_.turns.empty() || out_.turns.back().is_user != is_user) {
      out_.turns.push_back({is_user, {}});
    }
    return out_.turns.back().parts;
  }

  absl::Status ReadSystem(const Json* content, const std::string& field) {
    std::vector<Part> parts;
    RETURN_IF_ERROR(ReadContent(content, field, Part::Kind::kText, parts));
    const std::string text = TextOf(parts);
    if (!text.empty()) {
      out_.system.append(out_.system.empty() ? "" : "\n\n").append(text);
      system_.insert(system_.end(), parts.begin(), parts.end());
    }
    return absl::OkStatus();
  }

  // `most`: what may stand there: kText alone, kImage too, kFile too.
  absl::Status ReadContent(const Json* content, const std::string& field, Part::Kind most,
                           std::vector<Part>& parts) {
    if (content == nullptr) {
      return absl::OkStatus();
    }
    if (content->is_string()) {
      AddText(content->get_ref<const std::string&>(), field, parts);
      return absl::OkStatus();
    }
    if (!content->is_array()) {
      return InvalidField(field, "must be a string or a list of parts");
    }
    for (size_t i = 0; i < content->size(); ++i) {
      RETURN_IF_ERROR(ReadPart((*content)[i], Item(field, i), most, parts));
    }
    return absl::OkStatus();
  }

  static void AddText(std::string_view text, const std::string& field, std::vector<Part>& parts) {
    if (!text.empty()) {
      Part& part = parts.emplace_back();
      part.text = text;
      part.field = field;
    }
  }

  absl::Status ReadPart(const Json& part, const std::string& field, Part::Kind most,
                        std::vector<Part>& parts) {
    const std::string_view type = FindText(part, "type");
    if (type == "text" || type == "refusal") {
      AddText(FindText(part, type), field, parts);
      return absl::OkStatus();
    }
    if (type == "image_url" && most != Part::Kind::kText) {
      return ReadImage(part, field, parts);
    }
    if (type == "file" && most == Part::Kind::kFile) {
      return ReadFile(part, field, parts);
    }
    return UnsupportedField(Member(field, "type"), "takes no such part here");
  }

  absl::Status ReadImage(const Json& part, const std::string& field, std::vector<Part>& parts) {
    const Json* image = Find(part, "image_url");
    std::string_view url;
    if (image != nullptr && image->is_string()) {
      url = image->get_ref<const std::string&>();
    } else if (image != nullptr) {
      url = FindText(*image, "url");
    }
    Part read;
    read.kind = Part::Kind::kImage;
    read.field = Member(field, "image_url.url");
    if (ReadDataUrl(url, read.media_type, read.base64)) {
      parts.push_back(std::move(read));
      return absl::OkStatus();
    }
    if (!url.starts_with("https://") && !url.starts_with("http://")) {
      return InvalidField(read.field, "must be an http(s) URL or data:<type>;base64,<data>");
    }
    read.url = url;
    parts.push_back(std::move(read));
    return absl::OkStatus();
  }

  absl::Status ReadFile(const Json& part, const std::string& field, std::vector<Part>& parts) {
    const Json* file = Find(part, "file");
    Part read;
    read.kind = Part::Kind::kFile;
    read.field = Member(field, "file.file_data");
    if (file == nullptr ||
        !ReadDataUrl(FindText(*file, "file_data"), read.media_type, read.base64)) {
      return UnsupportedField(read.field,
                              "knows no uploaded files; send data:<type>;base64,<data>");
    }
    read.name = FindText(*file, "filename");
    parts.push_back(std::move(read));
    return absl::OkStatus();
  }

  absl::Status ReadToolCalls(const Json& message, const std::string& field,
                             std::vector<Part>& parts) {
    const Json* calls = Find(message, "tool_calls");
    if (calls == nullptr) {
      return absl::OkStatus();
    }
    if (!calls->is_array()) {
      return InvalidField(field, "must be a list");
    }
    for (size_t i = 0; i < calls->size(); ++i) {
      const Json& call = (*calls)[i];
      const Json* function = Find(call, "function");
      const std::string place = Item(field, i);
      if (function == nullptr) {
        return UnsupportedField(place, "takes calls of functions only");
      }
      Part part;
      part.kind = Part::Kind::kToolCall;
      part.id = FindText(call, "id");
      part.name = FindText(*function, "name");
      part.field = place;
      if (part.id.empty() || part.name.empty()) {
        return InvalidField(place, "must have an id and a function with a name");
      }
      RETURN_IF_ERROR(ReadArguments(FindText(*function, "arguments"), place, part.arguments));
      names_[part.id] = part.name;
      parts.push_back(std::move(part));
    }
    return absl::OkStatus();
  }

  static absl::Status ReadArguments(std::string_view text, const std::string& field, Json& out) {
    if (text.find_first_not_of(" \t\r\n") == std::string_view::npos) {
      out = Json::object();
      return absl::OkStatus();
    }
    absl::StatusOr<Json> parsed = ParseJson(text);
    if (!parsed.ok() || !parsed->is_object()) {
      return InvalidField(Member(field, "function.arguments"), "must be the text of a JSON object");
    }
    out = *std::move(parsed);
    return absl::OkStatus();
  }

  absl::Status ReadToolResult(const Json& message, const Json* content, const std::string& field) {
    Part part;
    part.kind = Part::Kind::kToolResult;
    part.id = FindText(message, "tool_call_id");
    part.field = field;
    if (part.id.empty()) {
      return InvalidField(Member(field, "tool_call_id"), "must name the call that it answers");
    }
    const auto name = names_.find(part.id);
    part.name = name == names_.end() ? FindText(message, "name") : name->second;
    RETURN_IF_ERROR(
        ReadContent(content, Member(field, "content"), Part::Kind::kImage, part.content));
    PartsOf(/*is_user=*/true).push_back(std::move(part));
    return absl::OkStatus();
  }

  ChatRequest& out_;
  std::map<std::string_view, std::string_view> names_;  // of calls by their ids
  std::vector<Part> system_;
};

absl::Status ReadTools(const Json& request, ChatRequest& out) {
  const Json* tools = Find(request, "tools");
  if (tools == nullptr) {
    return absl::OkStatus();
  }
  if (!tools->is_array()) {
    return InvalidField("tools", "must be a list");
  }
  for (size_t i = 0; i < tools->size(); ++i) {
    const Json& tool = (*tools)[i];
    const std::string field = Item("tools", i);
    const Json* function = Find(tool, "function");
    if (FindText(tool, "type") != "function" || function == nullptr) {
      return UnsupportedField(Member(field, "type"), "has tools of type 'function' only");
    }
    Tool read;
    read.name = FindText(*function, "name");
    read.description = FindText(*function, "description");
    read.parameters = Find(*function, "parameters");
    read.strict = FindFlag(*function, "strict");
    if (read.name.empty()) {
      return InvalidField(Member(field, "function.name"), "must be there");
    }
    if (read.parameters != nullptr && !read.parameters->is_object()) {
      return InvalidField(Member(field, "function.parameters"), "must be a JSON schema");
    }
    out.tools.push_back(read);
  }
  return absl::OkStatus();
}

absl::Status ReadToolChoice(const Json& request, ChatRequest& out) {
  const Json* choice = Find(request, "tool_choice");
  if (choice == nullptr || out.tools.empty()) {
    return absl::OkStatus();
  }
  if (choice->is_string()) {
    const std::string_view word = choice->get_ref<const std::string&>();
    if (word == "auto") {
      return absl::OkStatus();
    }
    if (word != "none" && word != "required") {
      return InvalidField("tool_choice", "must be auto, none, required or name a function");
    }
    out.tool_choice.kind = word == "none" ? ToolChoice::Kind::kNone : ToolChoice::Kind::kRequired;
    return absl::OkStatus();
  }
  const Json* function = Find(*choice, "function");
  if (FindText(*choice, "type") != "function" || function == nullptr) {
    return UnsupportedField("tool_choice.type", "takes auto, none, required or one function");
  }
  const std::string_view name = FindText(*function, "name");
  const bool is_known = std::any_of(out.tools.begin(), out.tools.end(),
                                    [name](const Tool& tool) { return tool.name == name; });
  if (!is_known) {
    return InvalidField("tool_choice.function.name", "must be one of the tools");
  }
  out.tool_choice = {ToolChoice::Kind::kOne, name};
  return absl::OkStatus();
}

absl::Status ReadOutputFormat(const Json& request, OutputFormat& out) {
  const Json* format = Find(request, "response_format");
  if (format == nullptr) {
    return absl::OkStatus();
  }
  const std::string_view type = FindText(*format, "type");
  if (type == "text") {
    return absl::OkStatus();
  }
  if (type == "json_object") {
    out.kind = OutputFormat::Kind::kJsonObject;
    return absl::OkStatus();
  }
  if (type != "json_schema") {
    return InvalidField("response_format.type", "must be text, json_object or json_schema");
  }
  const Json* description = Find(*format, "json_schema");
  out.kind = OutputFormat::Kind::kJsonSchema;
  out.schema = description == nullptr ? nullptr : Find(*description, "schema");
  if (out.schema == nullptr || !out.schema->is_object()) {
    return InvalidField("response_format.json_schema.schema", "must be a JSON schema");
  }
  out.name = FindText(*description, "name");
  return absl::OkStatus();
}

absl::Status ReadStop(const Json& request, std::vector<std::string_view>& out) {
  const Json* stop = Find(request, "stop");
  if (stop == nullptr) {
    return absl::OkStatus();
  }
  if (stop->is_string()) {
    out.emplace_back(stop->get_ref<const std::string&>());
    return absl::OkStatus();
  }
  if (!stop->is_array()) {
    return InvalidField("stop", "must be a string or a list of strings");
  }
  for (const Json& word : *stop) {
    if (!word.is_string()) {
      return InvalidField("stop", "must be a string or a list of strings");
    }
    out.emplace_back(word.get_ref<const std::string&>());
  }
  return absl::OkStatus();
}

absl::Status ReadNumber(const Json& request, std::string_view name, std::optional<double>& out) {
  const Json* value = Find(request, name);
  if (value == nullptr) {
    return absl::OkStatus();
  }
  if (!value->is_number()) {
    return InvalidField(name, "must be a number");
  }
  out = value->get<double>();
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(const Json& request, std::optional<uint64_t>& out) {
  for (const std::string_view name : {"max_completion_tokens", "max_tokens"}) {
    if (Find(request, name) == nullptr) {
      continue;
    }
    out = FindCount(request, name);
    if (!out.has_value() || *out == 0) {
      return InvalidField(name, "must be a whole number of 1 or more");
    }
    return absl::OkStatus();
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<ChatRequest> ReadChatRequest(const Json& request) {
  ChatRequest out;
  MessageReader reader(out);
  RETURN_IF_ERROR(reader.Read(request));
  RETURN_IF_ERROR(ReadTools(request, out));
  RETURN_IF_ERROR(ReadToolChoice(request, out));
  RETURN_IF_ERROR(ReadOutputFormat(request, out.output));
  RETURN_IF_ERROR(ReadStop(request, out.stop));
  RETURN_IF_ERROR(ReadMaxTokens(request, out.max_tokens));
  RETURN_IF_ERROR(ReadNumber(request, "temperature", out.temperature));
  RETURN_IF_ERROR(ReadNumber(request, "top_p", out.top_p));
  const Json* parallel = Find(request, "parallel_tool_calls");
  out.parallel_tool_calls = parallel == nullptr || FindFlag(request, "parallel_tool_calls");
  out.user = FindText(request, "user");
  out.reasoning_effort = FindText(request, "reasoning_effort");
  return out;
}

bool ReadDataUrl(std::string_view url, std::string_view& media_type, std::string_view& base64) {
  static constexpr std::string_view kScheme = "data:";
  static constexpr std::string_view kCoding = ";base64";
  const size_t comma = url.find(',');
  if (!url.starts_with(kScheme) || comma == std::string_view::npos) {
    return false;
  }
  std::string_view description = url.substr(kScheme.size(), comma - kScheme.size());
  if (!description.ends_with(kCoding)) {
    return false;
  }
  description.remove_suffix(kCoding.size());
  media_type = description.substr(0, description.find(';'));
  base64 = url.substr(comma + 1);
  return !media_type.empty() && !base64.empty();
}

std::string TextOf(const std::vector<Part>& parts) {
  std::string text;
  for (const Part& part : parts) {
    if (part.kind == Part::Kind::kText) {
      text.append(part.text);
    }
  }
  return text;
}

}  // namespace rota::provider
