#pragma once

// The Kubernetes API as calls: list, watch, get, apply a status, and any other request. Knows
// groups, versions and plurals, but no resource of ours.
//
// Errors are the statuses of error.h; messages say what was tried and on which resource, never a
// body of a Secret. Thread-safe.

#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "controller/kube/transport.h"
#include "controller/kube/watch_stream.h"
#include "nlohmann/json.hpp"

namespace rota::kube {

struct Resource {
  std::string group;  // "" is the core group
  std::string version;
  std::string plural;
  std::string kind;

  // "apis.gateway.rota.dev", "secrets".
  std::string ToString() const { return group.empty() ? plural : plural + "." + group; }
};

// Where to look: one namespace or ("") all of them, everything there or one object.
struct Scope {
  Resource resource;
  std::string ns;
  bool metadata_only = false;  // PartialObjectMetadata: names and versions, no content
  // "": all. Else a Role with this name in its resourceNames is enough to list and watch.
  std::string name{};

  // "secrets in namespace a", "secrets 'b' in namespace a", "apis.gateway.rota.dev in all
  // namespaces"
  std::string ToString() const;
};

struct ListPage {
  std::vector<nlohmann::json> items;
  std::string resource_version;
  std::string continue_token;
};

struct WatchOptions {
  std::string resource_version;
  // A streaming list: everything that exists as ADDED, a bookmark that ends it (IsEndOfList()),
  // then what happens. Takes the place of `resource_version`.
  bool sends_initial_events = false;
  Duration timeout = std::chrono::seconds(300);  // the server ends the watch after it
  Duration idle_margin = std::chrono::seconds(5);
};

// The bookmark after the initial events of a streaming list.
bool IsEndOfList(const WatchEvent& event);

class KubeApi {
 public:
  // `transport` must outlive the client.
  explicit KubeApi(HttpTransport& transport);

  // One page of at most `limit` objects (0: all at once). At the newest state; pages after the
  // first with the continue token of the one before.
  absl::StatusOr<ListPage> List(const Scope& scope, int limit, const std::string& continue_token,
                                std::stop_token stop) const;

  // Watches until the stream ends. `on_open` is called when the server has said 200, `on_event` for
  // each event (false ends the watch). OK: it was open and has ended, whatever ended it; DataLoss
  // or ResourceExhausted: an event could not be read; other errors: it was never open.
  absl::Status Watch(const Scope& scope, const WatchOptions& options,
                     const std::function<void()>& on_open, const WatchStream::Receiver& on_event,
                     std::stop_token stop) const;

  // The newest state. With `not_older_than` (a resourceVersion that was seen) the server may answer
  // from its memory, if that is as new: a fraction of the cost of asking etcd.
  absl::StatusOr<nlohmann::json> Get(const Resource& resource, const std::string& ns,
                                     const std::string& name, std::stop_token stop,
                                     const std::string& not_older_than = "") const;

  // Server-side apply of `status` with force, as `field_manager`: our fields become exactly these.
  // Returns the object. A namesake that was created since takes the status as well (the server does
  // not look at `uid` here, old ones did): compare metadata.uid of what is returned.
  absl::StatusOr<nlohmann::json> ApplyStatus(const Resource& resource, const std::string& ns,
                                             const std::string& name, const std::string& uid,
                                             const nlohmann::json& status,
                                             const std::string& field_manager,
                                             std::stop_token stop) const;

  // Any other call; `body` null sends none.
  absl::StatusOr<nlohmann::json> Call(const std::string& method, const std::string& target,
                                      const nlohmann::json& body, const std::string& content_type,
                                      std::stop_token stop, const HttpLimits& limits = {}) const;

  // "/apis/<group>/<version>/namespaces/<ns>/<plural>[/<name>]", parts encoded.
  static std::string PathOf(const Resource& resource, const std::string& ns,
                            const std::string& name = "");

 private:
  absl::StatusOr<nlohmann::json> Exchange(HttpRequest request, std::string_view what,
                                          std::stop_token stop,
                                          const HttpLimits& limits = {}) const;

  HttpTransport& transport_;
  const std::string user_agent_;
};

}  // namespace rota::kube
