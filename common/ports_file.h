#pragma once

// How a program tells which addresses it has bound: one JSON line each on stdout, and all of them
// as one object in --ports-file ({"http":"127.0.0.1:41234","admin":...}). Scripts wait for that
// file.

#include <map>
#include <string>

#include "absl/status/status.h"
#include "common/address.h"

namespace rota {

// Prints {"listening":"http","address":"127.0.0.1:41234"} per entry, then writes `file` atomically
// unless it is "".
absl::Status AnnounceAddresses(const std::map<std::string, HostPort>& addresses,
                               const std::string& file);

}  // namespace rota
