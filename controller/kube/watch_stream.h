#pragma once

// Takes the body of a watch apart: JSON objects, one per line; chunk boundaries mean nothing.
// Bounded: a line longer than kMaxEventBytes is an error (the server's own limit for an object is 3
// MiB).
//
// Thread-compatible.

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "nlohmann/json.hpp"

namespace rota::kube {

enum class WatchEventType { kAdded, kModified, kDeleted, kBookmark, kError };

struct WatchEvent {
  WatchEventType type = WatchEventType::kAdded;
  nlohmann::json object;
  std::string resource_version;  // of the object; "" only for kError
};

class WatchStream {
 public:
  static constexpr size_t kMaxEventBytes = size_t{8} << 20;

  // Returns false to end: nothing after that event is looked at.
  using Receiver = std::function<bool(WatchEvent)>;

  // Feeds bytes; complete events go to `receiver`. DataLoss when a line is no event (not JSON,
  // unknown type, no resourceVersion), ResourceExhausted when it is too long; the stream is
  // unusable then.
  absl::Status Feed(std::string_view data, const Receiver& receiver);

  bool ended() const { return ended_; }

 private:
  absl::Status Decode(std::string_view line, const Receiver& receiver);

  std::string pending_;
  bool ended_ = false;
};

}  // namespace rota::kube
