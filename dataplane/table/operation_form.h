#pragma once

// What form an operation's requests have (OpenAI's, or a provider's own), and what follows from it:
// where upstreams have it, and which targets of a rotation can take it. Pure and thread-safe.

#include <optional>
#include <string_view>
#include <vector>

#include "dataplane/provider/registry.h"
#include "dataplane/table/route_table.h"
#include "rota/sync/v1/config.pb.h"

namespace rota::table {

// Absent: not in OpenAI's form, or nothing that could be translated.
std::optional<provider::OpenAiOperation> OpenAiOperationOf(rota::sync::v1::OperationKind kind);

// The path that upstreams in OpenAI's form have for an operation whose target says something else
// (POST /route1 of kind chat: "/chat/completions"); "" when the target says it itself.
std::string_view OwnPathOf(const rota::sync::v1::Operation& operation);

// An operation in a provider's own form (messages, converse) goes to the targets of that provider
// where there are any; completions and embeddings not to those that have none, unless there are no
// others.
rotation::TargetSet ExcludedTargets(const rota::sync::v1::Operation& operation,
                                    const std::vector<Target>& targets);

}  // namespace rota::table
