#include "tests/support/fake_apiserver_wire.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace rota::testing {
namespace {

constexpr size_t kMaxHead = size_t{64} << 10;
constexpr size_t kMaxBody = size_t{16} << 20;

std::string PercentDecode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace

FakeConnection::FakeConnection(int fd, SSL_CTX* context) : fd_(fd), context_(context) {}

FakeConnection::~FakeConnection() {
  if (ssl_ != nullptr) {
    SSL_free(ssl_);
  }
  close(fd_);
}

bool FakeConnection::Handshake() {
  if (context_ == nullptr) {
    return true;
  }
  ssl_ = SSL_new(context_);
  SSL_set_fd(ssl_, fd_);
  return SSL_accept(ssl_) == 1;
}

bool FakeConnection::FillBuffer() {
  std::array<char, 16384> bytes{};
  const ssize_t count = ssl_ != nullptr
                            ? SSL_read(ssl_, bytes.data(), static_cast<int>(bytes.size()))
                            : recv(fd_, bytes.data(), bytes.size(), 0);
  if (count <= 0) {
    return false;
  }
  buffer_.append(bytes.data(), static_cast<size_t>(count));
  return true;
}

std::optional<FakeRequest> FakeConnection::Read() {
  size_t end = 0;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    if (buffer_.size() > kMaxHead || !FillBuffer()) {
      return std::nullopt;
    }
  }
  const std::string head = buffer_.substr(0, end);
  buffer_.erase(0, end + 4);
  FakeRequest request;
  const std::vector<std::string> lines = absl::StrSplit(head, "\r\n");
  const std::vector<std::string> words = absl::StrSplit(lines.front(), ' ');
  if (words.size() != 3) {
    return std::nullopt;
  }
  request.method = words[0];
  request.target = words[1];
  const std::pair<std::string, std::string> parts =
      absl::StrSplit(request.target, absl::MaxSplits('?', 1));
  request.path = PercentDecode(parts.first);
  for (const absl::string_view pair : absl::StrSplit(parts.second, '&', absl::SkipEmpty())) {
    const std::pair<std::string, std::string> item = absl::StrSplit(pair, absl::MaxSplits('=', 1));
    request.query[item.first] = PercentDecode(item.second);
  }
  for (size_t i = 1; i < lines.size(); ++i) {
    const std::pair<std::string, std::string> header =
        absl::StrSplit(lines[i], absl::MaxSplits(':', 1));
    request.headers[absl::AsciiStrToLower(header.first)] =
        std::string(absl::StripAsciiWhitespace(header.second));
  }
  size_t length = 0;
  if (const auto header = request.headers.find("content-length");
      header != request.headers.end() &&
      (!absl::SimpleAtoi(header->second, &length) || length > kMaxBody)) {
    return std::nullopt;
  }
  while (buffer_.size() < length) {
    if (!FillBuffer()) {
      return std::nullopt;
    }
  }
  request.body = buffer_.substr(0, length);
  buffer_.erase(0, length);
  return request;
}

bool FakeConnection::Write(std::string_view data) {
  while (!data.empty()) {
    const ssize_t count = ssl_ != nullptr
                              ? SSL_write(ssl_, data.data(), static_cast<int>(data.size()))
                              : send(fd_, data.data(), data.size(), MSG_NOSIGNAL);
    if (count <= 0) {
      return false;
    }
    data.remove_prefix(static_cast<size_t>(count));
  }
  return true;
}

bool FakeConnection::WriteAnswer(int code, const std::string& content_type,
                                 const std::string& extra_headers, const std::string& body) {
  return Write(absl::StrCat("HTTP/1.1 ", code, " Answer\r\nContent-Type: ", content_type,
                            "\r\nContent-Length: ", body.size(), "\r\n", extra_headers, "\r\n",
                            body));
}

bool FakeConnection::WriteChunk(std::string_view data) {
  return Write(absl::StrCat(absl::Hex(data.size()), "\r\n", std::string(data), "\r\n"));
}

void FakeConnection::Reset() {
  const linger abort{1, 0};
  setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort));
}

void FakeConnection::Cut() { shutdown(fd_, SHUT_RDWR); }

bool FakeConnection::ClientGone(int milliseconds) {
  pollfd waiting{fd_, POLLRDHUP, 0};
  return poll(&waiting, 1, milliseconds) > 0;
}

}  // namespace rota::testing
