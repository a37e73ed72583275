#pragma once

// What outlives a snapshot: the rotations' positions and the targets' suspensions, by stable
// identity.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/rotation/rotation.h"

namespace rota::rotation {

// Thread-safe.
class Registry {
 public:
  // Called for each statement that this process makes: a suspension that it decided, also when one
  // is extended, and each statement that it lifts, whose ever it was. From the thread that decided;
  // it must not block and must not call back.
  using Listener = SuspensionListener;

  // `node` is the origin of this process's own suspensions. Their epochs count up from
  // `first_epoch`, which has to be larger than any that an earlier process of the same node has
  // used (wall time in milliseconds will do), or what this one says is taken for old.
  explicit Registry(std::string node, Listener listener = nullptr, uint64_t first_epoch = 0);
  ~Registry();

  // The rhythm of rotations that are made from now on. Data planes that are numbered 0, 1, 2 ...
  // (Welcome.rotation_phase) pick so that their sum stays near the exact share.
  void SetPhase(uint64_t phase);
  // The rotation of that id. An unchanged spec gives the same object, position and all; a changed
  // one a new object in which the surviving targets keep their suspensions and failure counts.
  std::shared_ptr<Rotation> Resolve(const RotationSpec& spec);
  // Forgets rotations and targets that the published table no longer has.
  void Forget(const std::vector<std::string>& rotation_ids,
              const std::vector<std::string>& target_ids);

  // What other data planes know, by way of the controller. Idempotent, in any order: of one origin
  // the highest epoch counts, of one epoch `lifted`, of one statement its earliest end (a
  // repetition may have been under way for longer). A target that is not (yet) configured is
  // remembered until it expires (bounded).
  void ApplyRemote(const std::vector<Suspension>& items, MonotonicTime now);

  // Ends all suspensions of a target (credential changed, or a person asked for it). `generation`:
  // the configuration that has brought the new credential; what is learned by one before it does
  // not count any more. 0: the credential is as it was.
  void Lift(const std::string& target, MonotonicTime now, uint64_t generation = 0);
  // Every suspension that has not ended, own and remote (one per target: the latest end).
  std::vector<Suspension> Active(MonotonicTime now) const;
  // Those that this process decided: repeated to a controller at once after a reconnect.
  std::vector<Suspension> Own(MonotonicTime now) const;
  // Every statement that has not ended, of every origin, lifted ones included: what a controller
  // that lacks some of them is told.
  std::vector<Suspension> Known(MonotonicTime now) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace rota::rotation
