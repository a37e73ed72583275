#pragma once

// Suspensions that this data plane decided and has yet to report: one per target, the newest.
// Bounded: beyond, the one that ends first is dropped and counted (the others of the fleet learn it
// from their own upstream then). Single-thread (SyncClient guards it).

#include <cstdint>
#include <map>
#include <string>

#include "common/clock.h"
#include "dataplane/rotation/rotation.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::sync {

class SuspensionOutbox {
 public:
  explicit SuspensionOutbox(size_t capacity = 4096) : capacity_(capacity) {}

  // An end that has come already means that the suspension was lifted.
  void Add(const rotation::Suspension& suspension, MonotonicTime now);
  // Up to `limit` of them as a message, to be given back (Restore) when it could not be written.
  rota::sync::v1::SuspensionReport Take(size_t limit, MonotonicTime now);
  void Restore(const rota::sync::v1::SuspensionReport& report, MonotonicTime now);

  bool empty() const { return items_.empty(); }
  uint64_t dropped() const { return dropped_; }

 private:
  struct Item {
    rotation::Suspension suspension;
    bool lifted = false;
  };
  void Insert(Item item);

  const size_t capacity_;
  std::map<std::string, Item> items_;  // by target
  uint64_t dropped_ = 0;
};

// Both directions of the wire form.
rota::sync::v1::SuspensionReason ToProto(rotation::Reason reason);
rotation::Reason FromProto(rota::sync::v1::SuspensionReason reason);
Duration FromProto(const google::protobuf::Duration& duration);
void ToProto(Duration duration, google::protobuf::Duration& out);

}  // namespace rota::sync
