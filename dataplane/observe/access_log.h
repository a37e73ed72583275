#pragma once

// One JSON line per finished request: no bodies, no secrets, no query string.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/clock.h"

namespace rota::observe {

struct AccessRecord {
  std::string_view request_id;
  std::string_view client;  // address
  std::string_view method;
  std::string_view host;
  std::string_view path;  // without query
  std::string_view api;   // "<namespace>/<name>", "" when none matched
  std::string_view environment;
  std::string_view model;
  std::string_view target;
  int status = 0;
  uint32_t tries = 0;
  uint64_t request_bytes = 0;   // body
  uint64_t response_bytes = 0;  // body
  Duration total{};
  Duration upstream{};
  std::string_view error;  // x-rota-error code, or ""
};

// Thread-safe. Lines are buffered and written by a thread of its own; when the disk cannot keep up,
// lines are dropped and counted, never the requests delayed.
class AccessLog {
 public:
  virtual ~AccessLog() = default;
  virtual void Write(const AccessRecord& record) = 0;
  // SIGHUP: the file is opened anew.
  virtual void Reopen() = 0;
  virtual uint64_t dropped() const = 0;

  // `destination`: a file, "-" (stdout) or "off". `sample`: share of requests logged, 0..1; answers
  // with status >= 400 always are. `clock` (null: the real one) must outlive the log.
  // InvalidArgument for a sample out of range, or what the operating system said about the file.
  static absl::StatusOr<std::unique_ptr<AccessLog>> Open(const std::string& destination,
                                                         double sample, Clock* clock = nullptr);
};

}  // namespace rota::observe
