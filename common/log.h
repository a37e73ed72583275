#pragma once

// Process log: JSON lines on stderr through spdlog.
//
//   log::Info("sync", "snapshot applied", {{"snapshot", hash}, {"apis", 12}});
//   {"ts":"2026-11-21T10:00:00.123Z","level":"info","component":"sync","msg":"snapshot
//   applied",...}
//
// error: someone must act; warn: degraded, and counted by a metric; info: a state has changed;
// debug: per event. Fixed keys where they apply: kind, namespace, name, snapshot, node. Never a
// body, never a secret. Thread-safe.

#include <string_view>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace rota::log {

enum class Level { kDebug, kInfo, kWarn, kError };

// "debug", "info", "warn" or "error"; InvalidArgument otherwise.
absl::Status SetLevel(std::string_view level);
bool IsEnabled(Level level);
void Write(Level level, std::string_view component, std::string_view message,
           const nlohmann::json& fields = nlohmann::json::object());

inline void Debug(std::string_view component, std::string_view message,
                  const nlohmann::json& fields = nlohmann::json::object()) {
  Write(Level::kDebug, component, message, fields);
}
inline void Info(std::string_view component, std::string_view message,
                 const nlohmann::json& fields = nlohmann::json::object()) {
  Write(Level::kInfo, component, message, fields);
}
inline void Warn(std::string_view component, std::string_view message,
                 const nlohmann::json& fields = nlohmann::json::object()) {
  Write(Level::kWarn, component, message, fields);
}
inline void Error(std::string_view component, std::string_view message,
                  const nlohmann::json& fields = nlohmann::json::object()) {
  Write(Level::kError, component, message, fields);
}

}  // namespace rota::log
