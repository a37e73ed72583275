#include "dataplane/engine/overload.h"

namespace rota::engine {

void Overload::Observe(Duration wait, MonotonicTime now) {
  if (max_wait_ == Duration::zero() || wait <= max_wait_) {
    too_long_since_.reset();
    is_overloaded_ = false;
    requests_ = 0;
    return;
  }
  if (!too_long_since_.has_value()) {
    too_long_since_ = now - wait;
  }
  is_overloaded_ = now - *too_long_since_ >= max_wait_ * kPatience;
}

bool Overload::Refuses() {
  if (!is_overloaded_ || ++requests_ < kRefusedOf) {
    return false;
  }
  requests_ = 0;
  return true;
}

}  // namespace rota::engine
