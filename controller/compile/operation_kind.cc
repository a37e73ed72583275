#include "controller/compile/operation_kind.h"

#include <cctype>
#include <utility>

namespace rota::compile {
namespace {

namespace pb = rota::sync::v1;

// "/v1/messages" -> "/messages"; "/v1beta/models" -> "/models".
std::string_view WithoutVersion(std::string_view target) {
  if (target.size() < 3 || !target.starts_with("/v") ||
      std::isdigit(static_cast<unsigned char>(target[2])) == 0) {
    return target;
  }
  const size_t slash = target.find('/', 1);
  return slash == std::string_view::npos ? target : target.substr(slash);
}

}  // namespace

pb::OperationKind OperationKindOfName(std::string_view name) {
  static constexpr std::pair<std::string_view, pb::OperationKind> kNames[] = {
      {"chat", pb::CHAT},     {"completions", pb::COMPLETIONS}, {"embeddings", pb::EMBEDDINGS},
      {"models", pb::MODELS}, {"messages", pb::MESSAGES},       {"converse", pb::CONVERSE},
  };
  for (const auto& [known, kind] : kNames) {
    if (known == name) {
      return kind;
    }
  }
  return pb::PASSTHROUGH;
}

pb::OperationKind OperationKindOf(std::string_view verb, std::string_view target) {
  while (target.size() > 1 && target.ends_with('/')) {
    target.remove_suffix(1);
  }
  const std::string_view plain = WithoutVersion(target);
  if (verb == "GET") {
    return plain == "/models" ? pb::MODELS : pb::PASSTHROUGH;
  }
  if (verb != "POST") {
    return pb::PASSTHROUGH;
  }
  if (target.ends_with("/chat/completions")) {
    return pb::CHAT;
  }
  if (target.ends_with("/completions")) {
    return pb::COMPLETIONS;
  }
  if (target.ends_with("/embeddings")) {
    return pb::EMBEDDINGS;
  }
  // Only this path: "/threads/{id}/messages" stores something, and is no inference.
  if (plain == "/messages") {
    return pb::MESSAGES;
  }
  if (target.ends_with("/converse") || target.ends_with("/converse-stream") ||
      target.ends_with(":generateContent") || target.ends_with(":streamGenerateContent")) {
    return pb::CONVERSE;
  }
  return pb::PASSTHROUGH;
}

}  // namespace rota::compile
