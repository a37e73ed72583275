#pragma once

// A header of a request that is made here. Value.

#include <string>

namespace rota::provider {

struct HeaderField {
  std::string name;  // lower case
  std::string value;
  friend bool operator==(const HeaderField&, const HeaderField&) = default;
};

}  // namespace rota::provider
