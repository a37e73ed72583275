#include "controller/publish/target_places.h"

#include "rota/sync/v1/config.pb.h"

namespace rota::publish {

namespace v1 = rota::sync::v1;

void TargetPlaces::Update(const Snapshots& snapshots) {
  if (snapshots == last_) {
    return;
  }
  last_ = snapshots;
  std::map<std::string, compile::ResourceBodyPtr> current;
  for (const auto& snapshot : snapshots) {
    if (snapshot == nullptr) {
      continue;
    }
    snapshot->resources.ForEach([&current](const compile::ResourceSet::Entry& entry) {
      if (entry.first.first == compile::ResourceKind::kApi) {
        current.try_emplace(entry.first.second, entry.second);
      }
    });
  }
  for (auto known = apis_.begin(); known != apis_.end();) {
    const auto found = current.find(known->first);
    if (found != current.end() && found->second == known->second.body) {
      current.erase(found);
      ++known;
      continue;
    }
    Forget(known->second);
    known = apis_.erase(known);
  }
  for (const auto& [name, body] : current) {
    ReadApi& api = apis_[name];
    api.body = body;
    Read(name, api);
  }
}

const TargetPlace* TargetPlaces::Find(const std::string& target) const {
  const auto found = places_.find(target);
  return found == places_.end() ? nullptr : &found->second;
}

void TargetPlaces::Clear() {
  last_.clear();
  apis_.clear();
  places_.clear();
}

void TargetPlaces::Read(const std::string& name, ReadApi& api) {
  v1::Api message;
  const size_t slash = name.find('/');
  if (!message.ParseFromString(api.body->bytes) || slash == std::string::npos) {
    return;
  }
  for (const v1::Rotation& rotation : message.rotations()) {
    for (const v1::Target& target : rotation.targets()) {
      const int endpoint = static_cast<int>(target.endpoint());
      if (endpoint >= message.endpoints_size()) {
        continue;
      }
      TargetPlace place;
      place.api = {name.substr(0, slash), name.substr(slash + 1)};
      place.environment = rotation.environment() == v1::SANDBOX ? "sandbox" : "production";
      place.model = target.model();
      place.endpoint = message.endpoints(endpoint).name();
      places_[target.id()] = std::move(place);
      api.targets.push_back(target.id());
    }
  }
}

void TargetPlaces::Forget(const ReadApi& api) {
  for (const std::string& target : api.targets) {
    places_.erase(target);
  }
}

}  // namespace rota::publish
