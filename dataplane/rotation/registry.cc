#include "dataplane/rotation/registry.h"

#include <mutex>
#include <unordered_map>
#include <utility>

#include "dataplane/rotation/suspension_book.h"

namespace rota::rotation {

struct Registry::State {
  State(std::string node, Listener on_suspension, uint64_t first_epoch)
      : book(std::make_shared<SuspensionBook>(std::move(node), first_epoch)),
        listener(std::make_shared<const Listener>(std::move(on_suspension))) {}

  struct Entry {
    std::shared_ptr<ChangeSignal> signal;
    std::shared_ptr<Rotation> rotation;
  };

  const std::shared_ptr<SuspensionBook> book;
  const std::shared_ptr<const Listener> listener;
  std::mutex mutex;
  uint64_t phase = 0;
  std::unordered_map<std::string, Entry> rotations;
};

Registry::Registry(std::string node, Listener listener, uint64_t first_epoch)
    : state_(std::make_unique<State>(std::move(node), std::move(listener), first_epoch)) {}

Registry::~Registry() = default;

void Registry::SetPhase(uint64_t phase) {
  std::lock_guard guard(state_->mutex);
  state_->phase = phase;
}

std::shared_ptr<Rotation> Registry::Resolve(const RotationSpec& spec) {
  std::lock_guard guard(state_->mutex);
  State::Entry& entry = state_->rotations[spec.id];
  if (entry.rotation != nullptr && entry.rotation->spec() == spec) {
    return entry.rotation;
  }
  if (entry.signal == nullptr) {
    entry.signal = std::make_shared<ChangeSignal>(0);
  }
  auto rotation =
      std::make_shared<Rotation>(spec, state_->book, entry.signal, state_->listener, state_->phase);
  if (entry.rotation != nullptr) {
    state_->book->Detach(entry.rotation->spec());
  }
  state_->book->Attach(rotation->spec(), entry.signal);
  entry.rotation = rotation;
  return rotation;
}

void Registry::Forget(const std::vector<std::string>& rotation_ids,
                      const std::vector<std::string>& target_ids) {
  std::lock_guard guard(state_->mutex);
  for (const std::string& id : rotation_ids) {
    const auto found = state_->rotations.find(id);
    if (found != state_->rotations.end()) {
      state_->book->Detach(found->second.rotation->spec());
      state_->rotations.erase(found);
    }
  }
  state_->book->Forget(target_ids);
}

void Registry::ApplyRemote(const std::vector<Suspension>& items, MonotonicTime now) {
  for (const Suspension& item : items) {
    const std::optional<Suspension> told = state_->book->ApplyRemote(item, now);
    if (told.has_value() && *state_->listener) {
      (*state_->listener)(*told);
    }
  }
}

void Registry::Lift(const std::string& target, MonotonicTime now, uint64_t generation) {
  for (const Suspension& told : state_->book->Lift(target, now, generation)) {
    if (*state_->listener) {
      (*state_->listener)(told);
    }
  }
}

std::vector<Suspension> Registry::Active(MonotonicTime now) const {
  return state_->book->Active(now);
}

std::vector<Suspension> Registry::Own(MonotonicTime now) const { return state_->book->Own(now); }

std::vector<Suspension> Registry::Known(MonotonicTime now) const {
  return state_->book->Known(now);
}

}  // namespace rota::rotation
