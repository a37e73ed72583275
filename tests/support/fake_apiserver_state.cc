#include "tests/support/fake_apiserver_state.h"

#include <algorithm>

namespace rota::testing {

using nlohmann::json;

namespace {

std::string ApiVersion(const kube::Resource& resource) {
  return resource.group.empty() ? resource.version : resource.group + "/" + resource.version;
}

FakeAnswer NotFound(const kube::Resource& resource, const std::string& name) {
  return StatusAnswer(404, "NotFound", resource.ToString() + " \"" + name + "\" not found");
}

// The element of a keyed list with the same `type`.
json::iterator FindByType(json& list, const json& type) {
  return std::find_if(list.begin(), list.end(),
                      [&](const json& element) { return element.value("type", json()) == type; });
}

// Takes away from `status` what `before` had and `after` has not.
void RemoveAbandoned(json& status, const json& before, const json& after) {
  for (const auto& [name, value] : before.items()) {
    if (name == "conditions" && value.is_array()) {
      for (const json& condition : value) {
        json ours = after.value("conditions", json::array());
        if (FindByType(ours, condition.at("type")) == ours.end() && status.contains(name)) {
          const auto found = FindByType(status[name], condition.at("type"));
          if (found != status[name].end()) {
            status[name].erase(found);
          }
        }
      }
    } else if (!after.contains(name)) {
      status.erase(name);
    }
  }
}

// `conditions` is a list keyed by type; everything else is replaced.
void Merge(json& status, const json& after) {
  for (const auto& [name, value] : after.items()) {
    if (name != "conditions") {
      status[name] = value;
      continue;
    }
    for (const json& condition : value) {
      json& list = status[name];
      if (!list.is_array()) {
        list = json::array();
      }
      const auto found = FindByType(list, condition.at("type"));
      if (found == list.end()) {
        list.push_back(condition);
      } else {
        *found = condition;
      }
    }
  }
}

}  // namespace

FakeAnswer StatusAnswer(int code, const std::string& reason, const std::string& message) {
  return {code,
          {{"kind", "Status"},
           {"apiVersion", "v1"},
           {"metadata", json::object()},
           {"status", "Failure"},
           {"message", message},
           {"reason", reason},
           {"code", code}}};
}

std::string CollectionKey(const kube::Resource& resource) {
  return resource.group + "/" + resource.version + "/" + resource.plural;
}

void FakeState::Register(const kube::Resource& resource) {
  resources_[CollectionKey(resource)] = resource;
}

const kube::Resource* FakeState::Find(const std::string& collection) const {
  const auto found = resources_.find(collection);
  return found == resources_.end() ? nullptr : &found->second;
}

void FakeState::Record(const kube::Resource& resource, const std::string& type, json& object) {
  ++version_;
  object["metadata"]["resourceVersion"] = std::to_string(version_);
  history_.push_back({version_, CollectionKey(resource),
                      object["metadata"].value("namespace", std::string()), type, object});
}

FakeAnswer FakeState::Create(const kube::Resource& resource, const std::string& ns, json object) {
  if (!object.contains("metadata") || !object["metadata"].contains("name")) {
    return StatusAnswer(422, "Invalid", "metadata.name: Required value");
  }
  const std::string name = object["metadata"]["name"].get<std::string>();
  auto& collection = objects_[CollectionKey(resource)];
  if (collection.contains({ns, name})) {
    return StatusAnswer(409, "AlreadyExists", resource.plural + " \"" + name + "\" already exists");
  }
  object["apiVersion"] = ApiVersion(resource);
  object["kind"] = resource.kind;
  json& metadata = object["metadata"];
  metadata["namespace"] = ns;
  metadata["uid"] = "uid-" + std::to_string(++incarnations_);
  metadata["creationTimestamp"] = "2026-01-01T00:00:00Z";
  if (!resource.group.empty()) {
    metadata["generation"] = 1;
    object.erase("status");
  }
  Record(resource, "ADDED", object);
  collection[{ns, name}] = object;
  return {201, object};
}

FakeAnswer FakeState::Get(const kube::Resource& resource, const std::string& ns,
                          const std::string& name) const {
  const auto collection = objects_.find(CollectionKey(resource));
  if (collection != objects_.end()) {
    if (const auto found = collection->second.find({ns, name}); found != collection->second.end()) {
      return {200, found->second};
    }
  }
  return NotFound(resource, name);
}

FakeAnswer FakeState::Replace(const kube::Resource& resource, const std::string& ns,
                              const std::string& name, json object) {
  auto& collection = objects_[CollectionKey(resource)];
  const auto found = collection.find({ns, name});
  if (found == collection.end()) {
    return NotFound(resource, name);
  }
  json next = found->second;
  for (const char* member : {"spec", "data"}) {
    next.erase(member);
    if (object.contains(member)) {
      next[member] = object[member];
    }
  }
  const json labels = object.value("metadata", json::object()).value("labels", json());
  if (labels.is_object()) {
    next["metadata"]["labels"] = labels;
  }
  if (next == found->second) {
    return {200, next};
  }
  if (next.contains("spec") && next["spec"] != found->second.value("spec", json())) {
    next["metadata"]["generation"] = next["metadata"]["generation"].get<int64_t>() + 1;
  }
  Record(resource, "MODIFIED", next);
  found->second = next;
  return {200, next};
}

FakeAnswer FakeState::Update(const kube::Resource& resource, const std::string& ns,
                             const std::string& name, const json& object) {
  const FakeAnswer stored = Get(resource, ns, name);
  if (stored.code != 200) {
    return stored;
  }
  const std::string seen =
      object.value("metadata", json::object()).value("resourceVersion", std::string());
  if (seen.empty() && !resource.group.empty()) {
    return StatusAnswer(422, "Invalid",
                        "metadata.resourceVersion: Invalid value: must be specified for an update");
  }
  if (!seen.empty() && seen != stored.body["metadata"].value("resourceVersion", std::string())) {
    return StatusAnswer(409, "Conflict", "the object has been modified");
  }
  return Replace(resource, ns, name, object);
}

FakeAnswer FakeState::MergePatch(const kube::Resource& resource, const std::string& ns,
                                 const std::string& name, const json& patch) {
  auto& collection = objects_[CollectionKey(resource)];
  const auto found = collection.find({ns, name});
  if (found == collection.end()) {
    return NotFound(resource, name);
  }
  json next = found->second;
  next.merge_patch(patch);
  if (next != found->second) {
    Record(resource, "MODIFIED", next);
    found->second = next;
  }
  return {200, next};
}

FakeAnswer FakeState::Delete(const kube::Resource& resource, const std::string& ns,
                             const std::string& name) {
  auto& collection = objects_[CollectionKey(resource)];
  const auto found = collection.find({ns, name});
  if (found == collection.end()) {
    return NotFound(resource, name);
  }
  json object = found->second;
  collection.erase(found);
  Record(resource, "DELETED", object);
  applied_.erase(object["metadata"]["uid"].get<std::string>());
  return {200, {{"kind", "Status"}, {"apiVersion", "v1"}, {"status", "Success"}}};
}

FakeAnswer FakeState::ApplyStatus(const kube::Resource& resource, const std::string& ns,
                                  const std::string& name, const std::string& manager,
                                  const json& body) {
  auto& collection = objects_[CollectionKey(resource)];
  const auto found = collection.find({ns, name});
  if (found == collection.end()) {
    return NotFound(resource, name);
  }
  json next = found->second;
  const std::string uid = next["metadata"]["uid"].get<std::string>();
  const json status = body.value("status", json::object());
  json& before = applied_[uid][manager];
  if (before.is_object()) {
    RemoveAbandoned(next["status"], before, status);
  }
  Merge(next["status"], status);
  before = status;
  if (next != found->second) {
    Record(resource, "MODIFIED", next);
    found->second = next;
  }
  return {200, next};
}

FakeAnswer FakeState::List(const kube::Resource& resource, const std::string& ns, size_t limit,
                           const std::string& continue_token) {
  Rest rest{version_, {}};
  if (continue_token.empty()) {
    for (const auto& [key, object] : objects_[CollectionKey(resource)]) {
      if (ns.empty() || key.first == ns) {
        rest.items.push_back(object);
      }
    }
  } else if (const auto page = pages_.find(continue_token); page != pages_.end()) {
    rest = page->second;
  } else {
    FakeAnswer answer = StatusAnswer(410, "Expired", "The provided continue parameter is too old");
    answer.body["metadata"]["continue"] = "inconsistent";
    return answer;
  }
  json items = json::array();
  size_t taken = 0;
  while (taken < rest.items.size() && (limit == 0 || taken < limit)) {
    items.push_back(rest.items[taken++]);
  }
  json metadata = {{"resourceVersion", std::to_string(rest.version)}};
  if (taken < rest.items.size()) {
    rest.items.erase(rest.items.begin(), rest.items.begin() + static_cast<std::ptrdiff_t>(taken));
    const std::string token = "next-" + std::to_string(pages_.size() + 1) + "-" + continue_token;
    metadata["continue"] = token;
    pages_[token] = std::move(rest);
  }
  return {200,
          {{"kind", resource.kind + "List"},
           {"apiVersion", ApiVersion(resource)},
           {"metadata", metadata},
           {"items", items}}};
}

std::vector<FakeEvent> FakeState::EventsAfter(const kube::Resource& resource, const std::string& ns,
                                              uint64_t version) const {
  const std::string collection = CollectionKey(resource);
  std::vector<FakeEvent> events;
  const auto first = std::upper_bound(
      history_.begin(), history_.end(), version,
      [](uint64_t value, const FakeEvent& event) { return value < event.version; });
  for (auto event = first; event != history_.end(); ++event) {
    if (event->collection == collection && (ns.empty() || event->ns == ns)) {
      events.push_back(*event);
    }
  }
  return events;
}

void FakeState::Compact() {
  ++version_;
  compacted_ = version_;
  pages_.clear();
}

}  // namespace rota::testing
