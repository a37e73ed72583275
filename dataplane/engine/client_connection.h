#pragma once

// One connection from a client: reads heads and bodies, hands each request to an Exchange, and
// watches for the client going away while that one works. Requests of one connection are served one
// after the other.
//
// A client that closes its sending side while a request is open counts as gone (as with nginx): the
// request is cancelled, its upstream connection closed. Single-thread (owner: the loop).

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "dataplane/engine/body_budget.h"
#include "dataplane/engine/body_decoder.h"
#include "dataplane/engine/deadline.h"
#include "dataplane/engine/error_answer.h"
#include "dataplane/engine/http_head.h"
#include "dataplane/engine/input.h"
#include "dataplane/engine/loop.h"
#include "dataplane/engine/stream.h"
#include "dataplane/engine/task.h"

namespace rota::engine {

class Exchange;

enum class BodyResult : uint8_t {
  kOk,
  kTooLarge,
  kOverBudget,
  kTooSlow,
  kMalformed,
  kGone,
};

class ClientConnection final : public Input::Listener, public StallGuard, private IoWaiter {
 public:
  // Takes over an accepted connection; destroys itself at its end.
  static void Serve(Loop& loop, std::unique_ptr<Stream> stream);

  // For the Exchange.
  Loop& loop() { return loop_; }
  Stream& stream() { return *stream_; }
  const RequestHead& head() const { return head_; }
  std::string_view peer() const { return peer_; }
  const std::string& server_name() const { return server_name_; }
  bool gone() const { return gone_; }
  bool keep_alive() const { return keep_alive_; }
  void CloseAfterAnswer() { keep_alive_ = false; }
  // The part of the body that came with the head, usually all of it, which stays where it is:
  // `body` points into this connection, until the next request. Nothing: ReadBody() has to follow.
  std::optional<BodyResult> TakeBody(size_t limit, BodyShare& share, std::string_view& body);
  // The rest; `body` points into `storage`.
  Task<BodyResult> ReadBody(size_t limit, BodyShare& share, std::string& storage,
                            std::string_view& body);
  // What is left of an unread body is not worth reading: the connection ends after the answer,
  // unless nothing is left.
  void SkipBody();
  // Nothing of the request is needed any more but its head: gives the memory of the rest back.
  // Views into the body end; the head moves, head() with it.
  void KeepHeadOnly();
  // From here on a client that leaves cancels the exchange.
  void WatchForDeparture() { input_.Start(kWatchBytes); }
  // `IoResult result = co_await connection.Write(parts)`.
  Writing Write(std::span<iovec> parts) { return {*stream_, parts, *this}; }
  // The answer cannot be completed: makes sure that the client does not take it for complete.
  void Abort();

  // Idle: closes. Else: after the request.
  void Drain();
  // At once.
  void Kill();

  ClientConnection* next = nullptr;  // Loop's list
  ClientConnection** previous = nullptr;

 private:
  ClientConnection(Loop& loop, std::unique_ptr<Stream> stream);
  ~ClientConnection();

  static Task<void> RunAndDelete(ClientConnection* connection);
  Task<void> Run();
  Task<bool> Handshake();
  // False: the connection ends (an error has been answered already).
  Task<bool> ReadHead();
  // What has come so far: kIncomplete goes on reading.
  HeadScanner::Result ScanHead();
  void TakeRequest();
  HeadError CheckHead();
  // `begun`: what there is of the request.
  Task<void> AnswerAndClose(const GatewayError& error, std::string_view begun);
  Task<void> Linger();

  void OnUnawaitedInput() override;
  // The end behind input that is not read on.
  void OnIo(IoResult result) override;
  void OnWriteStalled() override;
  void OnWriteDone() override;
  void OnReadDeadline();
  void MarkGone();

  // Of the read that is outstanding while an answer is under way. Room for a usual next request; a
  // stream waits behind it for minutes.
  static constexpr size_t kWatchBytes = 2 << 10;

  Loop& loop_;
  std::unique_ptr<Stream> stream_;
  Input input_;
  Deadline read_deadline_;
  Deadline write_deadline_;
  Buffer request_;  // the head, and what came with it
  RequestHead head_;
  HeadScanner scanner_;
  int empty_lines_ = 0;  // in front of this request
  BodyDecoder decoder_;
  size_t head_size_ = 0;
  bool rest_in_request_ = false;  // bytes behind the head are in request_
  Exchange* exchange_ = nullptr;
  std::string peer_;
  std::string server_name_;
  bool keep_alive_ = true;
  bool gone_ = false;
  bool awaits_end_ = false;  // AwaitEnd() is outstanding
  bool too_slow_ = false;
  bool idle_ = false;  // between requests
  bool first_ = true;
};

}  // namespace rota::engine
