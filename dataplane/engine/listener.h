#pragma once

// Listening sockets: one per loop on the same port (SO_REUSEPORT), so that the kernel spreads
// connections. Also what the process has to do before it opens many of them. Thread-compatible.

#include <cstddef>
#include <vector>

#include "absl/status/statusor.h"
#include "common/address.h"

namespace rota::engine {

// Closes what is not released.
class ListeningSockets {
 public:
  // `count` sockets on `address`; a host name is looked up, port 0 becomes a free one. The error
  // names the address and what to do.
  static absl::StatusOr<ListeningSockets> Open(const HostPort& address, size_t count);
  ListeningSockets(ListeningSockets&& other) noexcept;
  ListeningSockets& operator=(ListeningSockets&&) = delete;
  ~ListeningSockets();

  const HostPort& address() const { return address_; }
  // The caller owns it from now on.
  int Release(size_t index);

 private:
  ListeningSockets() = default;
  HostPort address_;
  std::vector<int> descriptors_;
};

// Raises RLIMIT_NOFILE to the hard limit, grows the descriptor table (in a process with threads
// that would stall every loop for 15-20 ms each time), ignores SIGPIPE. Returns the number of
// descriptors that the process may open. To be called before threads start; harmless later.
size_t PrepareProcess();

}  // namespace rota::engine
