#include "tests/support/mock_llm/session.h"

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/beast/http/string_body.hpp>
#include <memory>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace rota::mock_llm {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using TlsStream = asio::ssl::stream<Socket>;

constexpr size_t kReadBytes = 8 << 10;
constexpr size_t kMaxHeadBytes = 64 << 10;
// Bytes that a client may send ahead while an answer is under way; then reading pauses.
constexpr size_t kMaxPipelined = 256 << 10;

Socket& LowestLayer(Socket& stream) { return stream; }
Socket& LowestLayer(TlsStream& stream) { return stream.next_layer(); }

std::string_view View(boost::beast::string_view text) { return {text.data(), text.size()}; }
absl::string_view AbslView(std::string_view text) { return {text.data(), text.size()}; }

template <typename Stream>
class Session final : public std::enable_shared_from_this<Session<Stream>> {
 public:
  Session(LoopState& loop, Stream stream)
      : loop_(loop), stream_(std::move(stream)), timer_(LowestLayer(stream_).get_executor()) {}

  ~Session() { EndRequest(Outcome::kClientGone); }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void Start() {
    ResetParser();
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_handshake(asio::ssl::stream_base::server,
                              [self = this->shared_from_this()](error_code error) {
                                if (!error) {
                                  self->Read();
                                }
                              });
    } else {
      Read();
    }
  }

 private:
  // --- Reading: one read is always outstanding, so that a client that leaves is noticed.
  void Read() {
    reading_ = true;
    stream_.async_read_some(asio::buffer(chunk_),
                            [self = this->shared_from_this()](error_code error, size_t bytes) {
                              self->OnRead(error, bytes);
                            });
  }

  void OnRead(error_code error, size_t bytes) {
    reading_ = false;
    if (closed_) {
      return;
    }
    if (error) {
      Close(Outcome::kClientGone);
      return;
    }
    pending_.append(chunk_.data(), bytes);
    if (!busy_ && !saying_continue_) {
      Parse();
    }
    ReadOn();
  }

  void ReadOn() {
    if (!closed_ && !reading_ && pending_.size() < kMaxPipelined) {
      Read();
    }
  }

  void ResetParser() {
    parser_.emplace();
    parser_->eager(true);
    parser_->header_limit(kMaxHeadBytes);
    parser_->body_limit(loop_.options->max_body_bytes);
    said_continue_ = false;
  }

  void Parse() {
    size_t used = 0;
    error_code error;
    while (used < pending_.size() && !parser_->is_done()) {
      used += parser_->put(asio::buffer(pending_.data() + used, pending_.size() - used), error);
      if (error) {
        break;
      }
    }
    pending_.erase(0, used);
    if (error && error != http::error::need_more) {
      const int status = error == http::error::body_limit     ? 413
                         : error == http::error::header_limit ? 431
                                                              : 400;
      keep_alive_ = false;
      is_control_ = false;
      number_ = loop_.next_number->fetch_add(1);
      answer_ = Answer{};
      answer_.status = status;
      answer_.body = ErrorBody(error.message(), "invalid_request_error", "", "");
      BeginRequest();
      return;
    }
    if (parser_->is_done()) {
      Handle();
    } else if (parser_->is_header_done() && !said_continue_) {
      said_continue_ = true;
      if (absl::EqualsIgnoreCase(AbslView(View(parser_->get()[http::field::expect])),
                                 "100-continue")) {
        saying_continue_ = true;  // one write at a time: the body has to wait
        WriteText("HTTP/1.1 100 Continue\r\n\r\n", &Session::OnContinueSaid);
      }
    }
  }

  // --- One request.
  std::string_view ApiKey() const {
    const auto& request = parser_->get();
    std::string_view key = View(request[http::field::authorization]);
    if (absl::StartsWithIgnoreCase(AbslView(key), "bearer ")) {
      key.remove_prefix(7);
      return key;
    }
    for (const char* name : {"api-key", "x-api-key"}) {
      if (!request[name].empty()) {
        return View(request[name]);
      }
    }
    return key;
  }

  void Handle() {
    const auto& request = parser_->get();
    keep_alive_ = request.keep_alive();
    const std::string_view target = View(request.target());
    const RequestView view{View(request.method_string()), target.substr(0, target.find('?')),
                           request.body(), ApiKey()};
    is_head_ = request.method() == http::verb::head;
    is_control_ = IsControlPath(view.path);
    if (is_control_) {
      answer_ = HandleControl(*loop_.control, view);
    } else {
      number_ = loop_.next_number->fetch_add(1);
      const int64_t created = std::chrono::duration_cast<std::chrono::seconds>(
                                  loop_.clock->WallNow().time_since_epoch())
                                  .count();
      answer_ = MakeAnswer(loop_.options->answer, *loop_.behaviors.Get(), view, number_, created);
    }
    BeginRequest();
  }

  void BeginRequest() {
    busy_ = true;
    sent_events_ = 0;
    if (!is_control_) {
      RequestRecord record;
      if (loop_.recorder->keeps_requests()) {
        FillRecord(record);
      }
      slot_ = loop_.recorder->Begin(answer_.model, answer_.status, std::move(record));
    }
    if (answer_.reset) {
      error_code ignored;
      LowestLayer(stream_).set_option(asio::socket_base::linger(true, 0), ignored);
    }
    if (answer_.hang) {
      return;  // until the client has had enough
    }
    if (answer_.delay > Duration::zero()) {
      Wait(loop_.clock->Now() + answer_.delay, &Session::Respond);
    } else {
      Respond();
    }
  }

  void FillRecord(RequestRecord& record) const {
    const auto& request = parser_->get();
    record.number = number_;
    record.method = std::string(View(request.method_string()));
    record.target = std::string(View(request.target()));
    for (const auto& field : request) {
      record.headers.emplace_back(std::string(View(field.name_string())),
                                  std::string(View(field.value())));
    }
    record.body = request.body().substr(0, kMaxRecordedBody);
    record.body_bytes = request.body().size();
    record.model = answer_.model;
    record.status = answer_.status;
  }

  // --- Answering.
  void AppendHead(std::string& out) const {
    absl::StrAppend(
        &out, "HTTP/1.1 ", answer_.status, " ",
        AbslView(View(http::obsolete_reason(static_cast<http::status>(answer_.status)))),
        "\r\ncontent-type: ", answer_.content_type, "\r\n");
    for (const auto& [name, value] : answer_.headers) {
      absl::StrAppend(&out, name, ": ", value, "\r\n");
    }
    if (!keep_alive_) {
      out.append("connection: close\r\n");
    }
    if (answer_.events) {
      out.append("cache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n");
    } else {
      absl::StrAppend(&out, "content-length: ", answer_.body.size(), "\r\n\r\n");
    }
  }

  void Respond() {
    if (answer_.close || answer_.reset) {
      Close(Outcome::kCut);
      return;
    }
    std::string out;
    out.reserve(256 + answer_.body.size());
    AppendHead(out);
    if (answer_.events) {
      next_event_at_ = loop_.clock->Now();
      WriteText(std::move(out), &Session::SendEvent);
      return;
    }
    if (!is_head_) {
      const uint64_t bytes =
          std::min<uint64_t>(answer_.cut_after_bytes.value_or(~uint64_t{0}), answer_.body.size());
      out.append(answer_.body, 0, bytes);
      if (bytes < answer_.body.size()) {
        WriteText(std::move(out), &Session::Cut);
        return;
      }
    }
    WriteText(std::move(out), &Session::Finish);
  }

  void SendEvent() {
    if (answer_.cut_after_chunks && sent_events_ >= *answer_.cut_after_chunks) {
      Cut();
      return;
    }
    if (answer_.stall_after_chunks && sent_events_ >= *answer_.stall_after_chunks) {
      return;  // until the client has had enough
    }
    if (sent_events_ > 0 && answer_.chunk_interval > Duration::zero()) {
      next_event_at_ += answer_.chunk_interval;
      Wait(next_event_at_, &Session::WriteEvent);
    } else {
      WriteEvent();
    }
  }

  void WriteEvent() {
    std::string event = answer_.events->Next(loop_.clock->Now());
    if (event.empty()) {
      WriteText("0\r\n\r\n", &Session::Finish);
      return;
    }
    ++sent_events_;
    bool cut = false;
    if (answer_.cut_after_bytes) {
      cut = event.size() > *answer_.cut_after_bytes;
      const std::string whole = event;
      event.resize(std::min<uint64_t>(event.size(), *answer_.cut_after_bytes));
      *answer_.cut_after_bytes -= event.size();
      // The chunk header promises the whole event: the cut is in the middle of a chunk.
      WriteText(absl::StrCat(absl::Hex(whole.size()), "\r\n", event, cut ? "" : "\r\n"),
                cut ? &Session::Cut : &Session::SendEvent);
      return;
    }
    WriteText(absl::StrCat(absl::Hex(event.size()), "\r\n", event, "\r\n"), &Session::SendEvent);
  }

  using Step = void (Session::*)();

  void OnContinueSaid() {
    saying_continue_ = false;
    Parse();
    ReadOn();
  }
  void Cut() { Close(Outcome::kCut); }

  void Finish() {
    EndRequest(Outcome::kFinished);
    if (!keep_alive_) {
      Shutdown();
      return;
    }
    ResetParser();
    if (!pending_.empty()) {
      Parse();
    }
    ReadOn();
  }

  void WriteText(std::string text, Step next) {
    out_ = std::move(text);
    asio::async_write(stream_, asio::buffer(out_),
                      [self = this->shared_from_this(), next](error_code error, size_t) {
                        if (self->closed_) {
                          return;
                        }
                        if (error) {
                          self->Close(Outcome::kClientGone);
                          return;
                        }
                        (self.get()->*next)();
                      });
  }

  void Wait(MonotonicTime until, Step next) {
    timer_.expires_at(until);
    timer_.async_wait([self = this->shared_from_this(), next](error_code error) {
      if (!error && !self->closed_) {
        (self.get()->*next)();
      }
    });
  }

  // --- The end.
  void EndRequest(Outcome outcome) {
    if (busy_ && !is_control_) {
      loop_.recorder->End(answer_.model, slot_, outcome);
    }
    busy_ = false;
    answer_ = Answer{};
  }

  void CloseOnce() {
    if (!closed_) {
      Close(Outcome::kFinished);
    }
  }

  void Close(Outcome outcome) {
    EndRequest(outcome);
    closed_ = true;
    error_code ignored;
    timer_.cancel(ignored);
    LowestLayer(stream_).close(ignored);
  }

  // An orderly end: the client can tell it from a cut.
  void Shutdown() {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      // The client answers with its own close_notify; one that does not gets no more than a second.
      stream_.async_shutdown([self = this->shared_from_this()](error_code) { self->CloseOnce(); });
      Wait(loop_.clock->Now() + std::chrono::seconds(1), &Session::CloseOnce);
    } else {
      Close(Outcome::kFinished);
    }
  }

  LoopState& loop_;
  Stream stream_;
  Timer timer_;
  std::array<char, kReadBytes> chunk_;
  std::string pending_;  // read, not parsed yet
  std::string out_;      // being written
  std::optional<http::request_parser<http::string_body>> parser_;
  Answer answer_;
  MonotonicTime next_event_at_;
  uint64_t sent_events_ = 0;
  uint64_t number_ = 0;
  uint64_t slot_ = 0;
  bool keep_alive_ = true;
  bool is_head_ = false;
  bool is_control_ = false;
  bool said_continue_ = false;
  bool saying_continue_ = false;
  bool busy_ = false;
  bool reading_ = false;
  bool closed_ = false;
};

}  // namespace

void StartSession(LoopState& loop, Socket socket, asio::ssl::context* tls) {
  if (tls == nullptr) {
    std::make_shared<Session<Socket>>(loop, std::move(socket))->Start();
  } else {
    std::make_shared<Session<TlsStream>>(loop, TlsStream(std::move(socket), *tls))->Start();
  }
}

}  // namespace rota::mock_llm
