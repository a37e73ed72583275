#pragma once

// The control path of the mock:
//   GET, POST, DELETE /control/behaviors    read; {"gpt-4o": {...}, "other": null} sets; forget all
//   GET, DELETE       /control/requests     counts and last requests; forget them
// Thread-safe.

#include <vector>

#include "tests/support/mock_llm/answer.h"
#include "tests/support/mock_llm/behavior.h"
#include "tests/support/mock_llm/recorder.h"

namespace rota::mock_llm {

struct ControlState {
  BehaviorBook behaviors;
  std::vector<RecorderShard*> shards;  // set before the loops start
  size_t keep_requests = 100;
};

bool IsControlPath(std::string_view path);
Answer HandleControl(ControlState& state, const RequestView& request);

}  // namespace rota::mock_llm
