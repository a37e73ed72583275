#include "dataplane/provider/field_rules.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/types/optional.h"

namespace rota::provider {
namespace {

constexpr size_t kMaxFieldName = 64;
// Payloads of a status: which field it is about, and OpenAI's word for what is wrong.
constexpr char kFieldPayload[] = "rota/field";
constexpr char kCodePayload[] = "rota/code";
constexpr std::string_view kInvalid = "invalid_value";
constexpr std::string_view kUnsupported = "unsupported_parameter";

// What the API assumes when a field is not there, as JSON.
struct DefaultValue {
  std::string_view field;
  std::string_view json;
};
constexpr std::array<DefaultValue, 18> kDefaults = {{
    {"n", "1"},
    {"logprobs", "false"},
    {"top_logprobs", "0"},
    {"store", "false"},
    {"parallel_tool_calls", "true"},
    {"presence_penalty", "0"},
    {"frequency_penalty", "0"},
    {"logit_bias", "{}"},
    {"tools", "[]"},
    {"functions", "[]"},
    {"stop", "[]"},
    {"metadata", "{}"},
    {"modalities", R"(["text"])"},
    {"response_format", R"({"type":"text"})"},
    {"service_tier", R"("auto")"},
    {"verbosity", R"("medium")"},
    {"encoding_format", R"("float")"},
    {"stream", "false"},
}};

constexpr FieldRule kCommonChatFields[] = {
    {"n", FieldUse::kRefused, "gives one choice only"},
    {"modalities", FieldUse::kRefused, "answers with text only"},
    {"audio", FieldUse::kRefused, "answers with text only"},
    {"functions", FieldUse::kRefused, "has no functions of the old kind; use tools"},
    {"function_call", FieldUse::kRefused, "has no functions of the old kind; use tool_choice"},
    {"logit_bias", FieldUse::kRefused, "has no bias of tokens"},
    {"prediction", FieldUse::kDropped, ""},
    {"metadata", FieldUse::kDropped, ""},
    {"store", FieldUse::kDropped, ""},
    {"service_tier", FieldUse::kDropped, ""},
    {"verbosity", FieldUse::kDropped, ""},
    {"prompt_cache_key", FieldUse::kDropped, ""},
    {"safety_identifier", FieldUse::kDropped, ""},
};

const FieldRule* FindRule(absl::Span<const FieldRule> rules, std::string_view field) {
  const auto* const rule = std::find_if(
      rules.begin(), rules.end(), [field](const FieldRule& row) { return row.field == field; });
  return rule == rules.end() ? nullptr : rule;
}

bool IsPlainName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFieldName &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' ||
                  c == '.';
         });
}

absl::Status FieldError(std::string_view field, std::string_view code, const std::string& message) {
  absl::Status status = absl::InvalidArgumentError(message);
  status.SetPayload(kFieldPayload, absl::Cord(std::string(field)));
  status.SetPayload(kCodePayload, absl::Cord(std::string(code)));
  return status;
}

}  // namespace

bool IsDefaultValue(std::string_view field, const Json& value) {
  if (value.is_null()) {
    return true;
  }
  const auto* const row =
      std::find_if(kDefaults.begin(), kDefaults.end(),
                   [field](const DefaultValue& known) { return known.field == field; });
  if (row == kDefaults.end()) {
    return false;
  }
  if (value.is_number()) {
    return value.get<double>() == (row->json == "1" ? 1.0 : 0.0) && row->json.size() == 1;
  }
  return value.size() <= 1 && DumpJson(value) == row->json;
}

absl::Span<const FieldRule> CommonChatFields() { return kCommonChatFields; }

absl::StatusOr<std::vector<std::string>> ReviewFields(const Json& request,
                                                      absl::Span<const FieldRule> rules,
                                                      absl::Span<const FieldRule> common) {
  std::vector<std::string> dropped;
  for (const auto& [name, value] : request.get_ref<const Json::object_t&>()) {
    if (name == "model" || name == "stream" || name == "stream_options") {
      continue;
    }
    const std::string_view field = name;
    const FieldRule* rule = FindRule(rules, field);
    rule = rule == nullptr ? FindRule(common, field) : rule;
    const FieldUse use = rule == nullptr ? FieldUse::kDropped : rule->use;
    if (use == FieldUse::kTranslated || IsDefaultValue(field, value)) {
      continue;
    }
    if (use == FieldUse::kRefused) {
      return UnsupportedField(field, rule->note);
    }
    if (dropped.size() < kMaxDropped && IsPlainName(field) &&
        std::find(dropped.begin(), dropped.end(), field) == dropped.end()) {
      dropped.emplace_back(field);
    }
  }
  return dropped;
}

absl::Status InvalidField(std::string_view field, std::string_view reason) {
  return FieldError(field, kInvalid,
                    absl::StrCat("'", std::string(field), "' ", std::string(reason)));
}

absl::Status UnsupportedField(std::string_view field, std::string_view reason) {
  return FieldError(
      field, kUnsupported,
      absl::StrCat("'", std::string(field), "' cannot be used here: the provider of this model ",
                   std::string(reason)));
}

FieldProblem ProblemOf(const absl::Status& status) {
  FieldProblem problem;
  problem.message = std::string(status.message());
  if (const absl::optional<absl::Cord> field = status.GetPayload(kFieldPayload);
      field.has_value()) {
    problem.field = std::string(*field);
  }
  const absl::optional<absl::Cord> code = status.GetPayload(kCodePayload);
  problem.code = code.has_value() && std::string(*code) == kUnsupported ? kUnsupported : kInvalid;
  return problem;
}

}  // namespace rota::provider
