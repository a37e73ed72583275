#include "dataplane/engine/socket_address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace rota::engine {
namespace {

using V4 = std::array<uint8_t, 4>;
using V6 = std::array<uint8_t, 16>;

bool IsLocalV4(const V4& a) {
  if (a[0] == 0 || a[0] == 127 || a[0] >= 224) {
    return true;  // this network, loopback, multicast and reserved, broadcast
  }
  if (a[0] == 169 && a[1] == 254) {
    return true;  // link-local: metadata services of AWS, Azure, Google, ECS
  }
  // Metadata services outside link-local: Alibaba 100.100.100.200, Oracle 192.0.0.192, Azure's wire
  // server.
  return a == V4{100, 100, 100, 200} || a == V4{192, 0, 0, 192} || a == V4{168, 63, 129, 16};
}

// The IPv4 address that an IPv6 one carries.
std::optional<V4> Embedded(const V6& a) {
  static constexpr V6 kMapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  static constexpr V6 kNat64 = {0, 0x64, 0xff, 0x9b};
  if (std::equal(a.begin(), a.begin() + 12, kMapped.begin()) ||
      std::equal(a.begin(), a.begin() + 12, kNat64.begin())) {
    return V4{a[12], a[13], a[14], a[15]};
  }
  if (a[0] == 0x20 && a[1] == 0x02) {
    return V4{a[2], a[3], a[4], a[5]};
  }
  return std::nullopt;
}

bool IsLocalV6(const V6& a) {
  if (const std::optional<V4> inner = Embedded(a)) {
    return IsLocalV4(*inner);
  }
  const bool zero_prefix = std::all_of(a.begin(), a.begin() + 12, [](uint8_t b) { return b == 0; });
  const bool link_local = a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
  static constexpr V6 kAwsMetadata = {0xfd, 0x00, 0x0e, 0xc2, 0, 0, 0,    0,
                                      0,    0,    0,    0,    0, 0, 0x02, 0x54};
  return zero_prefix || link_local || a[0] == 0xff || a == kAwsMetadata;
}

}  // namespace

SocketAddress::SocketAddress(const sockaddr* address, socklen_t length) {
  std::memcpy(&storage_, address, std::min<size_t>(length, sizeof(storage_)));
}

std::optional<SocketAddress> SocketAddress::Parse(std::string_view literal, uint16_t port) {
  const std::string text(literal);
  SocketAddress result;
  in_addr v4{};
  if (inet_pton(AF_INET, text.c_str(), &v4) == 1) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr = v4;
    result = SocketAddress(reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  } else if (inet_pton(AF_INET6, text.c_str(), &result.storage_.sin6_addr) == 1) {
    result.storage_.sin6_family = AF_INET6;
  } else {
    return std::nullopt;
  }
  result.set_port(port);
  return result;
}

socklen_t SocketAddress::size() const {
  return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
}

// The port stands at the same place in both forms.
uint16_t SocketAddress::port() const { return ntohs(storage_.sin6_port); }
void SocketAddress::set_port(uint16_t port) { storage_.sin6_port = htons(port); }

std::string SocketAddress::HostString() const {
  char text[INET6_ADDRSTRLEN] = "";
  if (family() == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, &storage_, sizeof(address));
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof(text));
  } else if (family() == AF_INET6) {
    if (IN6_IS_ADDR_V4MAPPED(&storage_.sin6_addr)) {
      inet_ntop(AF_INET, &storage_.sin6_addr.s6_addr[12], text, sizeof(text));
    } else {
      inet_ntop(AF_INET6, &storage_.sin6_addr, text, sizeof(text));
    }
  }
  return text;
}

bool SocketAddress::is_local() const {
  if (family() == AF_INET) {
    sockaddr_in address{};
    std::memcpy(&address, &storage_, sizeof(address));
    V4 bytes{};
    std::memcpy(bytes.data(), &address.sin_addr, bytes.size());
    return IsLocalV4(bytes);
  }
  V6 bytes{};
  std::memcpy(bytes.data(), &storage_.sin6_addr, bytes.size());
  return IsLocalV6(bytes);
}

}  // namespace rota::engine
