#pragma once

// An IP address with a port, as the operating system takes it, and what may be connected to.
// Thread-safe (values and pure functions).

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace rota::engine {

class SocketAddress {
 public:
  SocketAddress() = default;
  // REQUIRES: `length` is that of a sockaddr_in or sockaddr_in6.
  SocketAddress(const sockaddr* address, socklen_t length);
  // A literal without brackets: "127.0.0.1", "::1". nullopt when it is a name.
  static std::optional<SocketAddress> Parse(std::string_view literal, uint16_t port);

  const sockaddr* data() const { return reinterpret_cast<const sockaddr*>(&storage_); }
  socklen_t size() const;
  int family() const { return storage_.sin6_family; }
  uint16_t port() const;
  void set_port(uint16_t port);
  // "192.0.2.1", "2001:db8::1"; an IPv4 address that was mapped into IPv6 is shown as IPv4.
  std::string HostString() const;
  // Loopback, link-local, unspecified, multicast, and the addresses of cloud metadata services,
  // also when they are wrapped (::ffff:a.b.c.d, NAT64 64:ff9b::, 6to4): never an upstream unless
  // the gateway allows it.
  bool is_local() const;

 private:
  sockaddr_in6 storage_{};  // also holds a sockaddr_in, which is smaller
};

}  // namespace rota::engine
