#pragma once

// Requests of a dialect in short, for the tests of this folder.

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/provider/dialect.h"

namespace rota::provider::testing_requests {

struct Target {
  std::string model = "the-model";
  std::string base_path;
  ProviderOptions options;
};

struct Translated {
  std::string path;
  Json body;
  std::vector<std::string> dropped;
  AnswerPlan plan;
  FieldProblem problem;  // of a refused request; message "" = it was translated
};

using Method = absl::StatusOr<TranslatedRequest> (*)(const Translator&, const Json&,
                                                     const TargetContext&);

inline Translated Translate(Method method, const Translator& translator, std::string_view request,
                            const Target& target) {
  Translated translated;
  const absl::StatusOr<Json> parsed = ParseJson(request);
  EXPECT_TRUE(parsed.ok()) << request;
  const absl::StatusOr<TranslatedRequest> result =
      method(translator, *parsed, {target.model, target.base_path, &target.options});
  if (!result.ok()) {
    translated.problem = ProblemOf(result.status());
    return translated;
  }
  translated.path = result->path;
  translated.dropped = result->dropped;
  translated.plan = result->plan;
  const absl::StatusOr<Json> body = ParseJson(result->body);
  EXPECT_TRUE(body.ok()) << result->body;
  translated.body = body.ok() ? *body : Json();
  return translated;
}

inline Translated Chat(const Translator& translator, std::string_view request,
                       const Target& target = {}) {
  return Translate(TranslateChat, translator, request, target);
}

// `members` behind a message of the user: {"tools":[...]} without its braces.
inline Translated ChatWith(const Translator& translator, const std::string& members,
                           const Target& target = {}) {
  return Chat(translator, R"({"messages":[{"role":"user","content":"Hi"}],)" + members + "}",
              target);
}

inline Translated Embed(const Translator& translator, std::string_view request,
                        const Target& target = {}) {
  return Translate(TranslateEmbeddings, translator, request, target);
}

// JSON in its shortest form, for comparisons that can be read.
inline std::string Compact(std::string_view json) {
  const absl::StatusOr<Json> parsed = ParseJson(json);
  EXPECT_TRUE(parsed.ok()) << json;
  return parsed.ok() ? DumpJson(*parsed) : std::string(json);
}

// The member of `object` in its shortest form; "" when it is not there.
inline std::string Member(const Json& object, std::string_view name) {
  const Json* member = Find(object, name);
  return member == nullptr ? "" : DumpJson(*member);
}

}  // namespace rota::provider::testing_requests
