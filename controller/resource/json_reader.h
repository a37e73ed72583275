#pragma once

// One JSON value as a tree. See tree.h. Pure and thread-safe.

#include <optional>
#include <string_view>

#include "controller/resource/tree.h"

namespace rota::resource {

// Appends the value to `result.trees`, or returns what is wrong and leaves `result` alone.
std::optional<DocumentProblem> ReadJson(std::string_view text, const DocumentLimits& limits,
                                        Trees& result);

}  // namespace rota::resource
