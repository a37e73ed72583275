#pragma once

// What a stream in OpenAI's form has cost is said only when the request asks for it
// (stream_options.include_usage): the gateway asks for its own metrics where the client has not,
// and takes the chunk that only says it out of the answer again. Both without a tree of what
// passes.
//
// Pure and thread-safe.

#include <optional>
#include <string>
#include <string_view>

#include "dataplane/provider/model_span.h"

namespace rota::provider {

// The change of a streaming request that makes it ask; absent: it asks itself, is no stream, or its
// stream_options are none. REQUIRES: span = FindModel(body) without an error.
std::optional<BodyEdit> AskForUsage(std::string_view body, const ModelSpan& span);

// `events`, which are whole, without those whose data has an empty list of choices and an object
// `usage`. A view of `events`, or of `buffer`.
std::string_view WithoutUsageChunks(std::string_view events, std::string& buffer);

}  // namespace rota::provider
