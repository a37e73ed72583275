#pragma once

// The Secrets that an import needs: one for each value that the source names, however often it
// does.
//
// Not thread-safe. Values of the source are compared, and never kept: only their hash is.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "cli/import/imported.h"

namespace rota::importer {

// What the source says of the value of a key.
struct KeySource {
  std::string variable;  // the environment variable that it refers to, "" for none
  std::string scheme;    // "Basic ": stands before the reference
  std::string origin;    // "the environment variable X", "the vault aws/openai", "the file"
  std::string identity;  // equal for equal values
};

// Reads a value such as `Bearer ${{ env "X" }}` (decK), `{vault://env/x}` (Kong), `${X}` or
// `sk-...`. `is_authorization`: it goes into the header Authorization, where Rota adds "Bearer "
// itself.
KeySource ReadKeySource(std::string_view value, bool is_authorization);

class SecretBook {
 public:
  explicit SecretBook(std::vector<ImportedSecret>& secrets) : secrets_(secrets) {}

  struct Key {
    std::string key;
    KeySource source;
  };
  // The name of the Secret that holds these keys: one key is called after the variable that the
  // source names; several, and one without a variable, are called `wished`.
  std::string Use(const std::vector<Key>& keys, std::string_view wished);

 private:
  std::vector<ImportedSecret>& secrets_;
  std::map<std::string, std::string> names_;  // identity -> name
};

// "My Route_1" -> "my-route-1": lower-case letters, digits and '-', at most 50; `fallback` when
// nothing is left.
std::string NameFrom(std::string_view text, std::string_view fallback);
// `wished`, or with the first number behind it that makes it new: "openai-2".
template <typename IsTaken>
std::string UniqueName(const std::string& wished, const IsTaken& is_taken) {
  std::string name = wished;
  for (int i = 2; is_taken(name); ++i) {
    name = wished + "-" + std::to_string(i);
  }
  return name;
}

}  // namespace rota::importer
