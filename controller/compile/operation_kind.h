#pragma once

// What an operation does, as far as it matters for translation, for replays and for `GET /models`.
// Pure and thread-safe.

#include <string_view>

#include "rota/sync/v1/config.pb.h"

namespace rota::compile {

// The kind that the resource names ("chat"); PASSTHROUGH for "passthrough" and unknown words.
rota::sync::v1::OperationKind OperationKindOfName(std::string_view name);

// By verb and operation target: ("POST", "/v1/chat/completions") -> CHAT. Anything that is not
// known to be an inference operation is PASSTHROUGH: it is not replayed once it was sent. Google's
// generateContent counts as CONVERSE.
rota::sync::v1::OperationKind OperationKindOf(std::string_view verb, std::string_view target);

}  // namespace rota::compile
