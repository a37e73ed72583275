#pragma once

// Hazard pointers: readers use a published object without a lock and without touching a line that
// other readers write, and the writer knows when the object that it replaced is no longer used.
//
//   Pin pin;                                 // reader; at most one per thread at a time
//   const Schedule* schedule = pin.Protect(published_);
//   ...
//   IsPinned(old)                            // writer, after it has replaced the pointer
//
// Slots belong to threads and are reused when a thread ends: as many as there were threads at once.
// Thread-safe. All operations on the published pointer are sequentially consistent.

#include <atomic>

namespace rota::rotation {

// One thread's announcement.
struct alignas(64) PinSlot {
  std::atomic<const void*> pinned{nullptr};
  std::atomic<bool> taken{true};
  PinSlot* next = nullptr;
};

// This thread's slot.
PinSlot& ThreadPinSlot();
// True while some thread may still use `object`.
bool IsPinned(const void* object);

class Pin {
 public:
  Pin() : slot_(ThreadPinSlot()) {}
  ~Pin() { Release(); }
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  // What `published` points to, safe from destruction until Release() or the next Protect().
  template <typename T>
  T* Protect(const std::atomic<T*>& published) {
    T* object = published.load(std::memory_order_acquire);
    for (;;) {
      slot_.pinned.store(object, std::memory_order_seq_cst);
      T* const now = published.load(std::memory_order_seq_cst);
      if (now == object) {
        return object;
      }
      object = now;
    }
  }
  void Release() { slot_.pinned.store(nullptr, std::memory_order_release); }

 private:
  PinSlot& slot_;
};

}  // namespace rota::rotation
