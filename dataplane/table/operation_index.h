#pragma once

// The operations of one API by path and verb: literal segments before {param} segments before a
// trailing
// "/*", from the left; among the targets that match, the most specific one that has the verb.
//
// Thread-safe: const after construction. Not to be moved once it is frozen.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace rota::table {

class OperationIndex {
 public:
  struct Found {
    bool path_exists = false;
    int operation = -1;                 // -1: no operation of that verb
    bool keeps_trailing_slash = false;  // the target says how the path ends, or leaves it open
  };

  // `number` is what Find returns. InvalidArgument says what is wrong with the target or that the
  // verb is there twice.
  absl::Status Add(std::string_view target, std::string_view verb, int number);
  // After the last Add.
  void Freeze();

  // `path`: decoded, behind the API's base path and version; "" or "/..." .
  Found Find(std::string_view path, std::string_view verb) const;
  // "GET, POST" for a path that exists, most specific first.
  std::string Allowed(std::string_view path) const;

  // The same operations with the same numbers.
  friend bool operator==(const OperationIndex& a, const OperationIndex& b) {
    return a.targets_ == b.targets_;
  }
  size_t Hash() const;

 private:
  struct Verb {
    std::string name;
    int number = 0;
    friend bool operator==(const Verb&, const Verb&) = default;
  };
  struct Target {
    std::string key;  // literal: the decoded path without trailing slash; else a normal form
    // Decoded literal segments; "" stands for a parameter.
    std::vector<std::string> segments;
    bool is_literal = true;
    bool has_wildcard = false;
    bool ends_with_slash = false;
    std::vector<Verb> verbs;
    friend bool operator==(const Target&, const Target&) = default;
  };
  static absl::Status Parse(std::string_view text, Target& target);
  static bool Matches(const Target& target, std::string_view path);
  static bool IsMoreSpecific(const Target& a, const Target& b);
  // Calls `visit` for each target that matches, most specific first, until it returns false.
  template <typename Visitor>
  void ForEachMatch(std::string_view path, const Visitor& visit) const;

  std::vector<Target> targets_;  // literal ones first, then by specificity
  size_t literal_count_ = 0;
  // Made only where there are many literal targets; views into `targets_`.
  absl::flat_hash_map<absl::string_view, uint32_t> literals_;
};

}  // namespace rota::table
