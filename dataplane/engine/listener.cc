#include "dataplane/engine/listener.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "dataplane/engine/resolver.h"
#include "dataplane/engine/socket_address.h"

namespace rota::engine {
namespace {

constexpr int kBacklog = 4096;
constexpr rlim_t kPreparedDescriptors = 16384;

// -1 with errno.
int OpenOne(const SocketAddress& address) {
  const int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (descriptor < 0) {
    return -1;
  }
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
  if (::bind(descriptor, address.data(), address.size()) != 0 ||
      ::listen(descriptor, kBacklog) != 0) {
    const int error = errno;
    ::close(descriptor);
    errno = error;
    return -1;
  }
  return descriptor;
}

// Whether somebody listens there: SO_REUSEPORT would let two programs share the port by mistake.
bool IsTaken(const SocketAddress& address) {
  if (address.port() == 0) {
    return false;
  }
  const int descriptor = ::socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (descriptor < 0) {
    return false;
  }
  const int on = 1;
  ::setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  const bool taken = ::bind(descriptor, address.data(), address.size()) != 0 && errno == EADDRINUSE;
  ::close(descriptor);
  return taken;
}

absl::Status BindError(const HostPort& address, int error) {
  std::string advice;
  if (error == EADDRINUSE) {
    advice = "; another program listens there: stop it or choose another port (0 picks a free one)";
  } else if (error == EACCES) {
    advice = "; ports below 1024 need the capability CAP_NET_BIND_SERVICE: choose a higher one";
  } else if (error == EADDRNOTAVAIL) {
    advice = "; this machine does not have that address";
  }
  return absl::UnavailableError(
      absl::StrCat("cannot listen on ", address.ToString(), ": ", std::strerror(error), advice));
}

}  // namespace

absl::StatusOr<ListeningSockets> ListeningSockets::Open(const HostPort& address, size_t count) {
  SocketAddress bound;
  if (const auto literal = SocketAddress::Parse(address.host, address.port)) {
    bound = *literal;
  } else {
    const Resolution resolution = Resolver::SystemLookup(address.host);
    if (resolution.addresses.empty()) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", address.ToString(), ": ", resolution.error));
    }
    bound = resolution.addresses.front();
    bound.set_port(address.port);
  }
  if (IsTaken(bound)) {
    return BindError(address, EADDRINUSE);
  }
  ListeningSockets sockets;
  for (size_t i = 0; i < count; ++i) {
    const int descriptor = OpenOne(bound);
    if (descriptor < 0) {
      return BindError(address, errno);
    }
    sockets.descriptors_.push_back(descriptor);
    // The others take the port that the first one was given.
    sockaddr_storage actual{};
    socklen_t length = sizeof(actual);
    ::getsockname(descriptor, reinterpret_cast<sockaddr*>(&actual), &length);
    bound = SocketAddress(reinterpret_cast<const sockaddr*>(&actual), length);
  }
  sockets.address_ = {bound.HostString(), bound.port()};
  return sockets;
}

ListeningSockets::ListeningSockets(ListeningSockets&& other) noexcept
    : address_(std::move(other.address_)), descriptors_(std::exchange(other.descriptors_, {})) {}

ListeningSockets::~ListeningSockets() {
  for (const int descriptor : descriptors_) {
    if (descriptor >= 0) {
      ::close(descriptor);
    }
  }
}

int ListeningSockets::Release(size_t index) { return std::exchange(descriptors_[index], -1); }

size_t PrepareProcess() {
  std::signal(SIGPIPE, SIG_IGN);
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
  }
  const int source = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  if (source >= 0) {
    const rlim_t highest = std::min<rlim_t>(kPreparedDescriptors, limit.rlim_cur - 1);
    const int descriptor = ::fcntl(source, F_DUPFD_CLOEXEC, static_cast<int>(highest));
    if (descriptor >= 0) {
      ::close(descriptor);
    }
    ::close(source);
  }
  return static_cast<size_t>(std::min<rlim_t>(limit.rlim_cur, 1 << 24));
}

}  // namespace rota::engine
