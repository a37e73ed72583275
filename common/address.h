#pragma once

// HOST:PORT as it stands on a command line, IPv6 in brackets. Thread-safe (pure functions).

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace rota {

struct HostPort {
  std::string host;   // without brackets; never empty
  uint16_t port = 0;  // 0: pick a free one

  // "127.0.0.1:80", "[::1]:80".
  std::string ToString() const;
  friend bool operator==(const HostPort&, const HostPort&) = default;
};

// "127.0.0.1:8080", "localhost:0", "[::1]:8080", ":8080" (all addresses). InvalidArgument names the
// text and the form that is wanted.
absl::StatusOr<HostPort> ParseHostPort(std::string_view text);

// True for an IPv4 or IPv6 address (without brackets), false for a name.
bool IsAddress(const std::string& host);

// True for 127.0.0.0/8, ::1 and the name "localhost": a peer there is on this machine.
bool IsLoopbackHost(std::string_view host);

}  // namespace rota
