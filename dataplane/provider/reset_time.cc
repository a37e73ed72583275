#include "dataplane/provider/reset_time.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/time/time.h"

namespace rota::provider {
namespace {

// Numbers from here on are seconds, and milliseconds, since 1970.
constexpr double kFirstEpochSecond = 1e9;
constexpr double kFirstEpochMillisecond = 1e12;

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
    text.remove_prefix(1);
  }
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) {
    text.remove_suffix(1);
  }
  return text;
}

// A plain decimal number at the front of `text`, cut off. No sign, no exponent.
std::optional<double> TakeNumber(std::string_view& text) {
  const size_t length = std::min(text.find_first_not_of("0123456789."), text.size());
  if (length == 0 || length > 30) {
    return std::nullopt;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + length, number, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + length) {
    return std::nullopt;
  }
  text.remove_prefix(length);
  return number;
}

Duration FromSeconds(double seconds) {
  const double longest = std::chrono::duration<double>(kLongestReset).count();
  // To the microsecond: "34.4" as a binary fraction is not 34.4 to the last nanosecond.
  const double micros = std::round(std::clamp(seconds, 0.0, longest) * 1e6);
  return std::chrono::microseconds(static_cast<int64_t>(micros));
}

Duration Until(absl::Time then, WallTime now) {
  return FromSeconds(absl::ToDoubleSeconds(then - absl::FromChrono(now)));
}

// "1h2m3.5s".
std::optional<Duration> ParseUnits(std::string_view text) {
  struct Unit {
    std::string_view name;
    double seconds;
  };
  // Longer names first: "m" begins "ms".
  constexpr std::array<Unit, 8> kUnits = {{{"ms", 1e-3},
                                           {"us", 1e-6},
                                           {"\u00b5s", 1e-6},
                                           {"ns", 1e-9},
                                           {"d", 86400},
                                           {"h", 3600},
                                           {"m", 60},
                                           {"s", 1}}};
  double seconds = 0;
  while (!text.empty()) {
    const std::optional<double> number = TakeNumber(text);
    const auto unit = std::find_if(kUnits.begin(), kUnits.end(), [text](const Unit& candidate) {
      return text.starts_with(candidate.name);
    });
    if (!number.has_value() || unit == kUnits.end()) {
      return std::nullopt;
    }
    seconds += *number * unit->seconds;
    text.remove_prefix(unit->name.size());
  }
  return FromSeconds(seconds);
}

}  // namespace

std::optional<Duration> ParseRetryAfter(std::string_view text, WallTime now) {
  text = Trim(text);
  std::string_view rest = text;
  if (const std::optional<double> seconds = TakeNumber(rest); seconds.has_value() && rest.empty()) {
    return FromSeconds(*seconds);
  }
  const std::string date(text.substr(0, 64));
  for (const char* format :
       {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
    absl::Time then;
    if (absl::ParseTime(format, date, &then, nullptr)) {
      return Until(then, now);
    }
  }
  return std::nullopt;
}

std::optional<Duration> ParseMilliseconds(std::string_view text) {
  text = Trim(text);
  const std::optional<double> number = TakeNumber(text);
  if (!number.has_value() || !text.empty()) {
    return std::nullopt;
  }
  return FromSeconds(*number / 1000);
}

std::optional<Duration> ParseReset(std::string_view text, WallTime now) {
  text = Trim(text);
  if (text.empty() || text.size() > 64) {
    return std::nullopt;
  }
  std::string_view rest = text;
  if (const std::optional<double> number = TakeNumber(rest); number.has_value() && rest.empty()) {
    if (*number >= kFirstEpochMillisecond) {
      return Until(absl::FromUnixMicros(static_cast<int64_t>(std::min(*number, 1e15) * 1e3)), now);
    }
    if (*number >= kFirstEpochSecond) {
      return Until(absl::FromUnixMicros(static_cast<int64_t>(*number * 1e6)), now);
    }
    return FromSeconds(*number);
  }
  if (const std::optional<Duration> duration = ParseUnits(text)) {
    return duration;
  }
  absl::Time then;
  if (absl::ParseTime(absl::RFC3339_full, std::string(text), &then, nullptr)) {
    return Until(then, now);
  }
  return std::nullopt;
}

}  // namespace rota::provider
