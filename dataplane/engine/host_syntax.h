#pragma once

// What may stand in a Host field and in the authority of a target (RFC 3986 3.2.2). Pure and
// thread-safe.

#include <string_view>

namespace rota::engine {

// A name or an address, IPv6 and later ones in brackets; a port of digits. 260 bytes at most.
bool IsValidHost(std::string_view host);

}  // namespace rota::engine
