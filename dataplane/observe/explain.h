#pragma once

// A dry run: what would become of a request, by the same matching and the same rotation that
// requests use. Nothing is picked and nothing is sent. Thread-safe (a function without state).

#include <string>

#include "common/clock.h"
#include "dataplane/table/route_table.h"
#include "nlohmann/json.hpp"

namespace rota::observe {

// All parts are optional; what is missing is filled in.
struct ExplainQuery {
  std::string api{};          // "team/chat", or "chat" where one API only has that name
  std::string host{};         // else one of `environment`
  std::string environment{};  // "production" (what "" means without a host) or "sandbox"
  std::string verb{};         // else the operation's, or POST
  std::string path{};         // whole, or behind the API's base path and version; else the first
                              // operation with a rotation in the environment
  std::string model{};        // say whether it may be picked
};

struct Explanation {
  int status = 200;  // of the page: 400 or 404 when the question makes no sense
  // "answer": the status that the request would get without being sent (404, 405, 429, ...), 0 when
  // it would be sent upstream. "because" says why, in a sentence.
  nlohmann::ordered_json json;
};

Explanation Explain(const table::RouteTable& table, const ExplainQuery& query, MonotonicTime now);

}  // namespace rota::observe
