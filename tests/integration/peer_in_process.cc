#include "tests/integration/peer_in_process.h"

#include <condition_variable>

namespace rota::tests {
namespace {

namespace v1 = rota::sync::v1;
using Connection = serve::PeerExchange::Connection;

}  // namespace

// One stream. Everything happens on one thread, in order.
class PeerPipe {
 public:
  PeerPipe(size_t from, size_t to) : from_(from), to_(to) {}

  void Open(std::shared_ptr<Connection> dialler, serve::PeerExchange* acceptor) {
    mailbox_.Post([this, dialler = std::move(dialler), acceptor] {
      client_.connection = dialler;
      if (acceptor == nullptr) {
        EndClient(absl::UnavailableError("connection refused"));
        server_.ended = true;
        return;
      }
      serve::PeerIdentity identity;
      identity.address = std::to_string(from_);
      auto accepted = acceptor->Accept(server_, identity);
      if (!accepted.ok()) {
        EndClient(accepted.status());
        server_.ended = true;
        return;
      }
      server_.connection = *accepted;
      client_.connection->Open(client_);
    });
  }
  void Break() {
    mailbox_.Post([this] {
      if (!server_.ended && server_.connection != nullptr) {
        server_.connection->OnPeerClosed();
      }
      EndClient(absl::UnavailableError("the connection was cut"));
    });
  }
  bool Connects(size_t a, size_t b) const {
    return (from_ == a && to_ == b) || (from_ == b && to_ == a);
  }
  void AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(10), [this] { return ended_ == 2; });
  }

 private:
  struct End final : public serve::PeerStream {
    explicit End(PeerPipe& owner) : pipe(owner) {}
    void StartWrite(v1::PeerMessage message) override {
      pipe.mailbox_.Post([this, message = std::move(message)] { pipe.Deliver(*this, message); });
    }
    // Made anew on the other thread: absl's count of references is not instrumented, and TSan would
    // see a race in it.
    void Finish(const absl::Status& status) override {
      pipe.mailbox_.Post([this, code = status.code(), text = std::string(status.message())] {
        pipe.OnFinish(*this, absl::Status(code, text));
      });
    }
    void Cancel() override { pipe.Break(); }

    PeerPipe& pipe;
    std::shared_ptr<Connection> connection;
    bool ended = false;
  };

  void Deliver(End& from, const v1::PeerMessage& message) {
    End& to = &from == &client_ ? server_ : client_;
    const bool ok = !from.ended && !to.ended;
    if (ok) {
      to.connection->OnMessage(message);
    }
    if (!from.ended) {
      from.connection->OnWriteDone(ok);
    }
  }
  void OnFinish(End& end, const absl::Status& status) {
    if (&end == &server_) {
      EndServer();
      EndClient(status);
      return;
    }
    EndClient(absl::CancelledError("cancelled"));
    if (!server_.ended && server_.connection != nullptr) {
      server_.connection->OnPeerClosed();
    }
  }
  void EndClient(const absl::Status& status) {
    if (!client_.ended) {
      client_.ended = true;
      client_.connection->OnDone(status);
      Count();
    }
  }
  void EndServer() {
    if (!server_.ended) {
      server_.ended = true;
      server_.connection->OnDone();
      Count();
    }
  }
  void Count() {
    std::lock_guard guard(mutex_);
    ++ended_;
    if (server_.connection == nullptr) {
      ++ended_;
    }
    changed_.notify_all();
  }

  const size_t from_;
  const size_t to_;
  End client_{*this};
  End server_{*this};
  std::mutex mutex_;
  std::condition_variable changed_;
  int ended_ = 0;
  Mailbox mailbox_;  // last: its tasks use the rest
};

class InProcessDialler final : public serve::PeerDialler {
 public:
  InProcessDialler(PeerNetwork& network, size_t index, size_t addresses)
      : network_(network), index_(index), addresses_(addresses) {}
  std::vector<serve::PeerAddress> Addresses() override {
    std::vector<serve::PeerAddress> addresses;
    for (size_t i = 0; i < addresses_; ++i) {
      addresses.push_back({"replicas", std::to_string(i)});
    }
    return addresses;
  }
  void Dial(const serve::PeerAddress& address, std::shared_ptr<Connection> connection) override {
    network_.Dial(index_, std::stoul(address.address), std::move(connection));
  }

 private:
  PeerNetwork& network_;
  const size_t index_;
  const size_t addresses_;
};

PeerNetwork::~PeerNetwork() {
  for (const auto& pipe : pipes_) {
    pipe->Break();
  }
  for (const auto& pipe : pipes_) {
    pipe->AwaitEnd();
  }
}

void PeerNetwork::SetExchange(size_t index, serve::PeerExchange* exchange) {
  std::lock_guard guard(mutex_);
  exchanges_[index] = exchange;
}

void PeerNetwork::SetRoad(size_t a, size_t b, bool open) {
  std::lock_guard guard(mutex_);
  if (open) {
    closed_.erase(std::minmax(a, b));
    return;
  }
  closed_.insert(std::minmax(a, b));
  for (const auto& pipe : pipes_) {
    if (pipe->Connects(a, b)) {
      pipe->Break();
    }
  }
}

std::unique_ptr<serve::PeerDialler> PeerNetwork::MakeDialler(size_t index) {
  return std::make_unique<InProcessDialler>(*this, index, exchanges_.size());
}

size_t PeerNetwork::dials() const {
  std::lock_guard guard(mutex_);
  return pipes_.size();
}

void PeerNetwork::Dial(size_t from, size_t to, std::shared_ptr<Connection> connection) {
  auto pipe = std::make_shared<PeerPipe>(from, to);
  std::lock_guard guard(mutex_);
  pipes_.push_back(pipe);
  const bool open = !closed_.contains(std::minmax(from, to));
  pipe->Open(std::move(connection), open ? exchanges_[to] : nullptr);
}

}  // namespace rota::tests
