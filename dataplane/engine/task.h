#pragma once

// Task<T>: a lazy coroutine of one event loop, and Spawn() that lets one run on its own.
//
// A task resumes its caller directly (no queue, no executor), so that a step that finds its data
// ready costs no trip through the event loop. Rules: a task runs to its end, it is never destroyed
// while it is suspended (whoever wants it to end closes the stream or fires the signal that it
// waits for). Operands of co_await are named variables only: g++ 12 evaluates both sides of `?:`
// and `&&` there. An exception that reaches a task's edge ends the process. Single-thread (owner:
// the loop).

#include <coroutine>
#include <cstddef>
#include <exception>
#include <new>
#include <optional>
#include <utility>

namespace rota::engine {

template <typename T = void>
class Task;

namespace internal {

struct FinalAwaiter {
  bool await_ready() const noexcept { return false; }
  template <typename Promise>
  std::coroutine_handle<> await_suspend(std::coroutine_handle<Promise> handle) const noexcept {
    return handle.promise().continuation;
  }
  void await_resume() const noexcept {}
};

// Memory of coroutine frames: a request makes about ten, all of them shorter than it lives itself.
// Frames are kept by size for the next request of the same thread (the general allocator took 8 %
// of a request's time). Under AddressSanitizer every frame is an allocation of its own, so that a
// use after its end is seen.
struct FrameLists {
  struct Free {
    Free* next;
  };
  static constexpr size_t kStep = 64;   // bytes
  static constexpr size_t kSlots = 64;  // frames of less than 4 KiB
  static constexpr size_t kMaxKept =
      128;  // per size: what many requests at once need is given back
  Free* heads[kSlots] = {};
  size_t counts[kSlots] = {};
  ~FrameLists() {
    for (Free*& head : heads) {
      while (head != nullptr) {
        ::operator delete(std::exchange(head, head->next));
      }
    }
  }
};
inline thread_local FrameLists frame_lists;

inline void* AllocateFrame(size_t bytes) {
#if defined(__SANITIZE_ADDRESS__)
  return ::operator new(bytes);
#else
  FrameLists& lists = frame_lists;
  const size_t slot = (bytes + FrameLists::kStep - 1) / FrameLists::kStep;
  if (slot < FrameLists::kSlots && lists.heads[slot] != nullptr) {
    --lists.counts[slot];
    return std::exchange(lists.heads[slot], lists.heads[slot]->next);
  }
  return ::operator new(slot* FrameLists::kStep);
#endif
}

inline void ReleaseFrame(void* frame, [[maybe_unused]] size_t bytes) {
#if !defined(__SANITIZE_ADDRESS__)
  FrameLists& lists = frame_lists;
  const size_t slot = (bytes + FrameLists::kStep - 1) / FrameLists::kStep;
  if (slot < FrameLists::kSlots && lists.counts[slot] < FrameLists::kMaxKept) {
    lists.heads[slot] = new (frame) FrameLists::Free{lists.heads[slot]};
    ++lists.counts[slot];
    return;
  }
#endif
  ::operator delete(frame);
}

struct PromiseBase {
  static void* operator new(size_t bytes) { return AllocateFrame(bytes); }
  static void operator delete(void* frame, size_t bytes) { ReleaseFrame(frame, bytes); }
  std::coroutine_handle<> continuation = std::noop_coroutine();
  std::suspend_always initial_suspend() const noexcept { return {}; }
  FinalAwaiter final_suspend() const noexcept { return {}; }
  [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
};

template <typename T>
struct Promise : PromiseBase {
  std::optional<T> value;
  Task<T> get_return_object();
  template <typename U>
  void return_value(U&& result) {
    value.emplace(std::forward<U>(result));
  }
  T Take() { return std::move(*value); }
};

template <>
struct Promise<void> : PromiseBase {
  Task<void> get_return_object();
  void return_void() const noexcept {}
  void Take() const noexcept {}
};

}  // namespace internal

template <typename T>
class [[nodiscard]] Task {
 public:
  using promise_type = internal::Promise<T>;
  using Handle = std::coroutine_handle<promise_type>;

  explicit Task(Handle handle) : handle_(handle) {}
  Task(Task&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  Task& operator=(Task&&) = delete;
  ~Task() {
    if (handle_) {
      handle_.destroy();
    }
  }

  bool await_ready() const noexcept { return false; }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
    handle_.promise().continuation = caller;
    return handle_;
  }
  T await_resume() { return handle_.promise().Take(); }

 private:
  Handle handle_;
};

namespace internal {

template <typename T>
Task<T> Promise<T>::get_return_object() {
  return Task<T>(std::coroutine_handle<Promise<T>>::from_promise(*this));
}
inline Task<void> Promise<void>::get_return_object() {
  return Task<void>(std::coroutine_handle<Promise<void>>::from_promise(*this));
}

struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

inline Detached RunDetached(Task<void> task) { co_await task; }

}  // namespace internal

// Starts the task at once; it owns itself from here on.
inline void Spawn(Task<void> task) { internal::RunDetached(std::move(task)); }

// One waiter, woken by Fire(). Fired while nobody waits: the next Wait() returns at once.
class Signal {
 public:
  void Fire() {
    if (waiter_) {
      std::exchange(waiter_, nullptr).resume();
    } else {
      fired_ = true;
    }
  }
  void Reset() { fired_ = false; }
  bool has_waiter() const { return static_cast<bool>(waiter_); }

  struct Awaiter {
    Signal& signal;
    bool await_ready() const noexcept { return std::exchange(signal.fired_, false); }
    void await_suspend(std::coroutine_handle<> handle) noexcept { signal.waiter_ = handle; }
    void await_resume() const noexcept {}
  };
  Awaiter Wait() { return {*this}; }

 private:
  std::coroutine_handle<> waiter_;
  bool fired_ = false;
};

}  // namespace rota::engine
