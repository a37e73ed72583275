#pragma once

// What the whole fleet knows about suspended targets. Statements come from data planes and from
// other replicas in any order and any number of times; the merge is commutative and idempotent: of
// one (target, origin) the highest epoch wins, of one epoch `lifted`, of one statement its earliest
// end (a repetition may have been held up), across origins the latest end counts. Soft state: data
// planes repeat what a controller lacks after every reconnect, so one that restarts forgets nothing
// for long.
//
// Ends are monotonic times of this process. Thread-safe; never calls back.

#include <cstdint>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/proto_duration.h"
#include "common/remote_clock.h"
#include "rota/sync/v1/sync.pb.h"

namespace rota::serve {

struct SharedSuspension {
  std::string target;
  std::string origin;
  rota::sync::v1::SuspensionReason reason = rota::sync::v1::SUSPENSION_REASON_UNSPECIFIED;
  uint64_t epoch = 0;
  MonotonicTime until;
  bool lifted = false;  // counts no more; remembered until its end
  // Of AUTH: another data plane has said so while this statement stood. The hub's own knowledge: it
  // does not travel.
  bool confirmed = false;
};

// As it goes on the wire: the end as what remains at `now`.
rota::sync::v1::Suspension ToProto(const SharedSuspension& suspension, MonotonicTime now);
using rota::FromProto;
using rota::ToProto;

// (target, origin): in this order statements are listed.
using StatementKey = std::pair<std::string, std::string>;

struct SuspensionHubOptions {
  // Beyond: the one that ends first is dropped and counted. 10,000 APIs with a suspended model
  // each, witnessed by six data planes; about 400 bytes each.
  size_t max_statements = 65'536;
  size_t max_name_bytes = 256;  // of a target or an origin; longer ones are ignored and counted
};

// What a merge has brought to light.
struct HubChanges {
  std::vector<SharedSuspension> news;    // what this controller did not know: for its peers
  std::vector<SharedSuspension> shared;  // what its data planes have to be told

  void Append(const HubChanges& more) {
    news.insert(news.end(), more.news.begin(), more.news.end());
    shared.insert(shared.end(), more.shared.begin(), more.shared.end());
  }
};

class SuspensionHub {
 public:
  using Items = google::protobuf::RepeatedPtrField<rota::sync::v1::Suspension>;

  explicit SuspensionHub(SuspensionHubOptions options = {}) : options_(options) {}

  // Statements of the data plane `node`: its own ones (origin empty or `node`), and those of others
  // that it finds missing here. `sent`: when they were sent, by the clock of this process. An AUTH
  // statement (a broken pod, or a broken credential?) is taken from its origin only, and shared
  // only when a second data plane says so at the same time, or when there is no second one in the
  // whole fleet. Once it is shared for the former reason it stays so to its lift or end, and so
  // does what its origin says of AUTH in its place: others have acted on it, whatever the second
  // says.
  HubChanges Merge(const std::string& node, const Items& items, MonotonicTime sent,
                   MonotonicTime now);
  // Statements that another replica knows.
  HubChanges MergeFromPeer(const Items& items, MonotonicTime sent, MonotonicTime now);
  // A person ends every suspension of a target that is known here.
  HubChanges Lift(const std::string& target, MonotonicTime now);

  // How many data planes are connected, here and at other replicas: decides how many witnesses AUTH
  // needs.
  void set_connected(size_t data_planes);
  void set_connected_elsewhere(size_t data_planes);

  // For a data plane that has just connected: what is shared; at most `count` that follow `after`.
  std::vector<SharedSuspension> Shared(MonotonicTime now, const StatementKey& after = {},
                                       size_t count = SIZE_MAX) const;
  // For a replica that has just connected: the same of everything.
  std::vector<SharedSuspension> Known(MonotonicTime now, const StatementKey& after = {},
                                      size_t count = SIZE_MAX) const;
  // For people and status: per target the statement that ends last, shared or not yet.
  std::vector<SharedSuspension> Active(MonotonicTime now) const;
  // When the next active suspension ends, MonotonicTime::max() without one.
  MonotonicTime NextEnd(MonotonicTime now) const;
  // Statements that were dropped at the bound or ignored as malformed.
  uint64_t dropped() const;

 private:
  using Statements = std::map<std::string, SharedSuspension>;  // by origin
  // Those that end first come first; the statements are those of targets_.
  using Ends = std::set<std::pair<MonotonicTime, const SharedSuspension*>>;

  bool IsShared(const SharedSuspension& statement) const;
  // False for what is malformed, which is counted.
  bool Read(const rota::sync::v1::Suspension& item, MonotonicTime sent,
            SharedSuspension& statement);
  static bool IsNews(const SharedSuspension& known, const SharedSuspension& incoming);
  void MergeOne(SharedSuspension incoming, MonotonicTime now, HubChanges& changes);
  static void Confirm(Statements& statements, MonotonicTime now);
  template <typename Filter>
  std::vector<SharedSuspension> Collect(const StatementKey& after, size_t count,
                                        Filter filter) const;
  static const SharedSuspension* LastActive(const Statements& statements, MonotonicTime now);
  void Put(const SharedSuspension& statement);
  void Prune(MonotonicTime now);
  void EraseFirstEnd();

  const SuspensionHubOptions options_;
  mutable std::mutex mutex_;
  std::map<std::string, Statements> targets_;
  Ends ends_;  // of all statements
  size_t connected_ = 0;
  size_t connected_elsewhere_ = 0;
  uint64_t dropped_ = 0;
};

}  // namespace rota::serve
