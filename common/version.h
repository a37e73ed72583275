#pragma once

// What --version, the metric rota_build_info and User-Agent say. Thread-safe.

#include <string_view>

namespace rota {

// "0.1.0".
std::string_view Version();
// The commit that was built, or "unknown".
std::string_view Commit();

}  // namespace rota
