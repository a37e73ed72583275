#pragma once

// The admin port of one data plane or controller, and what is asked there. Errors name the peer and
// the page. Thread-compatible.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/output.h"

namespace rota::cli {

struct Answer {
  int status = 0;
  std::string body;
};

struct Peer {
  std::string name;  // of the pod, or the address
  // `target`: path and query.
  std::function<absl::StatusOr<Answer>(const std::string& method, const std::string& target)> ask;
};

// "http://127.0.0.1:9901" or "127.0.0.1:9901". The name is the address unless another is given.
// Waits 5 s for a connection and 20 s for each part of an answer, which is at most 256 MiB.
absl::StatusOr<Peer> PeerAt(const std::string& url, std::string name = "");

// The page's JSON. Unavailable: no answer. What the page itself says against the question is
// InvalidArgument (400), NotFound (404), PermissionDenied (403), else Unavailable.
absl::StatusOr<Json> AskJson(const Peer& peer, const std::string& method,
                             const std::string& target);
absl::StatusOr<std::string> AskText(const Peer& peer, const std::string& target);

// The page of every peer that answers. What the others say is added to `problems`; when none
// answers it is the error.
struct NamedJson {
  std::string name;
  Json json;
};
absl::StatusOr<std::vector<NamedJson>> AskEach(const std::vector<Peer>& peers,
                                               const std::string& target,
                                               std::vector<std::string>& problems);

// "/debug/explain?api=team%2Fchat": empty values are left out.
std::string WithQuery(const std::string& path, const std::map<std::string, std::string>& query);

}  // namespace rota::cli
