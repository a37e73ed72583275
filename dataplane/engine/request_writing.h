#pragma once

// A request on its way to an upstream, with an eye on what comes back meanwhile. An upstream may
// refuse a request before it has all of it (413, 429) and read no further: the rest is then not
// sent (RFC 9112 9.5). An answer below 400 does not stop the request, since some servers answer
// while they read. Of an answer nothing is consumed but interim ones (1xx): it is for whoever reads
// it next.
//
// Does not suspend when the socket takes everything at once. Once it has resumed its caller nothing
// uses the request's bytes any more. Single-thread (owner: the loop).

#include <coroutine>
#include <span>

#include "dataplane/engine/deadline.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/engine/input.h"
#include "dataplane/engine/loop.h"
#include "dataplane/engine/stream.h"
#include "dataplane/engine/upstream_connection.h"

namespace rota::engine {

// `const bool is_written = co_await writing`.
class RequestWriting final : private StallGuard, private Input::Listener {
 public:
  // Consumes `parts`.
  RequestWriting(Loop& loop, UpstreamConnection& connection, std::span<iovec> parts);
  RequestWriting(const RequestWriting&) = delete;
  RequestWriting& operator=(const RequestWriting&) = delete;

  bool await_ready() { return writing_.await_ready(); }
  void await_suspend(std::coroutine_handle<> handle) { writing_.await_suspend(handle); }
  bool await_resume() const { return writing_.await_resume().ok(); }
  // The upstream took nothing for too long.
  bool timed_out() const { return timed_out_; }

 private:
  enum class Seen { kNothing, kAnswer, kRefusal };

  void OnWriteStalled() override;
  void OnWriteDone() override;
  void OnUnawaitedInput() override;
  void OnDeadline();
  Seen LookAtAnswer();

  Loop& loop_;
  Input& input_;
  Writing writing_;
  Deadline deadline_;
  HeadScanner scanner_;
  Seen seen_ = Seen::kNothing;
  bool timed_out_ = false;
};

}  // namespace rota::engine
