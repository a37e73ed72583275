#include "dataplane/engine/upstream_pool.h"

#include <algorithm>
#include <utility>

namespace rota::engine {

UpstreamPool::~UpstreamPool() = default;

std::unique_ptr<UpstreamConnection> UpstreamPool::Take(const std::string& key) {
  const auto found = connections_.find(key);
  while (found != connections_.end() && !found->second.empty()) {
    std::unique_ptr<UpstreamConnection> connection = std::move(found->second.back());
    found->second.pop_back();
    --idle_;
    if (connection->Wake()) {
      return connection;
    }
    UpstreamConnection::Discard(std::move(connection));
  }
  return nullptr;
}

void UpstreamPool::Give(std::unique_ptr<UpstreamConnection> connection) {
  const bool is_old = loop_.TurnTime() - connection->created() > kMaxAge;
  if (connections_.size() >= kMaxKeys) {
    std::erase_if(connections_, [](const auto& item) { return item.second.empty(); });
  }
  const auto found = connections_.find(connection->pool_key());
  const bool is_full = found == connections_.end() ? connections_.size() >= kMaxKeys
                                                   : found->second.size() >= max_idle_per_key_;
  if (closed_ || is_old || is_full || max_idle_per_key_ == 0 || idle_ >= max_idle_) {
    UpstreamConnection::Discard(std::move(connection));
    return;
  }
  UpstreamConnection& idle = *connection;
  connections_[idle.pool_key()].push_back(std::move(connection));
  ++idle_;
  idle.BecomeIdle(*this, kIdleTime);
}

void UpstreamPool::Remove(UpstreamConnection& connection) {
  const auto found = connections_.find(connection.pool_key());
  if (found == connections_.end()) {
    return;
  }
  auto& list = found->second;
  const auto at = std::find_if(list.begin(), list.end(), [&connection](const auto& item) {
    return item.get() == &connection;
  });
  if (at == list.end()) {
    return;
  }
  std::unique_ptr<UpstreamConnection> dead = std::move(*at);
  list.erase(at);
  --idle_;
  UpstreamConnection::Discard(std::move(dead));
}

void UpstreamPool::Clear() {
  closed_ = true;
  for (auto& [key, list] : connections_) {
    for (auto& connection : list) {
      UpstreamConnection::Discard(std::move(connection));
    }
  }
  connections_.clear();
  idle_ = 0;
}

}  // namespace rota::engine
