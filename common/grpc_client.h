#pragma once

// What our gRPC clients share: credentials, channels, and one bidirectional call as StreamEvents.
//
// Every try is a new connection, so that the caller's own back-off is the only one and every try
// resolves names again. Certificates are read again when their files change. Needs gRPC, which the
// common library itself does not.

#include <grpcpp/grpcpp.h>
#include <grpcpp/support/client_callback.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "common/clock.h"
#include "common/secret.h"
#include "common/stream_events.h"

namespace rota {

// A file of PEM and the option that named it, for errors.
struct NamedFile {
  std::string option;
  std::string file;  // "": not given
};

struct ClientTls {
  // Certificate and key belong together; without a CA the system's are trusted.
  NamedFile certificate;
  NamedFile key;
  NamedFile ca;
  // Shown as `authorization: Bearer ..` with every call, read again for each.
  NamedFile token;
  Duration refresh = std::chrono::seconds(10);

  // Plaintext: nothing of it is given. A token alone is not plaintext: it never travels on that.
  bool empty() const {
    return certificate.file.empty() && key.file.empty() && ca.file.empty() && token.file.empty();
  }
};

// REQUIRES: !tls.empty(). The error names the option or file at fault. Thread-safe.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> MakeClientCredentials(
    const ClientTls& tls);
// TLS that trusts what `roots` (PEM) says, and shows the token of that file. Thread-safe.
std::shared_ptr<grpc::ChannelCredentials> MakeTokenCredentials(const std::string& roots,
                                                               const NamedFile& token);

// The one line of a token file, without white space around it. The error names the file.
// Thread-safe.
absl::StatusOr<SecretString> ReadToken(const NamedFile& token);

// Keepalive, no proxy, and a connection of its own for every channel. Thread-safe.
grpc::ChannelArguments ClientChannelArguments(int max_receive_bytes);

// The channels to one address. The last channel to go joins gRPC's callback threads. OnDone runs on
// such a thread, and what it lets go of must never be that channel: the newest one stays here, and
// the one before it until it can have no call any more. Single-thread.
class ChannelHolder {
 public:
  const std::shared_ptr<grpc::Channel>& Renew(std::shared_ptr<grpc::Channel> channel) {
    retired_ = std::exchange(newest_, std::move(channel));
    return newest_;
  }
  // No call uses them any more, so that they may go.
  bool idle() const { return newest_.use_count() <= 1 && retired_.use_count() <= 1; }

 private:
  std::shared_ptr<grpc::Channel> newest_;
  std::shared_ptr<grpc::Channel> retired_;
};

// Calls that gRPC may still touch. Thread-safe.
class LiveCalls {
 public:
  void Add();
  void Remove();
  void AwaitNone();

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

// One bidirectional call. Owns itself from Start() to OnDone; a handle may let go of it earlier. A
// hold keeps OnDone away while somebody may still start an operation: until a read has failed, or
// the handle has cancelled. Thread-safe; one read and one write at a time.
template <typename Out, typename In>
class GrpcCall final : public grpc::ClientBidiReactor<Out, In> {
 public:
  // Begins the call: stub->async()->Method(context, reactor). Keeps the stub alive.
  using Method = std::function<void(grpc::ClientContext*, grpc::ClientBidiReactor<Out, In>*)>;

  GrpcCall(Method method, std::shared_ptr<StreamEvents<In>> events, std::shared_ptr<LiveCalls> live)
      : method_(std::move(method)), events_(std::move(events)), live_(std::move(live)) {}

  void Start(std::shared_ptr<GrpcCall> self) {
    self_ = std::move(self);
    live_->Add();
    method_(&context_, this);
    this->AddHold();
    this->StartCall();
  }

  void Write(Out message) {
    std::lock_guard guard(mutex_);
    if (released_) {
      return;  // OnClosed is on its way
    }
    outgoing_ = std::move(message);
    this->StartWrite(&outgoing_);
  }

  void Read() {
    std::lock_guard guard(mutex_);
    if (released_) {
      return;
    }
    reading_ = true;
    this->StartRead(&incoming_);
  }

  void Cancel() {
    context_.TryCancel();
    Release([this] {
      cancelled_ = true;
      return !reading_;  // a read that is open fails now and lets go then
    });
  }

  void OnReadDone(bool ok) override {
    if (ok) {
      events_->OnMessage(TakeIncoming());
    }
    Release([this, ok] { return !reading_ && (!ok || cancelled_); }, ok);
  }
  void OnWriteDone(bool ok) override { events_->OnWriteDone(ok); }
  void OnDone(const grpc::Status& status) override {
    events_->OnClosed(absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                                   absl::string_view(status.error_message())));
    const std::shared_ptr<LiveCalls> live = live_;
    self_.reset();  // may delete this
    live->Remove();
  }

 private:
  In TakeIncoming() {
    std::lock_guard guard(mutex_);
    reading_ = false;
    return std::move(incoming_);
  }

  // Gives the hold back, once, when `condition` says so.
  template <typename Condition>
  void Release(Condition condition, bool read_was_taken = true) {
    {
      std::lock_guard guard(mutex_);
      if (!read_was_taken) {
        reading_ = false;
      }
      if (!condition() || released_) {
        return;
      }
      released_ = true;
    }
    this->RemoveHold();
  }

  const Method method_;
  const std::shared_ptr<StreamEvents<In>> events_;
  const std::shared_ptr<LiveCalls> live_;
  std::shared_ptr<GrpcCall> self_;
  grpc::ClientContext context_;
  Out outgoing_;
  In incoming_;
  std::mutex mutex_;
  bool reading_ = false;
  bool cancelled_ = false;
  bool released_ = false;
};

}  // namespace rota
