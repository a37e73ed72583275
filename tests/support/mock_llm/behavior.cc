#include "tests/support/mock_llm/behavior.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/duration.h"
#include "common/status_macros.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kItems =
    "a status (200..599), hang, close, reset, delay=, chunk-interval=, chunks=, answer-bytes=, "
    "cut-after-bytes=, cut-after-chunks=, stall-after-chunks=, malformed-chunk=, first=, code=, "
    "body=, "
    "content-type=, or a header: retry-after=, retry-after-ms=, x-...=, anthropic-...=";

absl::Status Bad(std::string_view item, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("behaviour item '{}': {}", item, what));
}

absl::Status SetStatus(Behavior& behavior, int64_t status) {
  if (status < 200 || status > 599) {
    return absl::InvalidArgumentError(absl::StrCat("status ", status, " is not in 200..599"));
  }
  behavior.status = static_cast<int>(status);
  return absl::OkStatus();
}

bool IsHeaderName(std::string_view name) {
  return name == "retry-after" || name == "retry-after-ms" || name.starts_with("x-") ||
         name.starts_with("anthropic-");
}

absl::Status AddHeader(Behavior& behavior, std::string_view name, std::string_view value) {
  if (name.empty() || name.find_first_of("\r\n: \t") != std::string_view::npos ||
      value.find_first_of("\r\n") != std::string_view::npos) {
    return Bad(name, "not a header name and value");
  }
  behavior.headers.emplace_back(std::string(name), std::string(value));
  return absl::OkStatus();
}

std::optional<uint64_t>* NumberField(Behavior& b, std::string_view name) {
  if (name == "chunks") return &b.chunks;
  if (name == "answer_bytes") return &b.answer_bytes;
  if (name == "cut_after_bytes") return &b.cut_after_bytes;
  if (name == "cut_after_chunks") return &b.cut_after_chunks;
  if (name == "stall_after_chunks") return &b.stall_after_chunks;
  if (name == "malformed_chunk") return &b.malformed_chunk;
  if (name == "first") return &b.first;
  return nullptr;
}

bool* FlagField(Behavior& b, std::string_view name) {
  if (name == "hang") return &b.hang;
  if (name == "close") return &b.close;
  if (name == "reset") return &b.reset;
  return nullptr;
}

std::string* TextField(Behavior& b, std::string_view name) {
  if (name == "code") return &b.code;
  if (name == "content_type") return &b.content_type;
  return nullptr;
}

absl::Status SetDuration(Behavior& behavior, std::string_view name, std::string_view text) {
  ASSIGN_OR_RETURN(const Duration duration, ParseDuration(text));
  if (name == "delay") {
    behavior.delay = duration;
  } else {
    behavior.chunk_interval = duration;
  }
  return absl::OkStatus();
}

bool IsDuration(std::string_view name) { return name == "delay" || name == "chunk_interval"; }

// One "name=value" of the flag form; '-' and '_' are the same in names.
absl::Status ApplyItem(Behavior& behavior, std::string_view item) {
  const size_t equals = item.find('=');
  const std::string lower = absl::AsciiStrToLower(std::string(item.substr(0, equals)));
  std::string name = lower;
  for (char& c : name) {
    c = c == '-' ? '_' : c;
  }
  if (equals == std::string_view::npos) {
    int64_t status = 0;
    if (absl::SimpleAtoi(name, &status)) {
      return SetStatus(behavior, status);
    }
    if (bool* flag = FlagField(behavior, name)) {
      *flag = true;
      return absl::OkStatus();
    }
    return Bad(item, kItems);
  }
  const std::string value(item.substr(equals + 1));
  if (std::optional<uint64_t>* number = NumberField(behavior, name)) {
    uint64_t parsed = 0;
    if (!absl::SimpleAtoi(value, &parsed)) {
      return Bad(item, "the value must be a whole number");
    }
    *number = parsed;
    return absl::OkStatus();
  }
  if (IsDuration(name)) {
    return SetDuration(behavior, name, value);
  }
  if (std::string* text = TextField(behavior, name)) {
    *text = value;
    return absl::OkStatus();
  }
  if (name == "body") {
    behavior.body = value;
    return absl::OkStatus();
  }
  if (IsHeaderName(lower)) {
    return AddHeader(behavior, lower, value);
  }
  return Bad(item, kItems);
}

absl::Status SetHeaders(Behavior& behavior, const Json& value) {
  if (!value.is_object()) {
    return Bad("headers", "must be an object of strings");
  }
  for (const auto& [name, text] : value.items()) {
    RETURN_IF_ERROR(
        AddHeader(behavior, name, text.is_string() ? text.get<std::string>() : text.dump()));
  }
  return absl::OkStatus();
}

// One member of the JSON form.
absl::Status ApplyMember(Behavior& behavior, const std::string& name, const Json& value) {
  if (name == "status") {
    if (!value.is_number_integer()) {
      return Bad(name, "must be a whole number");
    }
    return SetStatus(behavior, value.get<int64_t>());
  }
  if (name == "headers") {
    return SetHeaders(behavior, value);
  }
  if (name == "body") {
    behavior.body = value.is_string() ? value.get<std::string>() : value.dump();
    return absl::OkStatus();
  }
  if (bool* flag = FlagField(behavior, name)) {
    if (!value.is_boolean()) {
      return Bad(name, "must be true or false");
    }
    *flag = value.get<bool>();
    return absl::OkStatus();
  }
  if (std::optional<uint64_t>* number = NumberField(behavior, name)) {
    if (!value.is_number_unsigned()) {
      return Bad(name, "must be a whole number");
    }
    *number = value.get<uint64_t>();
    return absl::OkStatus();
  }
  if (IsDuration(name)) {
    return SetDuration(behavior, name, value.is_string() ? value.get<std::string>() : value.dump());
  }
  if (std::string* text = TextField(behavior, name); text != nullptr && value.is_string()) {
    *text = value.get<std::string>();
    return absl::OkStatus();
  }
  return Bad(name,
             "unknown or not of its type; known: status, headers, body, content_type, code, hang, "
             "close, reset, "
             "delay, chunk_interval, chunks, answer_bytes, cut_after_bytes, cut_after_chunks, "
             "stall_after_chunks, malformed_chunk, first");
}

}  // namespace

absl::StatusOr<Behavior> ParseBehavior(std::string_view text) {
  Behavior behavior;
  while (true) {
    const size_t colon = text.find(':');
    RETURN_IF_ERROR(ApplyItem(behavior, text.substr(0, colon)));
    if (colon == std::string_view::npos) {
      return behavior;
    }
    text.remove_prefix(colon + 1);
  }
}

absl::StatusOr<Behavior> BehaviorFromJson(const Json& value) {
  if (!value.is_object()) {
    return absl::InvalidArgumentError("a behaviour must be an object such as {\"status\": 429}");
  }
  Behavior behavior;
  for (const auto& [name, member] : value.items()) {
    RETURN_IF_ERROR(ApplyMember(behavior, name, member));
  }
  return behavior;
}

Json BehaviorToJson(const Behavior& behavior) {
  Behavior copy = behavior;
  Json json = {{"status", behavior.status}};
  for (const auto& [name, value] : behavior.headers) {
    json["headers"][name] = value;
  }
  if (behavior.body) {
    json["body"] = *behavior.body;
  }
  for (const char* name : {"hang", "close", "reset"}) {
    if (*FlagField(copy, name)) {
      json[name] = true;
    }
  }
  for (const char* name : {"code", "content_type"}) {
    if (!TextField(copy, name)->empty()) {
      json[name] = *TextField(copy, name);
    }
  }
  for (const char* name : {"chunks", "answer_bytes", "cut_after_bytes", "cut_after_chunks",
                           "stall_after_chunks", "malformed_chunk", "first"}) {
    if (const std::optional<uint64_t>& number = *NumberField(copy, name)) {
      json[name] = *number;
    }
  }
  if (behavior.delay > Duration::zero()) {
    json["delay"] = FormatDuration(behavior.delay);
  }
  if (behavior.chunk_interval) {
    json["chunk_interval"] = FormatDuration(*behavior.chunk_interval);
  }
  return json;
}

absl::Status BehaviorBook::Set(
    const std::vector<std::pair<std::string, std::optional<Behavior>>>& changes) {
  std::lock_guard guard(mutex_);
  auto rules = std::make_shared<Rules>(*rules_.Get());
  for (const auto& [model, behavior] : changes) {
    if (behavior) {
      (*rules)[model] = std::make_shared<Rule>(*behavior);
    } else {
      rules->erase(model);
    }
  }
  if (rules->size() > kMaxRules) {
    return absl::ResourceExhaustedError(
        absl::StrCat("more than ", kMaxRules, " behaviours; remove some"));
  }
  rules_.Publish(std::move(rules));
  return absl::OkStatus();
}

void BehaviorBook::Clear() {
  std::lock_guard guard(mutex_);
  rules_.Publish(std::make_shared<const Rules>());
}

const Behavior* BehaviorBook::Take(const Rules& rules, std::string_view model) {
  if (rules.empty()) {
    return nullptr;
  }
  auto found = rules.find(model);
  if (found == rules.end()) {
    found = rules.find(std::string_view("*"));
  }
  if (found == rules.end()) {
    return nullptr;
  }
  Rule& rule = *found->second;
  if (!rule.behavior.first) {
    return &rule.behavior;
  }
  uint64_t left = rule.remaining.load();
  while (left > 0) {
    if (rule.remaining.compare_exchange_weak(left, left - 1)) {
      return &rule.behavior;
    }
  }
  return nullptr;
}

}  // namespace rota::mock_llm
