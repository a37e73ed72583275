// The answer's way back: piece by piece as it comes, with a clear end.

#include <algorithm>
#include <array>
#include <utility>

#include "dataplane/engine/exchange.h"
#include "dataplane/provider/stream_usage.h"

namespace rota::engine {
namespace {

// An event that is longer than this is passed on in parts.
constexpr size_t kMaxHeldEvent = 64 << 10;

}  // namespace

// Without it the answer is cut, however well HTTP ended.
bool Exchange::NeedsLastEvent() const {
  const rota::sync::v1::OperationKind kind = match_.operation->kind;
  return kind == rota::sync::v1::CHAT || kind == rota::sync::v1::COMPLETIONS ||
         kind == rota::sync::v1::MESSAGES;
}

void Exchange::BeginRelay(std::string& head) {
  using Framing = ClientAnswer::Framing;
  status_ = response_.status;
  loop_.metrics().Prepare(series_);
  const bool has_no_body = response_body_.framing() == BodyDecoder::Framing::kNone;
  usage_.Begin(response_, !has_no_body, loop_.metrics());
  if (has_no_body) {
    framing_ = Framing::kNone;
  } else if (response_.content_length.has_value() && !is_events_) {
    framing_ = Framing::kLength;
  } else {
    framing_ = head_.http_1_0 ? Framing::kUntilClose : Framing::kChunked;
  }
  if (framing_ == Framing::kUntilClose) {
    client_.CloseAfterAnswer();
  }
  ClientAnswer answer;
  answer.head = &response_;
  answer.framing = framing_;
  answer.length = response_.content_length.value_or(0);
  answer.keep_alive = client_.keep_alive();
  answer.http_1_0 = head_.http_1_0;
  answer.request_id = request_id_;
  answer.model = model_;
  AppendClientHead(answer, head);
  if (head_in_connection_) {
    upstream_->input().Consume(response_head_size_);
  }
}

Task<void> Exchange::Relay() {
  if (translation_ != nullptr) {
    co_await RelayTranslated();
    co_return;
  }
  std::string head;
  BeginRelay(head);
  if (is_stream()) {
    ReleaseRequest();
  }
  co_await StreamBody(head);
  if (cancelled_ || client_.gone()) {
    EndUpstreamTime();
    DropUpstream();
  } else {
    FinishUpstream();
  }
  usage_.Count(events_, series_, loop_.metrics());
}

void Exchange::ReleaseRequest() {
  body_ = {};
  std::string().swap(body_storage_);
  body_share_.Release();
  const bool is_clients_id = request_id_.data() != made_id_.view().data();
  client_.KeepHeadOnly();
  if (is_clients_id) {
    request_id_ = head_.Find(FieldKind::kRequestId);
  }
}

Task<bool> Exchange::SendPiece(std::string& head, std::string_view piece, bool last) {
  using Framing = ClientAnswer::Framing;
  std::array<iovec, 5> parts{};
  std::array<char, 20> size_line{};
  size_t count = 0;
  if (!head.empty()) {
    parts[count++] = Part(head);
  }
  if (!piece.empty() && framing_ == Framing::kChunked) {
    static constexpr char kHex[] = "0123456789abcdef";
    size_t at = size_line.size();
    size_line[--at] = '\n';
    size_line[--at] = '\r';
    for (size_t left = piece.size(); left > 0; left >>= 4) {
      size_line[--at] = kHex[left & 15];
    }
    parts[count++] = Part({size_line.data() + at, size_line.size() - at});
    parts[count++] = Part(piece);
    parts[count++] = Part("\r\n");
  } else if (!piece.empty()) {
    parts[count++] = Part(piece);
  }
  if (last && framing_ == Framing::kChunked) {
    parts[count++] = Part("0\r\n\r\n");
  }
  if (count == 0) {
    co_return true;
  }
  head_sent_ = true;
  Writing writing = client_.Write({parts.data(), count});
  const IoResult result = co_await writing;
  head.clear();
  response_bytes_sent_ += piece.size();
  if (!result.ok()) {
    client_.Kill();
  }
  co_return result.ok();
}

// What of `piece` may go now: whole events of a stream, everything of another body. Bytes that stay
// are held.
std::string_view Exchange::Releasable(std::string_view piece) {
  if (!is_events_) {
    return piece;
  }
  if (!held_.empty()) {
    held_.append(piece);
    outgoing_.swap(held_);
    held_.clear();
    piece = outgoing_;
  }
  size_t whole = SseScanner::WholeEvents(piece);
  if (whole > 0) {
    is_inside_event_ = false;
  } else if (piece.size() > kMaxHeldEvent) {
    whole = piece.size();
    is_inside_event_ = true;
  }
  held_.assign(piece.substr(whole));
  return piece.substr(0, whole);
}

// At a proper end: the last event may lack its empty line.
std::string_view Exchange::WithTheRest(std::string_view piece) {
  if (held_.empty()) {
    return piece;
  }
  held_.insert(0, piece);
  outgoing_.swap(held_);
  held_.clear();
  return outgoing_;
}

BodyPiece Exchange::NextPiece(bool first) {
  Input& input = upstream_->input();
  input.MarkSeen();
  BodyPiece piece;
  if (first && !looked_at_.empty()) {
    piece.decoded = looked_at_;
  } else if (!input.empty() && !response_body_.done()) {
    const BodyDecoder::Result result = response_body_.Decode(input.span());
    piece.decoded = result.decoded;
    piece.consumed = result.consumed;
  }
  const bool closed_properly = response_body_.framing() == BodyDecoder::Framing::kUntilClose &&
                               input.ended() && input.error() == IoError::kEndOfStream &&
                               input.view().size() == piece.consumed;
  piece.is_complete = response_body_.done() || closed_properly;
  return piece;
}

Task<void> Exchange::StreamBody(std::string& head) {
  Input& input = upstream_->input();
  std::string kept;  // events without the one that the client has not asked for
  bool is_first = true;
  while (true) {
    const BodyPiece next = NextPiece(is_first);
    const bool is_complete = next.is_complete;
    is_first = false;
    std::string_view piece = Releasable(next.decoded);
    bool is_truncated = false;
    if (is_events_) {
      FollowEvents(piece);
      if (is_complete) {
        FollowEvents(held_);
        is_truncated = !events_.has_ended() && NeedsLastEvent();
        piece = is_truncated ? piece : WithTheRest(piece);
      }
      piece = asked_usage_ ? provider::WithoutUsageChunks(piece, kept) : piece;
    } else if (frames_ != nullptr) {
      FollowFrames(piece);
    }
    const bool is_last = is_complete && !is_truncated;
    const bool delivered = co_await SendPiece(head, piece, is_last);
    if (!delivered || cancelled_) {
      co_return;
    }
    usage_.Add(next.decoded, is_last);
    input.Consume(next.consumed);
    if (is_last) {
      co_return;
    }
    if (is_complete || response_body_.failed() || upstream_timed_out_ ||
        (input.ended() && input.empty())) {
      co_await EndCutAnswer(head);
      co_return;
    }
    if (input.empty()) {
      upstream_deadline_.Set(loop_.TurnTime() + loop_.limits().between_chunks_time);
      co_await input.More();
      upstream_deadline_.Clear();  // the client's time is not the upstream's
    }
    if (cancelled_) {
      co_return;
    }
  }
}

void Exchange::FollowEvents(std::string_view events) {
  const bool had_data = events_.has_data();
  const bool had_error = !events_.error_data().empty();
  events_.Add(events);
  if (!had_error && !events_.error_data().empty()) {
    JudgeErrorEvent(events_.error_event(), events_.error_data());
  }
  if (!had_data && events_.has_data()) {
    loop_.metrics().ObserveTimeToFirstToken(series_, loop_.Now() - start_);
  }
}

void Exchange::FollowFrames(std::string_view bytes) {
  const absl::Status status = frames_->Add(bytes, [this](const provider::Frame& frame) {
    if (frame.is_exception) {
      JudgeErrorEvent(frame.name, frame.data);
    }
    return !frame.is_exception;
  });
  if (!status.ok()) {
    frames_ = nullptr;  // it is the client's to make sense of it
  }
}

Task<void> Exchange::EndCutAnswer(std::string& head) {
  error_code_ = upstream_timed_out_ ? "102504" : "upstream_cut";
  client_.CloseAfterAnswer();
  if (!is_events_) {
    client_.Abort();
    co_return;
  }
  GatewayError error;
  error.status = upstream_timed_out_ ? 504 : 502;
  error.code = error_code_;
  error.message = upstream_timed_out_ ? "the upstream stopped sending in the middle of its answer"
                                      : "the upstream's answer ended before it was complete";
  std::string event = is_inside_event_ ? "\n\ndata: " : "data: ";
  AppendErrorJson(error, event);
  event.append("\n\n");
  co_await SendPiece(head, event, /*last=*/true);
}

}  // namespace rota::engine
