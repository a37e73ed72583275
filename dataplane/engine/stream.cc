#include "dataplane/engine/stream.h"

namespace rota::engine {

void Writing::OnIo(IoResult result) {
  if (!result.ok()) {
    result_.error = result.error;
  } else if (!Step()) {
    guard_.OnWriteStalled();
    stream_.AwaitWritable(*this);
    return;
  }
  guard_.OnWriteDone();
  handle_.resume();
}

void Writing::Abandon() {
  stream_.StopAwaitingWritable();
  result_.error = IoError::kAborted;
  guard_.OnWriteDone();
  handle_.resume();
}

bool Writing::Step() {
  while (!parts_.empty()) {
    if (parts_.front().iov_len == 0) {
      parts_ = parts_.subspan(1);
      continue;
    }
    const IoResult written = stream_.TryWrite(parts_);
    if (!written.ok()) {
      result_.error = written.error;
      return true;
    }
    if (written.bytes == 0) {
      return false;
    }
    result_.bytes += written.bytes;
    size_t left = written.bytes;
    while (left > 0) {
      iovec& front = parts_.front();
      const size_t taken = left < front.iov_len ? left : front.iov_len;
      front.iov_base = static_cast<char*>(front.iov_base) + taken;
      front.iov_len -= taken;
      left -= taken;
      if (front.iov_len == 0) {
        parts_ = parts_.subspan(1);
      }
    }
  }
  return true;
}

}  // namespace rota::engine
