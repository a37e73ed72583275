#include "tests/support/tcp_relay.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace rota::testing {
namespace {

constexpr size_t kSlowPiece = 512;
constexpr size_t kPiece = 16 << 10;

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// Closes with a reset instead of a FIN.
void Abort(int fd) {
  const linger now{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
  close(fd);
}

bool SendAll(int fd, const char* data, size_t size) {
  while (size > 0) {
    const ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
    if (sent <= 0) {
      return false;
    }
    data += sent;
    size -= static_cast<size_t>(sent);
  }
  return true;
}

}  // namespace

struct TcpRelay::Pair {
  Pair(int client_fd, int server_fd) : client(client_fd), server(server_fd) {}
  ~Pair() {
    Abort(client);
    Abort(server);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  int client;
  int server;
};

TcpRelay::TcpRelay(uint16_t target_port) : target_port_(target_port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  socklen_t size = sizeof(address);
  std::array<int, 2> pipe_ends{};
  if (bind(listener_, generic, size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, generic, &size) != 0 ||
      pipe2(pipe_ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  wake_read_ = pipe_ends[0];
  wake_write_ = pipe_ends[1];
  thread_ = std::jthread([this](std::stop_token stop) { Run(std::move(stop)); });
}

TcpRelay::~TcpRelay() {
  thread_.request_stop();
  Wake();
  thread_.join();
  pairs_.clear();
  close(listener_);
  close(wake_read_);
  close(wake_write_);
}

void TcpRelay::ResetAll() {
  reset_all_ = true;
  Wake();
}

void TcpRelay::ResetAfter(int64_t bytes) { reset_after_ = bytes; }

void TcpRelay::SetClosed(bool closed) {
  closed_ = closed;
  Wake();
}

void TcpRelay::SetPause(Duration pause) {
  pause_ms_ = std::chrono::duration_cast<std::chrono::milliseconds>(pause).count();
}

void TcpRelay::Wake() {
  const char byte = 'x';
  [[maybe_unused]] const ssize_t ignored = write(wake_write_, &byte, 1);  // full: awake anyway
}

void TcpRelay::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    std::vector<pollfd> watched = {{wake_read_, POLLIN, 0}, {listener_, POLLIN, 0}};
    for (const Pair& pair : pairs_) {
      watched.push_back({pair.client, POLLIN, 0});
      watched.push_back({pair.server, POLLIN, 0});
    }
    poll(watched.data(), watched.size(), -1);
    std::array<char, 64> drained{};
    while (read(wake_read_, drained.data(), drained.size()) > 0) {
    }
    if (reset_all_.exchange(false) || closed_) {
      resets_ += pairs_.size();
      pairs_.clear();
    } else {
      size_t i = 2;
      for (auto pair = pairs_.begin(); pair != pairs_.end(); i += 2) {
        const bool lives = (watched[i].revents == 0 || Forward(*pair, false)) &&
                           (watched[i + 1].revents == 0 || Forward(*pair, true));
        pair = lives ? std::next(pair) : pairs_.erase(pair);
      }
    }
    if (watched[1].revents != 0) {
      Accept();
    }
  }
}

void TcpRelay::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) {
    return;
  }
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(target_port_);
  if (closed_ || connect(server, reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    Abort(client);
    close(server);
    return;
  }
  pairs_.emplace_back(client, server);
}

bool TcpRelay::Forward(Pair& pair, bool from_server) {
  const int64_t pause = from_server ? pause_ms_.load() : 0;
  if (pause > 0) {
    poll(nullptr, 0, static_cast<int>(pause));
  }
  std::array<char, kPiece> data{};
  const ssize_t size = recv(from_server ? pair.server : pair.client, data.data(),
                            pause > 0 ? kSlowPiece : data.size(), 0);
  if (size <= 0) {
    return false;
  }
  size_t passed = static_cast<size_t>(size);
  const int64_t left = reset_after_;
  bool lives = true;
  if (from_server && left > 0) {
    lives = left > size;
    passed = lives ? passed : static_cast<size_t>(left);
    reset_after_ = lives ? left - size : 0;
  }
  resets_ += lives ? 0 : 1;
  return SendAll(from_server ? pair.client : pair.server, data.data(), passed) && lives;
}

}  // namespace rota::testing
