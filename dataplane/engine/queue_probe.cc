#include "dataplane/engine/queue_probe.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

namespace rota::engine {

QueueProbe::QueueProbe(Poller& poller, const Clock& clock, Overload& overload)
    : poller_(poller),
      clock_(clock),
      overload_(overload),
      descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      sent_(clock.Now()) {
  set_patience(Patience::kWaits);  // as a request does
  if (descriptor_ >= 0 && poller_.Add(descriptor_, EPOLLIN | EPOLLET, *this)) {
    is_under_way_ = false;
  } else if (descriptor_ >= 0) {
    ::close(std::exchange(descriptor_, -1));
  }
}

QueueProbe::~QueueProbe() { Close(); }

void QueueProbe::Close() {
  if (descriptor_ >= 0) {
    poller_.Remove(*this);
    ::close(std::exchange(descriptor_, -1));
    is_under_way_ = true;
  }
}

bool QueueProbe::AfterTurn(size_t events) {
  const bool has_come = std::exchange(has_come_, false);
  const bool had_work = events > (has_come ? 1U : 0U);
  if (had_work && !is_under_way_ && poller_.turn_time() - sent_ >= kInterval) {
    sent_ = clock_.Now();
    const uint64_t one = 1;
    is_under_way_ = ::write(descriptor_, &one, sizeof(one)) == sizeof(one);
  }
  return has_come;
}

void QueueProbe::OnReady(uint32_t) {
  const MonotonicTime now = clock_.Now();
  is_under_way_ = false;
  has_come_ = true;
  wait_ = now - sent_;
  overload_.Observe(wait_, now);
}

}  // namespace rota::engine
