#pragma once

// One try of a request: where it goes, how it ended, and what is kept of it. Values without
// behaviour.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "dataplane/engine/body_decoder.h"
#include "dataplane/engine/upstream_connection.h"
#include "dataplane/table/route_table.h"

namespace rota::engine {

// How one try ended.
enum class TryResult : uint8_t {
  kAnswer,  // upstream_ and response_ hold the head of an answer
  kConnect,
  kTls,
  kReset,        // after the request was sent
  kMalformed,    // what came back is no valid HTTP/1.1
  kTimeout,      // no first byte in time, or connecting took too long
  kNoResources,  // no connection can be made from here: not the target's failure
  kCancelled,
};

// One try: where to, and with which model. Views into the table.
struct TryPlan {
  const table::Endpoint* endpoint = nullptr;
  const table::Target* target = nullptr;  // null: without a pick, the body as it came
  std::string_view model;                 // "" without a target
  std::string_view model_json;
  size_t index = 0;  // of the target
  table::SeriesId series = 0;
};

// An answer that was failed over from, as the client would get it, kept in case no other comes.
struct SavedAnswer {
  std::string head;
  std::string body;
  table::SeriesId series = 0;
  std::string_view model;
  std::string_view target;
  // `body` is only the beginning; the rest of it is here. Null: it is whole.
  std::unique_ptr<UpstreamConnection> upstream = nullptr;
  BodyDecoder rest{};
};

// A piece of an answer's body, decoded from its framing.
struct BodyPiece {
  std::string_view decoded;  // inside the connection's input
  size_t consumed = 0;       // of that input
  bool is_complete = false;  // the body ends here, and properly
};

}  // namespace rota::engine
