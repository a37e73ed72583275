#include "common/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <string>

#include "absl/strings/str_cat.h"

namespace rota::log {
namespace {

constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warn", "error"};
constexpr std::array<spdlog::level::level_enum, 4> kLevels = {
    spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err};

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made =
        std::make_shared<spdlog::logger>("rota", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("{\"ts\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v}", spdlog::pattern_time_type::utc);
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *logger;
}

// Invalid UTF-8 becomes U+FFFD: a log line must never throw.
std::string Dump(const nlohmann::json& value) {
  return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

absl::Status SetLevel(std::string_view level) {
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == level) {
      Logger().set_level(kLevels[i]);
      return absl::OkStatus();
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("log level '", std::string(level),
                                                 "' is unknown: use debug, info, warn or error"));
}

bool IsEnabled(Level level) { return Logger().should_log(kLevels[static_cast<size_t>(level)]); }

void Write(Level level, std::string_view component, std::string_view message,
           const nlohmann::json& fields) {
  if (!IsEnabled(level)) {
    return;
  }
  const size_t index = static_cast<size_t>(level);
  std::string line = absl::StrCat("\"level\":\"", std::string(kNames[index]),
                                  "\",\"component\":", Dump(std::string(component)),
                                  ",\"msg\":", Dump(std::string(message)));
  if (fields.is_object() && !fields.empty()) {
    const std::string rest = Dump(fields);
    absl::StrAppend(&line, ",", rest.substr(1, rest.size() - 2));
  }
  Logger().log(kLevels[index], spdlog::string_view_t(line));
}

}  // namespace rota::log
