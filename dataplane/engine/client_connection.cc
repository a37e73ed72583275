#include "dataplane/engine/client_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/engine/exchange.h"

namespace rota::engine {
namespace {

// What a client may still send while it reads an error answer, before the connection is cut.
constexpr size_t kLingerBytes = 4 << 20;
constexpr Duration kLingerTime = std::chrono::seconds(2);
// Memory that is set aside for a body on the client's word alone.
constexpr size_t kFirstBodyReserve = 256 << 10;
// Empty lines in front of a request that are taken for a clumsy client's (RFC 9112 2.2).
constexpr int kMaxEmptyLines = 4;
// Reads of a body that does not fit one read.
constexpr size_t kBodyReadBytes = 64 << 10;

}  // namespace

ClientConnection::ClientConnection(Loop& loop, std::unique_ptr<Stream> stream)
    : loop_(loop),
      stream_(std::move(stream)),
      input_(*stream_),
      read_deadline_(
          loop.wheel(), [](void* self) { static_cast<ClientConnection*>(self)->OnReadDeadline(); },
          this),
      write_deadline_(
          loop.wheel(), [](void* self) { static_cast<ClientConnection*>(self)->Kill(); }, this),
      peer_(stream_->peer().HostString()) {
  next = loop_.connections;
  previous = &loop_.connections;
  if (next != nullptr) {
    next->previous = &next;
  }
  loop_.connections = this;
  loop_.connection_count.fetch_add(1, std::memory_order_relaxed);
  loop_.metrics().AddOpenConnections(1);
  input_.set_listener(this);
}

ClientConnection::~ClientConnection() {
  *previous = next;
  if (next != nullptr) {
    next->previous = previous;
  }
  loop_.connection_count.fetch_sub(1, std::memory_order_relaxed);
  loop_.metrics().AddOpenConnections(-1);
}

void ClientConnection::Serve(Loop& loop, std::unique_ptr<Stream> stream) {
  Spawn(RunAndDelete(new ClientConnection(loop, std::move(stream))));
}

Task<void> ClientConnection::RunAndDelete(ClientConnection* connection) {
  co_await connection->Run();
  connection->read_deadline_.Clear();
  connection->write_deadline_.Clear();
  connection->idle_ = false;
  connection->stream_->Close();
  co_await connection->input_.Stopped();
  delete connection;
}

Task<void> ClientConnection::Run() {
  if (stream_->is_tls()) {
    const bool established = co_await Handshake();
    if (!established) {
      co_return;
    }
  }
  while (true) {
    const bool has_request = co_await ReadHead();
    if (!has_request) {
      co_return;
    }
    {
      Exchange exchange(*this);
      exchange_ = &exchange;
      co_await exchange.Run();
      exchange_ = nullptr;
    }
    if (gone_) {
      co_return;
    }
    if (!keep_alive_) {
      co_await Linger();
      co_return;
    }
    request_.Clear();
    if (request_.capacity() > 4 * Input::kReadBytes) {
      request_.Release();
    }
    first_ = false;
  }
}

Task<bool> ClientConnection::Handshake() {
  read_deadline_.Set(loop_.TurnTime() + loop_.limits().head_time);
  Handshaking handshaking(*stream_);
  const IoResult result = co_await handshaking;
  read_deadline_.Clear();
  if (result.ok()) {
    server_name_ = stream_->server_name();
  }
  co_return result.ok();
}

void ClientConnection::OnReadDeadline() {
  too_slow_ = true;
  if (input_.has_waiter()) {
    input_.Wake();
  } else {
    stream_->Close();  // the handshake
  }
}

HeadScanner::Result ClientConnection::ScanHead() {
  while (scanner_.size() == 0 && empty_lines_ < kMaxEmptyLines &&
         input_.view().starts_with("\r\n")) {
    input_.Consume(2);
    ++empty_lines_;
  }
  if (input_.view() == "\r") {
    return HeadScanner::Result::kIncomplete;  // half of an empty line, maybe
  }
  return scanner_.Scan(input_.view());
}

Task<bool> ClientConnection::ReadHead() {
  scanner_.Reset();
  empty_lines_ = 0;
  too_slow_ = false;
  idle_ = input_.empty();
  stream_->SetAwaitsRequest(true);
  if (!idle_ || first_) {
    read_deadline_.Set(loop_.TurnTime() + loop_.limits().head_time);
  } else {
    read_deadline_.Set(loop_.TurnTime() + loop_.limits().keep_alive_time);
  }
  while (true) {
    input_.MarkSeen();
    const HeadScanner::Result result = ScanHead();
    const std::string_view begun = input_.view();
    const size_t size = result == HeadScanner::Result::kComplete ? scanner_.size() : begun.size();
    if (size > loop_.limits().head_bytes) {
      loop_.metrics().CountLimit(observe::Limit::kHeadSize);
      const GatewayError answer{431, "request_head_too_large",
                                "the request line and header fields are larger than this gateway "
                                "accepts; send fewer or shorter header fields",
                                -1, ""};
      co_await AnswerAndClose(answer, begun);
      co_return false;
    }
    if (result == HeadScanner::Result::kComplete) {
      break;
    }
    if (result != HeadScanner::Result::kIncomplete) {
      const HeadError error =
          result == HeadScanner::Result::kFolded ? HeadError::kFolded : HeadError::kBareLineFeed;
      const GatewayError answer = ErrorOfHead(error);
      co_await AnswerAndClose(answer, begun);
      co_return false;
    }
    if (too_slow_ && !input_.empty()) {
      loop_.metrics().CountLimit(observe::Limit::kHeadTime);
      const GatewayError answer{408, "request_timeout",
                                "the request head did not arrive in time; send it at once", -1, ""};
      co_await AnswerAndClose(answer, begun);
      co_return false;
    }
    const bool is_idle = loop_.draining() && input_.empty() && !first_ && stream_->is_quiet();
    if (input_.ended() || too_slow_ || is_idle) {
      // RFC 9112 9.8: a client that has said goodbye first is owed a close_notify, too.
      if (!input_.ended() || stream_->is_tls()) {
        stream_->ShutdownWrites();
      }
      co_return false;
    }
    if (idle_ && !input_.empty()) {
      idle_ = false;
      read_deadline_.Set(loop_.TurnTime() + loop_.limits().head_time);
    }
    co_await input_.More();
  }
  idle_ = false;
  stream_->SetAwaitsRequest(false);
  read_deadline_.Clear();
  TakeRequest();
  const HeadError error = CheckHead();
  if (error != HeadError::kNone) {
    if (error == HeadError::kFields || error == HeadError::kConnection) {
      loop_.metrics().CountLimit(observe::Limit::kHeadSize);
    }
    const GatewayError answer = ErrorOfHead(error);
    const std::string_view head = request_.view();
    co_await AnswerAndClose(answer, head);
    co_return false;
  }
  co_return true;
}

void ClientConnection::TakeRequest() {
  head_size_ = scanner_.size();
  rest_in_request_ = !input_.reading();
  if (rest_in_request_) {
    input_.Swap(request_);
  } else {
    // A read is outstanding behind these bytes (pipelining): the buffer has to stay where it is.
    request_.Clear();
    request_.Append(input_.view().substr(0, head_size_));
    input_.Consume(head_size_);
  }
}

HeadError ClientConnection::CheckHead() {
  const HeadError error = ParseRequestHead(request_.view().substr(0, head_size_), head_);
  if (error != HeadError::kNone) {
    return error;
  }
  keep_alive_ = head_.keep_alive && !loop_.draining();
  if (head_.chunked) {
    decoder_ = BodyDecoder::Chunked();
  } else {
    decoder_ = BodyDecoder::Length(head_.content_length.value_or(0));
  }
  return HeadError::kNone;
}

std::optional<BodyResult> ClientConnection::TakeBody(size_t limit, BodyShare& share,
                                                     std::string_view& body) {
  if (head_.content_length.value_or(0) > limit) {
    return BodyResult::kTooLarge;
  }
  if (!rest_in_request_) {
    return std::nullopt;
  }
  const std::span<char> rest = request_.span().subspan(head_size_);
  const BodyDecoder::Result first = decoder_.Decode(rest);
  if (first.decoded.size() > limit) {
    return BodyResult::kTooLarge;
  }
  if (first.consumed < rest.size()) {
    input_.Append({rest.data() + first.consumed, rest.size() - first.consumed});
  }
  rest_in_request_ = false;
  body = first.decoded;
  if (decoder_.failed()) {
    return BodyResult::kMalformed;
  }
  if (!share.Grow(first.decoded.size())) {
    return BodyResult::kOverBudget;
  }
  return decoder_.done() ? std::optional(BodyResult::kOk) : std::nullopt;
}

Task<BodyResult> ClientConnection::ReadBody(size_t limit, BodyShare& share, std::string& storage,
                                            std::string_view& body) {
  storage.reserve(std::min<size_t>(head_.content_length.value_or(0), kFirstBodyReserve));
  storage.assign(body);
  if (head_.expects_continue && storage.empty() && input_.empty()) {
    iovec part = Part("HTTP/1.1 100 Continue\r\n\r\n");
    Writing writing = Write({&part, 1});
    const IoResult written = co_await writing;
    if (!written.ok()) {
      MarkGone();
      co_return BodyResult::kGone;
    }
  }
  too_slow_ = false;
  read_deadline_.Set(loop_.TurnTime() + loop_.limits().body_read_time);
  BodyResult result = BodyResult::kOk;
  while (!decoder_.done()) {
    if (input_.empty()) {
      if (input_.ended()) {
        MarkGone();
        result = BodyResult::kGone;
        break;
      }
      if (too_slow_) {
        result = BodyResult::kTooSlow;
        break;
      }
      co_await input_.More(kBodyReadBytes);
      continue;
    }
    const BodyDecoder::Result piece = decoder_.Decode(input_.span());
    if (storage.size() + piece.decoded.size() > limit) {
      result = BodyResult::kTooLarge;
      break;
    }
    if (!share.Grow(piece.decoded.size())) {
      result = BodyResult::kOverBudget;
      break;
    }
    storage.append(piece.decoded);
    input_.Consume(piece.consumed);
    input_.MarkSeen();
    if (decoder_.failed()) {
      result = BodyResult::kMalformed;
      break;
    }
    read_deadline_.Set(loop_.TurnTime() + loop_.limits().body_read_time);
  }
  read_deadline_.Clear();
  body = storage;
  co_return result;
}

void ClientConnection::SkipBody() {
  if (rest_in_request_) {
    const std::span<char> rest = request_.span().subspan(head_size_);
    const BodyDecoder::Result skipped = decoder_.Decode(rest);
    if (skipped.consumed < rest.size()) {
      input_.Append({rest.data() + skipped.consumed, rest.size() - skipped.consumed});
    }
    rest_in_request_ = false;
  } else if (!input_.empty()) {
    input_.Consume(decoder_.Decode(input_.span()).consumed);
  }
  if (!decoder_.done()) {
    keep_alive_ = false;
  }
}

void ClientConnection::KeepHeadOnly() {
  Buffer head;
  head.Append(request_.view().substr(0, head_size_));
  request_ = std::move(head);
  ParseRequestHead(request_.view(), head_);
}

Task<void> ClientConnection::AnswerAndClose(const GatewayError& error, std::string_view begun) {
  read_deadline_.Clear();
  AnswerForm form;
  form.keep_alive = false;
  form.head_only = begun.starts_with("HEAD ");
  std::string answer;
  const RequestId request_id = loop_.NextRequestId();
  AppendErrorAnswer(error, form, request_id.view(), answer);
  loop_.metrics().CountUnmatched(error.status);
  if (observe::AccessLog* log = loop_.shared().context.access_log) {
    observe::AccessRecord record;  // nothing of the request can be trusted
    record.request_id = request_id.view();
    record.client = peer_;
    record.status = error.status;
    record.error = error.code;
    log->Write(record);
  }
  iovec part = Part(answer);
  Writing writing = Write({&part, 1});
  const IoResult written = co_await writing;
  if (written.ok()) {
    co_await Linger();
  }
}

Task<void> ClientConnection::Linger() {
  // Closing with unread bytes would make the kernel send a reset, which can overtake the answer.
  stream_->ShutdownWrites();
  too_slow_ = false;
  read_deadline_.Set(loop_.TurnTime() + kLingerTime);
  const uint64_t limit = input_.total_bytes() + kLingerBytes;
  while (!input_.ended() && !too_slow_ && input_.total_bytes() < limit && !gone_) {
    input_.Consume(input_.view().size());
    input_.MarkSeen();
    co_await input_.More(kBodyReadBytes);
  }
  read_deadline_.Clear();
}

void ClientConnection::OnUnawaitedInput() {
  if (input_.ended()) {
    MarkGone();
    return;
  }
  // Pipelined bytes: they are read on while the buffer is small, then the watch goes on without
  // reading.
  if (input_.view().size() < Input::kReadBytes) {
    input_.Start();
  } else if (!std::exchange(awaits_end_, true)) {
    stream_->AwaitEnd(*this);
  }
}

void ClientConnection::OnIo(IoResult) {
  awaits_end_ = false;
  // Who reads comes to the end himself, behind what is in front of it.
  if (exchange_ != nullptr && !input_.reading()) {
    MarkGone();
  }
}

void ClientConnection::MarkGone() {
  if (std::exchange(gone_, true)) {
    return;
  }
  keep_alive_ = false;
  if (exchange_ != nullptr) {
    exchange_->Cancel();
  }
  stream_->Close();
}

void ClientConnection::OnWriteStalled() {
  write_deadline_.Set(loop_.TurnTime() + loop_.limits().body_read_time);
}

void ClientConnection::OnWriteDone() { write_deadline_.Clear(); }

void ClientConnection::Abort() {
  keep_alive_ = false;
  gone_ = true;
  stream_->Reset();
}

void ClientConnection::Drain() {
  // A request that has come, though nobody has read it yet, is answered.
  if (idle_ && input_.empty() && input_.has_waiter() && stream_->is_quiet()) {
    too_slow_ = true;
    input_.Wake();
  } else {
    keep_alive_ = false;
  }
}

void ClientConnection::Kill() {
  if (exchange_ != nullptr && exchange_->ends_with_connection()) {
    stream_->Reset();
  }
  MarkGone();
  stream_->Close();
}

}  // namespace rota::engine
