#include "dataplane/table/operation_index.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "absl/strings/str_cat.h"
#include "dataplane/table/path.h"

namespace rota::table {
namespace {

// Below it, comparing is cheaper than hashing and no table is kept.
constexpr size_t kManyLiterals = 12;
constexpr size_t kMaxTargetLength = 4096;

std::string_view WithoutTrailingSlash(std::string_view path) {
  if (!path.empty() && path.back() == '/') {
    path.remove_suffix(1);
  }
  return path;
}

// Cuts the first segment off "/a/b".
std::string_view TakeSegment(std::string_view& path) {
  const size_t end = std::min(path.find('/', 1), path.size());
  const std::string_view segment = path.substr(1, end - 1);
  path.remove_prefix(end);
  return segment;
}

}  // namespace

absl::Status OperationIndex::Parse(std::string_view text, Target& target) {
  if (text.empty() || text.front() != '/' || text.size() > kMaxTargetLength) {
    return absl::InvalidArgumentError("must begin with \"/\" and have at most 4096 bytes");
  }
  target.ends_with_slash = text.size() > 1 && text.back() == '/';
  std::string_view rest = WithoutTrailingSlash(text);
  while (!rest.empty()) {
    const std::string_view segment = TakeSegment(rest);
    if (segment == "*") {
      if (!rest.empty()) {
        return absl::InvalidArgumentError("may have \"*\" only as its last segment");
      }
      target.has_wildcard = true;
      target.is_literal = false;
      target.key += "/*";
      break;
    }
    std::string decoded;
    if (segment.size() > 2 && segment.front() == '{' && segment.back() == '}') {
      target.is_literal = false;
      target.key += "/{}";
    } else if (segment.find_first_of("{}*") != std::string_view::npos) {
      return absl::InvalidArgumentError(
          absl::StrCat("has the segment \"", std::string(segment),
                       "\"; a parameter is a whole segment such as \"{id}\""));
    } else if (!DecodeSegment(segment, decoded)) {
      return absl::InvalidArgumentError("has a broken or forbidden percent-escape");
    } else if (decoded.empty() || decoded == "." || decoded == "..") {
      return absl::InvalidArgumentError("has an empty or dot segment");
    } else {
      absl::StrAppend(&target.key, "/", decoded);
    }
    target.segments.push_back(std::move(decoded));
  }
  return absl::OkStatus();
}

absl::Status OperationIndex::Add(std::string_view target, std::string_view verb, int number) {
  Target parsed;
  if (absl::Status status = Parse(target, parsed); !status.ok()) {
    return status;
  }
  auto found = std::find_if(targets_.begin(), targets_.end(), [&parsed](const Target& other) {
    return other.is_literal == parsed.is_literal && other.key == parsed.key;
  });
  if (found == targets_.end()) {
    targets_.push_back(std::move(parsed));
    found = targets_.end() - 1;
  }
  for (const Verb& other : found->verbs) {
    if (other.name == verb) {
      return absl::InvalidArgumentError(
          absl::StrCat("is there twice for the verb ", std::string(verb)));
    }
  }
  found->verbs.push_back({std::string(verb), number});
  return absl::OkStatus();
}

bool OperationIndex::IsMoreSpecific(const Target& a, const Target& b) {
  if (a.is_literal != b.is_literal) {
    return a.is_literal;
  }
  // Per segment: literal, parameter, wildcard.
  const auto rank = [](const Target& target, size_t i) {
    if (i < target.segments.size()) {
      return target.segments[i].empty() ? 1 : 0;
    }
    return target.has_wildcard ? 2 : 3;
  };
  for (size_t i = 0; i < std::max(a.segments.size(), b.segments.size()) + 1; ++i) {
    if (rank(a, i) != rank(b, i)) {
      return rank(a, i) < rank(b, i);
    }
  }
  return false;
}

void OperationIndex::Freeze() {
  std::stable_sort(targets_.begin(), targets_.end(), IsMoreSpecific);
  literal_count_ = static_cast<size_t>(std::count_if(targets_.begin(), targets_.end(),
                                                     [](const Target& t) { return t.is_literal; }));
  targets_.shrink_to_fit();
  if (literal_count_ > kManyLiterals) {
    for (uint32_t i = 0; i < literal_count_; ++i) {
      literals_.emplace(targets_[i].key, i);
    }
  }
}

size_t OperationIndex::Hash() const {
  size_t hash = targets_.size();
  for (const Target& target : targets_) {
    for (const Verb& verb : target.verbs) {
      hash = absl::HashOf(hash, target.key, verb.name, verb.number);
    }
  }
  return hash;
}

bool OperationIndex::Matches(const Target& target, std::string_view path) {
  for (const std::string& segment : target.segments) {
    if (path.empty()) {
      return false;
    }
    const std::string_view given = TakeSegment(path);
    if (segment.empty() ? given.empty() : given != segment) {
      return false;
    }
  }
  return target.has_wildcard || path.empty() || path == "/";
}

template <typename Visitor>
void OperationIndex::ForEachMatch(std::string_view path, const Visitor& visit) const {
  const std::string_view key = WithoutTrailingSlash(path);
  if (!literals_.empty()) {
    const auto found = literals_.find(absl::string_view(key.data(), key.size()));
    if (found != literals_.end() && !visit(targets_[found->second])) {
      return;
    }
  } else {
    for (size_t i = 0; i < literal_count_; ++i) {
      if (targets_[i].key == key) {
        if (!visit(targets_[i])) {
          return;
        }
        break;
      }
    }
  }
  for (size_t i = literal_count_; i < targets_.size(); ++i) {
    if (Matches(targets_[i], path) && !visit(targets_[i])) {
      return;
    }
  }
}

OperationIndex::Found OperationIndex::Find(std::string_view path, std::string_view verb) const {
  Found result;
  ForEachMatch(path, [&result, verb](const Target& target) {
    result.path_exists = true;
    for (const Verb& candidate : target.verbs) {
      if (candidate.name == verb) {
        result.operation = candidate.number;
        result.keeps_trailing_slash = target.has_wildcard || target.ends_with_slash;
        return false;
      }
    }
    return true;
  });
  return result;
}

std::string OperationIndex::Allowed(std::string_view path) const {
  std::vector<std::string> verbs;
  ForEachMatch(path, [&verbs](const Target& target) {
    for (const Verb& verb : target.verbs) {
      if (std::find(verbs.begin(), verbs.end(), verb.name) == verbs.end()) {
        verbs.push_back(verb.name);
      }
    }
    return true;
  });
  std::string allowed;
  for (const std::string& verb : verbs) {
    absl::StrAppend(&allowed, allowed.empty() ? "" : ", ", verb);
  }
  return allowed;
}

}  // namespace rota::table
