#include "dataplane/rotation/pin.h"

namespace rota::rotation {
namespace {

// Only ever grows at its head; slots are never freed, so that a walk needs no lock.
std::atomic<PinSlot*> slots{nullptr};

PinSlot* TakeSlot() {
  for (PinSlot* slot = slots.load(std::memory_order_acquire); slot != nullptr; slot = slot->next) {
    bool expected = false;
    if (!slot->taken.load(std::memory_order_relaxed) &&
        slot->taken.compare_exchange_strong(expected, true, std::memory_order_acq_rel)) {
      return slot;
    }
  }
  auto* slot = new PinSlot();
  slot->next = slots.load(std::memory_order_relaxed);
  while (!slots.compare_exchange_weak(slot->next, slot, std::memory_order_seq_cst)) {
  }
  return slot;
}

// Gives the slot back when the thread ends.
struct SlotOwner {
  PinSlot* slot = TakeSlot();
  ~SlotOwner() {
    slot->pinned.store(nullptr, std::memory_order_release);
    slot->taken.store(false, std::memory_order_release);
  }
};

// Apart from the owner, because a variable with a destructor costs a check at each use.
thread_local PinSlot* this_thread_slot = nullptr;

PinSlot& MakeThreadSlot() {
  thread_local SlotOwner owner;
  this_thread_slot = owner.slot;
  return *owner.slot;
}

}  // namespace

PinSlot& ThreadPinSlot() {
  return this_thread_slot != nullptr ? *this_thread_slot : MakeThreadSlot();
}

bool IsPinned(const void* object) {
  for (PinSlot* slot = slots.load(std::memory_order_seq_cst); slot != nullptr; slot = slot->next) {
    if (slot->pinned.load(std::memory_order_seq_cst) == object) {
      return true;
    }
  }
  return false;
}

}  // namespace rota::rotation
