#pragma once

// How much of the Kubernetes API a snapshot has seen: the newest resourceVersion of each kind of
// object that went into it. A data plane tells the next controller what its configuration was built
// from, so that a replica whose watches lag behind does not take it back in time.
//
// Only versions of the API server's form (positive whole numbers without leading zeros, as its own
// comparison demands since 1.35) are compared; others are ignored. Pure; thread-compatible.

#include <map>
#include <string>

namespace rota::compile {

class Watermarks {
 public:
  // An object of this kind, in this version, is part of what is known.
  void Raise(const std::string& kind, const std::string& resource_version);
  // Something of what the other one has seen is newer.
  bool IsBehind(const Watermarks& other) const;
  const std::map<std::string, std::string>& versions() const { return versions_; }  // by kind

 private:
  std::map<std::string, std::string> versions_;
};

}  // namespace rota::compile
