#pragma once

// Statements about suspensions that have yet to be reported: one per (target, origin), the newest.
// Bounded: beyond, the one that ends first is dropped and counted (the others of the fleet learn it
// from their own upstream then). Single-thread (SyncClient guards it).

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "common/clock.h"
#include "common/proto_duration.h"
#include "dataplane/rotation/rotation.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::sync {

class SuspensionOutbox {
 public:
  explicit SuspensionOutbox(size_t capacity = 4096) : capacity_(capacity) {}

  void Add(const rotation::Suspension& suspension);
  // Up to `limit` of them as a message, to be given back (Restore) when it could not be written;
  // `sent` is the time at which it was taken.
  rota::sync::v1::SuspensionReport Take(size_t limit, MonotonicTime now);
  void Restore(const rota::sync::v1::SuspensionReport& report, MonotonicTime sent);

  bool empty() const { return items_.empty(); }
  uint64_t dropped() const { return dropped_; }

 private:
  const size_t capacity_;
  std::map<std::pair<std::string, std::string>, rotation::Suspension> items_;  // by target, origin
  uint64_t dropped_ = 0;
};

// Both directions of the wire form. `sent`: when `remaining` was reckoned, by the local clock.
rota::sync::v1::Suspension ToProto(const rotation::Suspension& suspension, MonotonicTime now);
rotation::Suspension FromProto(const rota::sync::v1::Suspension& message, MonotonicTime sent);
using rota::FromProto;
using rota::ToProto;
rota::sync::v1::SuspensionReason ToProto(rotation::Reason reason);
rotation::Reason FromProto(rota::sync::v1::SuspensionReason reason);

}  // namespace rota::sync
