#pragma once

// Request paths as they are matched: dot segments settled, percent-escapes decoded, and everything
// that two programs could read in two ways refused (encoded slashes, backslashes, control bytes,
// broken escapes).
//
// Pure and thread-safe.

#include <string>
#include <string_view>

namespace rota::table {

// One path in two forms with the same segments. Views into the path that was given, or into
// `storage`.
class SettledPath {
 public:
  // False: the path is refused (MatchStatus::kBadPath).
  bool Settle(std::string_view path);

  std::string_view decoded() const { return decoded_; }  // for comparing
  std::string_view raw() const { return raw_; }          // for the upstream: escapes as they came
  // The part of raw() behind as many segments as `decoded_prefix` has.
  std::string_view RawBehind(std::string_view decoded_prefix) const;

 private:
  bool SettleSlowly(std::string_view path);

  std::string_view decoded_;
  std::string_view raw_;
  std::string decoded_storage_;
  std::string raw_storage_;
};

// The text with its percent-escapes decoded; false when one is broken or stands for a byte that is
// refused.
bool DecodeSegment(std::string_view segment, std::string& decoded);

}  // namespace rota::table
