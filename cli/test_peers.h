#pragma once

// Peers without sockets, for the tests of this folder.

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "cli/peer.h"

namespace rota::cli::testing_peers {

using Pages = std::map<std::string, Answer>;  // by "GET /path"

// Answers with these pages, 404 for others; writes down what it was asked.
inline Peer PeerWith(std::string name, Pages pages,
                     std::shared_ptr<std::vector<std::string>> asked = nullptr) {
  return {
      std::move(name),
      [pages = std::move(pages), asked](const std::string& method,
                                        const std::string& target) -> absl::StatusOr<Answer> {
        if (asked != nullptr) {
          asked->push_back(method + " " + target);
        }
        const auto found = pages.find(method + " " + target);
        return found == pages.end() ? Answer{404, R"({"error":"no such page"})"} : found->second;
      }};
}

inline Peer DeadPeer(std::string name) {
  return {std::move(name), [](const std::string&, const std::string&) -> absl::StatusOr<Answer> {
            return absl::UnavailableError("Connection refused");
          }};
}

// /debug/rotations of one API with one suspended and one eligible target.
inline Json Rotations(double remaining_seconds, const std::string& seen_by) {
  Json page = Json::parse(R"({"snapshot": "ab", "apis": [{"id": "default/chat", "rotations": [
    {"id": "r", "environment": "production", "targets": [
      {"id": "t1", "model": "gpt-4o", "target": "openai", "suspension": {"reason": "quota"}},
      {"id": "t2", "model": "o1", "target": "openai", "suspension": null}]}]}]})");
  Json& suspension = page["apis"][0]["rotations"][0]["targets"][0]["suspension"];
  suspension["remaining_seconds"] = remaining_seconds;
  suspension["seen_by"] = seen_by;
  return page;
}

}  // namespace rota::cli::testing_peers
