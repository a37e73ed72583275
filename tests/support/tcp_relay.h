#pragma once

// A road between a client and a server on this machine, for tests of what happens when it breaks:
// connections can be reset, also in the middle of an answer, new ones refused, and answers slowed
// down.
//
// Thread-safe. Connections are bounded by the clients of the test.

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <thread>

#include "common/clock.h"

namespace rota::testing {

class TcpRelay {
 public:
  // Listens on a free port of 127.0.0.1 and forwards to `target_port` there.
  explicit TcpRelay(uint16_t target_port);
  ~TcpRelay();
  TcpRelay(const TcpRelay&) = delete;
  TcpRelay& operator=(const TcpRelay&) = delete;

  uint16_t port() const { return port_; }

  // Resets every connection at once.
  void ResetAll();
  // Resets the connection over which the next `bytes` from the server have come, wherever in an
  // answer that is; once.
  void ResetAfter(int64_t bytes);
  // While closed, connections are reset and new ones are, too.
  void SetClosed(bool closed);
  // Answers come 512 bytes at a time with this pause in between. Zero: as fast as they can.
  void SetPause(Duration pause);
  // Connections that were reset since the start.
  uint64_t resets() const { return resets_; }

 private:
  struct Pair;

  void Run(std::stop_token stop);
  void Accept();
  // False when the pair has ended.
  bool Forward(Pair& pair, bool from_server);
  void Wake();

  uint16_t target_port_;
  uint16_t port_ = 0;
  int listener_ = -1;
  int wake_read_ = -1;
  int wake_write_ = -1;
  std::atomic<bool> reset_all_ = false;
  std::atomic<bool> closed_ = false;
  std::atomic<int64_t> reset_after_ = 0;  // 0: not asked for
  std::atomic<int64_t> pause_ms_ = 0;
  std::atomic<uint64_t> resets_ = 0;
  std::list<Pair> pairs_;  // of the thread
  std::jthread thread_;
};

}  // namespace rota::testing
