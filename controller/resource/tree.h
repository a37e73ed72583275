#pragma once

// YAML or JSON text -> plain JSON values with the line of every value. yaml-cpp is used and its
// exceptions are caught here only. Duplicate keys, cycles, unknown tags and text that is not UTF-8
// are errors; anchors and merge keys (<<) work within the limits. Pure and thread-safe.

#include <string_view>
#include <vector>

#include "controller/resource/document.h"
#include "nlohmann/json.hpp"

namespace rota::resource {

// One document of a file.
struct Tree {
  nlohmann::json root;
  LineMap lines;
  int line = 0;
};

struct Trees {
  std::vector<Tree> trees;                // empty documents left out
  std::vector<DocumentProblem> problems;  // reading stops at the first
};

Trees ParseTrees(std::string_view text, const DocumentLimits& limits);

}  // namespace rota::resource
