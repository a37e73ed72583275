#pragma once

// One accepted connection of the fake API server, plain or TLS: reads requests, writes answers,
// resets. Used by one thread; Cut() may come from another.

#include <openssl/ssl.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace rota::testing {

struct FakeRequest {
  std::string method;
  std::string target;  // as sent
  std::string path;    // decoded parts, without the query
  std::map<std::string, std::string> query;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

class FakeConnection {
 public:
  // Takes `fd` over. `context` nullptr: plain.
  FakeConnection(int fd, SSL_CTX* context);
  ~FakeConnection();

  bool Handshake();
  // nullopt: the client has gone, or what it sent is no request.
  std::optional<FakeRequest> Read();
  bool Write(std::string_view data);
  bool WriteAnswer(int code, const std::string& content_type, const std::string& extra_headers,
                   const std::string& body);
  bool WriteChunk(std::string_view data);
  bool EndChunks() { return Write("0\r\n\r\n"); }
  // RST instead of FIN.
  void Reset();
  // Ends what happens on it, from any thread.
  void Cut();
  // True when the client has closed its side; waits at most `milliseconds`.
  bool ClientGone(int milliseconds);

 private:
  bool FillBuffer();

  int fd_;
  SSL_CTX* context_;
  SSL* ssl_ = nullptr;
  std::string buffer_;
};

}  // namespace rota::testing
