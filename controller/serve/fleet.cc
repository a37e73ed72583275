#include "controller/serve/fleet.h"

namespace rota::serve {

uint64_t NodeReport::AppliedHash(const compile::ResourceKey& key) const {
  if (const auto problem = rejected.find(key); problem != rejected.end()) {
    return problem->second.kept_hash;
  }
  if (acknowledged == nullptr) {
    return 0;
  }
  const compile::ResourceSet::Entry* resource = acknowledged->resources.Find(key);
  return resource == nullptr ? 0 : resource->second->hash;
}

void Fleet::AddListener(Listener listener) {
  std::lock_guard guard(mutex_);
  listeners_.push_back(std::move(listener));
}

void Fleet::Update(uint64_t stream, NodeReport report) {
  {
    std::lock_guard guard(mutex_);
    const auto [known, is_new] = streams_.try_emplace(stream);
    if (is_new) {
      ++nodes_[report.node];
    }
    known->second = std::move(report);
  }
  Notify();
}

void Fleet::Remove(uint64_t stream) {
  {
    std::lock_guard guard(mutex_);
    const auto known = streams_.find(stream);
    if (known == streams_.end()) {
      return;
    }
    const auto node = nodes_.find(known->second.node);
    if (--node->second == 0) {
      nodes_.erase(node);
    }
    streams_.erase(known);
  }
  Notify();
}

std::vector<NodeReport> Fleet::Nodes() const {
  std::lock_guard guard(mutex_);
  std::map<std::string, const NodeReport*> newest;  // streams_ is in order of age
  for (const auto& [stream, report] : streams_) {
    newest[report.node] = &report;
  }
  std::vector<NodeReport> nodes;
  nodes.reserve(newest.size());
  for (const auto& [node, report] : newest) {
    nodes.push_back(*report);
  }
  return nodes;
}

size_t Fleet::connected() const {
  std::lock_guard guard(mutex_);
  return nodes_.size();
}

void Fleet::Notify() {
  std::vector<Listener> listeners;
  {
    std::lock_guard guard(mutex_);
    listeners = listeners_;
  }
  for (const Listener& listener : listeners) {
    listener();
  }
}

}  // namespace rota::serve
