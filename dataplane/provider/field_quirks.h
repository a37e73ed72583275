#pragma once

// Requests to OpenAI-compatible providers that refuse a field which OpenAI has, or have another
// name for it (common/provider_catalog.h). Without a tree: values stay as they came.
//
// Pure and thread-safe.

#include <span>
#include <string>
#include <string_view>

#include "common/provider_catalog.h"

namespace rota::provider {

// `body` with the names that the provider has, and without what it refuses; "" when it is good as
// it came. A field that has its other name in the request, too, is left out. REQUIRES: FindModel
// takes `body`.
std::string ApplyQuirks(std::string_view body, std::span<const FieldQuirk> quirks);

}  // namespace rota::provider
