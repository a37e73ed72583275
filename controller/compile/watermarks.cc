#include "controller/compile/watermarks.h"

#include <algorithm>
#include <utility>

namespace rota::compile {
namespace {

constexpr size_t kMaxDigits = 20;  // of a 64-bit number

bool IsComparable(const std::string& version) {
  return !version.empty() && version.size() <= kMaxDigits && version.front() != '0' &&
         std::all_of(version.begin(), version.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool IsOlder(const std::string& a, const std::string& b) {
  return std::pair(a.size(), a) < std::pair(b.size(), b);
}

}  // namespace

void Watermarks::Raise(const std::string& kind, const std::string& resource_version) {
  if (!IsComparable(resource_version)) {
    return;
  }
  std::string& highest = versions_[kind];
  if (IsOlder(highest, resource_version)) {
    highest = resource_version;
  }
}

bool Watermarks::IsBehind(const Watermarks& other) const {
  return std::any_of(other.versions_.begin(), other.versions_.end(), [this](const auto& theirs) {
    const auto ours = versions_.find(theirs.first);
    return ours == versions_.end() || IsOlder(ours->second, theirs.second);
  });
}

}  // namespace rota::compile
