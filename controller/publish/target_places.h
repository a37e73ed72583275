#pragma once

// Where a target belongs: what people call it. Data planes and the suspension hub know targets by
// their ids only; the snapshots say which API, environment, model and endpoint that is.
//
// Keeps what it has read: an update costs the APIs that have changed since the last one. Bounded by
// the snapshots. Thread-compatible.

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "controller/compile/snapshot.h"
#include "controller/resource/api.h"

namespace rota::publish {

struct TargetPlace {
  resource::ObjectName api;
  std::string environment;  // "production" or "sandbox"
  std::string model;
  std::string endpoint;  // its name, or its URL when the user gave none
};

using Snapshots = std::vector<std::shared_ptr<const compile::Snapshot>>;

class TargetPlaces {
 public:
  // Nulls are passed over. An API that is in several snapshots is read from the first one: the ids
  // of its targets do not depend on the gateway.
  void Update(const Snapshots& snapshots);
  // nullptr: no snapshot has it (any more). Valid until the next Update().
  const TargetPlace* Find(const std::string& target) const;
  void Clear();

 private:
  struct ReadApi {
    compile::ResourceBodyPtr body;  // as it was read
    std::vector<std::string> targets;
  };

  void Read(const std::string& name, ReadApi& api);
  void Forget(const ReadApi& api);

  Snapshots last_;
  std::map<std::string, ReadApi> apis_;
  std::unordered_map<std::string, TargetPlace> places_;  // by target
};

}  // namespace rota::publish
