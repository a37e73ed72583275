#pragma once

// The HTTP/1.1 of the admin server: one request out of a buffer (parsed by Beast), one answer as
// bytes. Pure; thread-safe.

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include "common/admin_server.h"

namespace rota {

inline constexpr size_t kMaxAdminHeadBytes = 16 << 10;
inline constexpr size_t kMaxAdminBodyBytes = 1 << 20;

struct ParsedRequest {
  enum class State { kIncomplete, kComplete, kBad };
  State state = State::kIncomplete;
  size_t size = 0;           // kComplete: bytes that it took
  int status = 400;          // kBad: what to answer
  const char* message = "";  // kBad
  std::string method;
  AdminRequest request;
  bool keep_alive = true;
};

ParsedRequest ParseAdminRequest(std::string_view bytes);

// `allow` is the Allow header of a 405, "" for none. `with_body` false: HEAD.
std::string FormatAdminResponse(const AdminResponse& response, bool keep_alive, bool with_body,
                                const std::string& allow);

// "a=b%20c&d" -> {a: "b c", d: ""}; the first of a name wins; '+' is a space.
std::map<std::string, std::string> ParseQuery(std::string_view query);

}  // namespace rota
