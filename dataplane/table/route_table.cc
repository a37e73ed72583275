#include "dataplane/table/route_table.h"

#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/table/path.h"

namespace rota::table {
namespace {

// Mounts with more segments are refused by the builder.
constexpr size_t kMaxMountSegments = 64;

size_t CountSlashes(std::string_view path) {
  return static_cast<size_t>(std::count(path.begin(), path.end(), '/'));
}

}  // namespace

std::string_view EnvironmentName(Environment environment) {
  return environment == Environment::kSandbox ? "sandbox" : "production";
}

RouteTable::RouteTable(Options options, std::vector<std::shared_ptr<const Api>> apis,
                       std::vector<Collision>* collisions)
    : options_(std::move(options)), apis_(std::move(apis)) {
  mounts_.reserve(apis_.size() * 2);
  for (const std::shared_ptr<const Api>& api : apis_) {
    for (const std::string& path : api->mounts) {
      Mount(path, *api, collisions);
    }
  }
  // Second: "/v1" belongs to version "v1" where there is one, else to the largest "v1.x".
  std::vector<const Api*> by_minor;
  for (const std::shared_ptr<const Api>& api : apis_) {
    if (api->major_mount.has_value()) {
      by_minor.push_back(api.get());
    }
  }
  std::stable_sort(by_minor.begin(), by_minor.end(),
                   [](const Api* a, const Api* b) { return a->minor_version > b->minor_version; });
  for (const Api* api : by_minor) {
    Mount(*api->major_mount, *api, nullptr);
  }
}

bool RouteTable::Mount(const std::string& path, const Api& api,
                       std::vector<Collision>* collisions) {
  const auto [place, is_new] = mounts_.emplace(path, &api);
  if (is_new) {
    deepest_mount_ = std::max(deepest_mount_, std::min(CountSlashes(path), kMaxMountSegments));
  } else if (collisions != nullptr && place->second != &api) {
    collisions->push_back({&api, place->second, path});
  }
  return is_new;
}

const Api* RouteTable::FindApi(std::string_view path, std::string_view& mount) const {
  std::array<size_t, kMaxMountSegments + 1> ends;  // of the first segments, one after the other
  size_t count = 0;
  ends[count++] = 0;
  for (size_t place = 1; count <= deepest_mount_ && place <= path.size();) {
    const size_t end = std::min(path.find('/', place), path.size());
    ends[count++] = end;
    place = end + 1;
  }
  while (count-- > 0) {
    const auto found = mounts_.find(absl::string_view(path.data(), ends[count]));
    if (found != mounts_.end()) {
      mount = path.substr(0, ends[count]);
      return found->second;
    }
  }
  return nullptr;
}

Match RouteTable::Find(std::string_view host, std::string_view method,
                       std::string_view path) const {
  Match match;
  match.environment = EnvironmentOf(host);
  SettledPath settled;
  if (!settled.Settle(path)) {
    match.status = MatchStatus::kBadPath;
    return match;
  }
  std::string_view mount;
  match.api = FindApi(settled.decoded(), mount);
  if (match.api == nullptr) {
    return match;
  }
  const std::string_view target = settled.decoded().substr(mount.size());
  const OperationIndex::Found found = match.api->index.Find(target, method);
  if (!found.path_exists) {
    return match;
  }
  if (found.operation < 0) {
    match.status = MatchStatus::kMethodNotAllowed;
    match.allow = match.api->index.Allowed(target);
    return match;
  }
  const Operation& operation = match.api->operations[static_cast<size_t>(found.operation)];
  const std::optional<Route>& route =
      match.environment == Environment::kSandbox ? operation.sandbox : operation.production;
  if (!route.has_value()) {
    match.status = MatchStatus::kNoEnvironment;
    return match;
  }
  match.status = MatchStatus::kOk;
  match.operation = &operation;
  match.route = &*route;
  std::string_view upstream = settled.RawBehind(mount);
  if (!found.keeps_trailing_slash && !upstream.empty() && upstream.back() == '/') {
    upstream.remove_suffix(1);
  }
  match.upstream_path = upstream.empty() ? "/" : upstream;
  return match;
}

}  // namespace rota::table
