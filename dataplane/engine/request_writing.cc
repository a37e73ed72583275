#include "dataplane/engine/request_writing.h"

#include <string_view>

namespace rota::engine {
namespace {

// Of an answer that comes while the request is still being sent.
constexpr size_t kMaxReadAhead = 128 << 10;

}  // namespace

RequestWriting::RequestWriting(Loop& loop, UpstreamConnection& connection, std::span<iovec> parts)
    : loop_(loop),
      input_(connection.input()),
      writing_(connection.stream(), parts, *this),
      deadline_(
          loop.wheel(), [](void* self) { static_cast<RequestWriting*>(self)->OnDeadline(); },
          this) {
  input_.Start();
}

void RequestWriting::OnWriteStalled() {
  // Only now: most requests are taken at once, and their answer has a reader by the time it comes.
  input_.set_listener(this);
  deadline_.Set(loop_.TurnTime() + loop_.limits().body_read_time);
}

void RequestWriting::OnWriteDone() {
  input_.set_listener(nullptr);
  deadline_.Clear();
}

// The connection stays open: what has come until now is still an answer.
void RequestWriting::OnDeadline() {
  timed_out_ = true;
  writing_.Abandon();  // may destroy this
}

void RequestWriting::OnUnawaitedInput() {
  if (seen_ == Seen::kNothing) {
    seen_ = LookAtAnswer();
  }
  // Who has hung up says no more, however much of the request it gets.
  if (seen_ == Seen::kRefusal || input_.ended()) {
    writing_.Abandon();  // may destroy this
  } else if (input_.view().size() < kMaxReadAhead) {
    input_.Start();
  }
}

RequestWriting::Seen RequestWriting::LookAtAnswer() {
  while (true) {
    const std::string_view answer = input_.view();
    const HeadScanner::Result found = scanner_.Scan(answer);
    if (found == HeadScanner::Result::kIncomplete) {
      return answer.size() > loop_.limits().head_bytes ? Seen::kRefusal : Seen::kNothing;
    }
    ResponseHead head;
    // What is no answer is as good as a refusal: it is found to be none when it is read.
    if (found != HeadScanner::Result::kComplete ||
        ParseResponseHead(answer.substr(0, scanner_.size()), head) != HeadError::kNone ||
        head.status == 101 || head.status >= 400) {
      return Seen::kRefusal;
    }
    if (head.status >= 200) {
      return Seen::kAnswer;
    }
    input_.Consume(scanner_.size());
    scanner_.Reset();
  }
}

}  // namespace rota::engine
