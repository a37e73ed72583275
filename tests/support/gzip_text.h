#pragma once

// gzip for tests: what an upstream sends that compresses. Thread-safe.

#include <string>
#include <string_view>

namespace rota::testing {

// One gzip member.
std::string Gzip(std::string_view text);

}  // namespace rota::testing
