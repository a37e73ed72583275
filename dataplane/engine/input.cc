#include "dataplane/engine/input.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rota::engine {

void Buffer::Consume(size_t bytes, bool may_rewind) {
  begin_ += bytes;
  if (begin_ == end_ && may_rewind) {
    begin_ = end_ = 0;
  }
}

void Buffer::Append(std::string_view bytes) {
  Reserve(bytes.size());
  std::memcpy(bytes_.get() + end_, bytes.data(), bytes.size());
  end_ += bytes.size();
}

void Buffer::Reserve(size_t bytes) {
  if (capacity_ - end_ >= bytes && bytes_ != nullptr) {
    return;
  }
  const size_t content = size();
  if (bytes_ != nullptr && capacity_ - content >= bytes && content <= capacity_ / 4) {
    std::memmove(bytes_.get(), bytes_.get() + begin_, content);
  } else {
    const size_t capacity = std::max(content + bytes, std::min(capacity_ * 2, content + (1 << 20)));
    // Not zeroed: pages that no byte is read into cost no memory.
    std::unique_ptr<char[]> grown(new char[capacity]);
    if (content > 0) {
      std::memcpy(grown.get(), bytes_.get() + begin_, content);
    }
    bytes_ = std::move(grown);
    capacity_ = capacity;
  }
  begin_ = 0;
  end_ = content;
}

void Buffer::Release() {
  bytes_.reset();
  begin_ = end_ = capacity_ = 0;
}

void Input::Start(size_t bytes) {
  if (reading_ || ended()) {
    return;
  }
  if (buffer_.empty()) {
    buffer_.Clear();
    if (buffer_.capacity() > 4 * bytes) {
      buffer_.Release();  // a large body has been here: idle connections stay small
    }
  }
  buffer_.Reserve(bytes);
  reading_ = true;
  const std::span<char> room = buffer_.room();
  stream_.StartRead(room.data(), room.size(), *this);
}

void Input::Swap(Buffer& buffer) { std::swap(buffer_, buffer); }

void Input::ReleaseMemory() {
  if (!reading_ && buffer_.empty()) {
    buffer_.Release();
  }
}

bool Input::MoreAwaiter::await_ready() {
  if (input.fresh_ || input.ended()) {
    input.fresh_ = false;
    return true;
  }
  input.Start(bytes);
  return false;
}

void Input::OnIo(IoResult result) {
  reading_ = false;
  buffer_.Grow(result.bytes);
  total_bytes_ += result.bytes;
  if (!result.ok()) {
    error_ = result.error;
  }
  if (waiter_) {
    fresh_ = false;
    std::exchange(waiter_, nullptr).resume();
    return;
  }
  fresh_ = true;
  if (listener_ != nullptr) {
    listener_->OnUnawaitedInput();
  }
}

}  // namespace rota::engine
