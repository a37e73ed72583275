#include "dataplane/table/path.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "common/hex.h"

namespace rota::table {
namespace {

// More segments than any API has; bounds the work for a hostile path.
constexpr size_t kMaxSegments = 256;

enum : uint8_t { kOrdinary = 0, kRefused = 1, kEscape = 2 };

constexpr std::array<uint8_t, 256> MakeClasses() {
  std::array<uint8_t, 256> classes{};
  for (size_t c = 0; c <= 0x20; ++c) {
    classes[c] = kRefused;
  }
  classes[0x7F] = kRefused;
  classes['\\'] = kRefused;
  classes['?'] = kRefused;
  classes['#'] = kRefused;
  classes['%'] = kEscape;
  return classes;
}
constexpr std::array<uint8_t, 256> kClasses = MakeClasses();

}  // namespace

bool DecodeSegment(std::string_view segment, std::string& decoded) {
  for (size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '%') {
      decoded += segment[i];
      continue;
    }
    if (i + 2 >= segment.size()) {
      return false;
    }
    const int high = HexDigit(segment[i + 1]);
    const int low = HexDigit(segment[i + 2]);
    if (high < 0 || low < 0) {
      return false;
    }
    const int byte = high * 16 + low;
    if (byte < 0x20 || byte == 0x7F || byte == '/' || byte == '\\') {
      return false;
    }
    decoded += static_cast<char>(byte);
    i += 2;
  }
  return true;
}

bool SettledPath::Settle(std::string_view path) {
  if (path.empty()) {
    path = "/";
  }
  if (path.front() != '/') {
    return false;
  }
  uint8_t classes = 0;
  bool has_dot_segment = false;
  char previous = 0;
  for (const char c : path) {
    classes |= kClasses[static_cast<uint8_t>(c)];
    has_dot_segment |= c == '.' && previous == '/';
    previous = c;
  }
  if ((classes & kRefused) != 0) {
    return false;
  }
  if ((classes & kEscape) != 0 || has_dot_segment) {
    return SettleSlowly(path);
  }
  decoded_ = path;
  raw_ = path;
  return true;
}

bool SettledPath::SettleSlowly(std::string_view path) {
  struct Segment {
    std::string_view raw;
    std::string decoded;
  };
  std::vector<Segment> segments;
  bool ends_with_slash = false;
  size_t begin = 1;
  for (;;) {
    const size_t end = std::min(path.find('/', begin), path.size());
    Segment segment{path.substr(begin, end - begin), {}};
    if (!DecodeSegment(segment.raw, segment.decoded) || segments.size() == kMaxSegments) {
      return false;
    }
    const bool is_dot = segment.decoded == "." || segment.decoded == "..";
    if (segment.decoded == "..") {
      if (segments.empty()) {
        return false;  // climbs out
      }
      segments.pop_back();
    } else if (!is_dot) {
      segments.push_back(std::move(segment));
    }
    if (end == path.size()) {
      // "/a/." and "/a/b/.." mean the folder: "/a/".
      ends_with_slash = is_dot;
      break;
    }
    begin = end + 1;
  }
  decoded_storage_.clear();
  raw_storage_.clear();
  for (const Segment& segment : segments) {
    decoded_storage_.append("/").append(segment.decoded);
    raw_storage_.append("/").append(segment.raw);
  }
  if (ends_with_slash || segments.empty()) {
    decoded_storage_ += '/';
    raw_storage_ += '/';
  }
  decoded_ = decoded_storage_;
  raw_ = raw_storage_;
  return true;
}

std::string_view SettledPath::RawBehind(std::string_view decoded_prefix) const {
  if (raw_.data() == decoded_.data()) {
    return raw_.substr(decoded_prefix.size());
  }
  // Both forms have the same slashes.
  auto slashes = std::count(decoded_prefix.begin(), decoded_prefix.end(), '/');
  size_t place = 0;
  for (; place < raw_.size(); ++place) {
    if (raw_[place] == '/' && slashes-- == 0) {
      break;
    }
  }
  return raw_.substr(place);
}

}  // namespace rota::table
