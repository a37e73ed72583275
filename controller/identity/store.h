#pragma once

// Where the authority, the bundle and the certificate are kept. A seam: Kubernetes, or a test's
// memory.

#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/identity/plan.h"

namespace rota::identity {

// What was read, and which version of each object that was ("": there was none).
struct Seen {
  Stored stored;
  std::string authority_version;
  std::string bundle_version;
  std::string serving_version;
};

// Thread-compatible.
class Store {
 public:
  virtual ~Store() = default;
  // The authority is read last, and only when it is asked for: who writes on the strength of it
  // then finds every other object changed if that is based on a newer authority.
  virtual absl::StatusOr<Seen> Read(bool with_authority, std::stop_token stop) = 0;
  // Aborted when the object is not what was seen any more: nothing is written then.
  virtual absl::Status Write(const Change& change, const Seen& seen, std::stop_token stop) = 0;
};

}  // namespace rota::identity
