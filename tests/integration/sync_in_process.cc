#include "tests/integration/sync_in_process.h"

#include <optional>

namespace rota::tests {

namespace v1 = rota::sync::v1;

Mailbox::Mailbox()
    : thread_([this](std::stop_token stop) {
        while (true) {
          std::function<void()> task;
          {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [this] { return !tasks_.empty(); })) {
              return;
            }
            task = std::move(tasks_.front());
            tasks_.pop_front();
          }
          task();
        }
      }) {}

Mailbox::~Mailbox() = default;

void Mailbox::Post(std::function<void()> task) {
  std::lock_guard guard(mutex_);
  tasks_.push_back(std::move(task));
  wake_.notify_all();
}

// One stream, both ends.
class InProcessPipe final : public serve::ServerStream {
 public:
  explicit InProcessPipe(std::shared_ptr<sync::SyncStreamEvents> client)
      : client_(std::move(client)) {}

  void Open(serve::SyncService* service, const std::string& name) {
    to_server_.Post([this, service, name] {
      if (service == nullptr) {
        End(absl::UnavailableError("connection refused"));
        return;
      }
      serve::PeerIdentity identity;
      identity.address = name;
      auto connection = service->Accept(*this, identity);
      if (!connection.ok()) {
        End(connection.status());
        return;
      }
      server_ = *connection;
    });
  }

  // The server's end; called under its mutex.
  void StartWrite(v1::ServerMessage message) override {
    std::lock_guard guard(mutex_);
    if (broken_) {
      to_server_.Post([this] { server_->OnWriteDone(false); });
      return;
    }
    held_ = std::move(message);
    DeliverLocked();
  }
  void Finish(const absl::Status& status) override { End(status); }
  void Cancel() override { Break("cancelled by the server"); }

  // The client's end.
  void ClientWrite(v1::ClientMessage message) {
    to_server_.Post([this, message = std::move(message)] {
      const bool ok = server_ != nullptr && !broken();
      if (ok) {
        server_->OnMessage(message);
      }
      to_client_.Post([this, ok] { client_->OnWriteDone(ok); });
    });
  }
  void ClientRead() {
    std::lock_guard guard(mutex_);
    reading_ = true;
    DeliverLocked();
  }
  // Either end, or the network.
  void Break(const std::string& why) {
    std::lock_guard guard(mutex_);
    if (broken_) {
      return;
    }
    broken_ = true;
    reason_ = why;
    const bool lost_write = held_.has_value();
    held_.reset();
    to_server_.Post([this, lost_write] {
      if (server_ == nullptr) {
        return;
      }
      if (lost_write) {
        server_->OnWriteDone(false);
      }
      server_->OnPeerClosed();
    });
  }
  bool AwaitEnd() {
    std::unique_lock lock(mutex_);
    return ended_changed_.wait_for(lock, std::chrono::seconds(10), [this] { return ended_; });
  }

 private:
  bool broken() {
    std::lock_guard guard(mutex_);
    return broken_;
  }
  void DeliverLocked() {
    if (!reading_ || !held_.has_value() || broken_) {
      return;
    }
    reading_ = false;
    to_client_.Post(
        [this, message = std::move(*held_)]() mutable { client_->OnMessage(std::move(message)); });
    held_.reset();
    to_server_.Post([this] { server_->OnWriteDone(true); });
  }
  void End(absl::Status status) {
    {
      std::lock_guard guard(mutex_);
      if (broken_) {
        status = absl::UnavailableError(reason_);
      }
      broken_ = true;
    }
    // Made anew on the other thread: absl's count of references is not instrumented, and TSan would
    // see a race in it.
    to_client_.Post([this, code = status.code(), text = std::string(status.message())] {
      client_->OnClosed(absl::Status(code, text));
    });
    to_server_.Post([this] {
      if (server_ != nullptr) {
        server_->OnDone();
        server_.reset();
      }
      std::lock_guard guard(mutex_);
      ended_ = true;
      ended_changed_.notify_all();
    });
  }

  const std::shared_ptr<sync::SyncStreamEvents> client_;
  std::shared_ptr<serve::SyncService::Connection> server_;  // touched in to_server_ only
  std::mutex mutex_;
  std::condition_variable ended_changed_;
  std::optional<v1::ServerMessage> held_;  // written, not yet read
  bool reading_ = false;
  bool broken_ = false;
  bool ended_ = false;
  std::string reason_;
  Mailbox to_client_;
  Mailbox to_server_;  // last: its tasks post to to_client_
};

class InProcessStream final : public sync::SyncStream {
 public:
  explicit InProcessStream(std::shared_ptr<InProcessPipe> pipe) : pipe_(std::move(pipe)) {}
  ~InProcessStream() override { Cancel(); }
  void StartWrite(v1::ClientMessage message) override { pipe_->ClientWrite(std::move(message)); }
  void StartRead() override { pipe_->ClientRead(); }
  void Cancel() override { pipe_->Break("cancelled by the client"); }

 private:
  const std::shared_ptr<InProcessPipe> pipe_;
};

class InProcessTransport final : public sync::SyncTransport {
 public:
  explicit InProcessTransport(InProcessNetwork& network) : network_(network) {}
  size_t address_count() const override { return network_.services_.size(); }
  std::string address(size_t index) const override { return "in-process-" + std::to_string(index); }
  std::unique_ptr<sync::SyncStream> Connect(
      size_t index, std::shared_ptr<sync::SyncStreamEvents> events) override {
    return std::make_unique<InProcessStream>(network_.Open(index, std::move(events)));
  }

 private:
  InProcessNetwork& network_;
};

InProcessNetwork::~InProcessNetwork() {
  Cut();
  for (const auto& pipe : pipes_) {
    pipe->AwaitEnd();
  }
}

void InProcessNetwork::SetService(size_t index, serve::SyncService* service) {
  std::lock_guard guard(mutex_);
  services_[index] = service;
}

void InProcessNetwork::Cut() {
  std::lock_guard guard(mutex_);
  for (const auto& pipe : pipes_) {
    pipe->Break("the connection was cut");
  }
}

std::unique_ptr<sync::SyncTransport> InProcessNetwork::MakeTransport() {
  return std::make_unique<InProcessTransport>(*this);
}

std::shared_ptr<InProcessPipe> InProcessNetwork::Open(
    size_t index, std::shared_ptr<sync::SyncStreamEvents> events) {
  auto pipe = std::make_shared<InProcessPipe>(std::move(events));
  std::lock_guard guard(mutex_);
  pipes_.push_back(pipe);
  pipe->Open(services_[index], "in-process-" + std::to_string(index));
  return pipe;
}

}  // namespace rota::tests
