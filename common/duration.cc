#include "common/duration.h"

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/time.h"

namespace rota {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<Duration> ParseDuration(std::string_view text) {
  const std::string owned(text);
  absl::Duration parsed;
  if (absl::ParseDuration(IsNumber(text) ? owned + "s" : owned, &parsed) &&
      parsed >= absl::ZeroDuration() && parsed <= absl::Hours(24 * 3650)) {
    return absl::ToChronoNanoseconds(parsed);
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "'", owned,
      "' is not a duration: write whole seconds (60) or a number with a unit (1m, 30s, 250ms)"));
}

std::string FormatDuration(Duration duration) {
  const std::string text = absl::FormatDuration(absl::FromChrono(duration));
  return text == "0" ? "0s" : text;
}

}  // namespace rota
