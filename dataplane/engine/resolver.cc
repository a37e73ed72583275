#include "dataplane/engine/resolver.h"

#include <netdb.h>
#include <pthread.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace rota::engine {
namespace {

constexpr Duration kFresh = std::chrono::seconds(30);
constexpr Duration kFreshFailure = std::chrono::seconds(1);
constexpr Duration kStale = std::chrono::minutes(5);

std::string LowerName(std::string_view host) {
  std::string name(host);
  absl::AsciiStrToLower(&name);
  if (!name.empty() && name.back() == '.') {
    name.pop_back();
  }
  return name;
}

}  // namespace

Resolver::Resolver(std::vector<ResolveOverride> overrides, const Clock& clock, Lookup lookup)
    : overrides_(std::move(overrides)), clock_(clock), lookup_(std::move(lookup)) {
  for (size_t i = 0; i < kThreads; ++i) {
    threads_.emplace_back([this](std::stop_token stop) { Run(stop); });
    pthread_setname_np(threads_.back().native_handle(), "rota-resolver");
  }
}

Resolver::~Resolver() {
  for (std::jthread& thread : threads_) {
    thread.request_stop();
  }
  changed_.notify_all();
}

bool Resolver::TryResolve(std::string_view host, uint16_t port, Resolution& out) {
  for (const ResolveOverride& entry : overrides_) {
    if (entry.port == port && LowerName(entry.host) == LowerName(host)) {
      if (const auto address = SocketAddress::Parse(entry.address.host, entry.address.port)) {
        out = Resolution{{*address}, /*is_override=*/true, ""};
        return true;
      }
    }
  }
  if (const auto literal = SocketAddress::Parse(host, port)) {
    out = Resolution{{*literal}, /*is_override=*/false, ""};
    return true;
  }
  std::lock_guard guard(mutex_);
  const auto found = entries_.find(LowerName(host));
  if (found == entries_.end()) {
    return false;
  }
  const Entry& entry = found->second;
  const MonotonicTime now = clock_.Now();
  const bool is_fresh = now < entry.fresh_until;
  if (!is_fresh && (entry.resolution.addresses.empty() || now >= entry.stale_until)) {
    return false;
  }
  out = WithPort(entry.resolution, port);
  return is_fresh || (entry.in_flight && now >= entry.asked + kPatience);
}

void Resolver::Resolve(const std::string& host, uint16_t port, Done done) {
  {
    std::lock_guard guard(mutex_);
    if (waiting_ < kMaxWaiting) {
      EvictLocked(clock_.Now());
      Entry& entry = entries_[LowerName(host)];
      entry.waiting.emplace_back(port, std::move(done));
      ++waiting_;
      if (!std::exchange(entry.in_flight, true)) {
        entry.asked = clock_.Now();
        queue_.push_back(LowerName(host));
      }
      changed_.notify_one();
      return;
    }
  }
  done({{}, false, "too many name lookups are waiting"});
}

void Resolver::EvictLocked(MonotonicTime now) {
  if (entries_.size() < kMaxEntries) {
    return;
  }
  std::erase_if(entries_, [now](const auto& item) {
    return !item.second.in_flight && now >= item.second.stale_until;
  });
  if (entries_.size() >= kMaxEntries) {
    std::erase_if(entries_, [](const auto& item) { return !item.second.in_flight; });
  }
}

void Resolver::Run(std::stop_token stop) {
  while (true) {
    std::string host;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [this] { return !queue_.empty(); });
      if (stop.stop_requested()) {
        return;
      }
      host = std::move(queue_.front());
      queue_.pop_front();
    }
    Finish(host, lookup_(host));
  }
}

void Resolver::Finish(const std::string& host, Resolution resolution) {
  std::vector<std::pair<uint16_t, Done>> waiting;
  {
    std::lock_guard guard(mutex_);
    Entry& entry = entries_[host];
    const MonotonicTime now = clock_.Now();
    const bool failed = resolution.addresses.empty();
    if (!failed) {
      entry.resolution = std::move(resolution);
      entry.stale_until = now + kFresh + kStale;
    } else if (entry.resolution.addresses.empty() || now >= entry.stale_until) {
      entry.resolution = std::move(resolution);
      entry.stale_until = now + kFreshFailure;
    }
    entry.fresh_until = now + (failed ? kFreshFailure : kFresh);
    entry.in_flight = false;
    waiting.swap(entry.waiting);
    waiting_ -= waiting.size();
    resolution = entry.resolution;
  }
  for (auto& [port, done] : waiting) {
    done(WithPort(resolution, port));
  }
}

Resolution Resolver::WithPort(Resolution resolution, uint16_t port) {
  for (SocketAddress& address : resolution.addresses) {
    address.set_port(port);
  }
  return resolution;
}

Resolution Resolver::SystemLookup(const std::string& host) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  int code = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  if (code == EAI_NONAME || code == EAI_ADDRFAMILY || code == EAI_NODATA) {
    // AI_ADDRCONFIG ignores loopback interfaces: on a machine without a network "localhost" has no
    // address.
    hints.ai_flags = 0;
    code = getaddrinfo(host.c_str(), nullptr, &hints, &list);
  }
  Resolution result;
  if (code != 0) {
    result.error = absl::StrCat("name lookup: ", gai_strerror(code));
    return result;
  }
  for (const addrinfo* item = list; item != nullptr; item = item->ai_next) {
    if (item->ai_family == AF_INET || item->ai_family == AF_INET6) {
      result.addresses.emplace_back(item->ai_addr, item->ai_addrlen);
    }
  }
  freeaddrinfo(list);
  if (result.addresses.empty()) {
    result.error = "name lookup: no address";
  }
  return result;
}

}  // namespace rota::engine
