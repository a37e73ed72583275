#include "tests/support/mock_llm/server.h"

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::mock_llm {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

constexpr char kChat[] = R"({"model":"gpt-4o","messages":[{"role":"user","content":"hi"}]})";

// A blocking client on one connection. Every wait ends after ten seconds with an error.
class Client {
 public:
  explicit Client(const HostPort& address) : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_port = htons(address.port);
    inet_pton(AF_INET, address.host.c_str(), &peer.sin_addr);
    const timeval timeout{10, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer), 0);
  }
  ~Client() { Close(); }
  void Close() {
    if (fd_ >= 0) {
      close(fd_);
      fd_ = -1;
    }
  }
  void Send(const std::string& text) {
    EXPECT_EQ(send(fd_, text.data(), text.size(), MSG_NOSIGNAL), static_cast<ssize_t>(text.size()));
  }
  // Reads until the text ends with `end`, the peer closes or time is up.
  std::string ReadUntil(const std::string& end) {
    std::string text;
    char byte = 0;
    while (!absl::EndsWith(text, end) && recv(fd_, &byte, 1, 0) == 1) {
      text.push_back(byte);
    }
    return text;
  }
  std::string ReadToEnd() { return ReadUntil("never sent by anybody"); }
  // A whole answer with a content-length.
  std::string ReadAnswer() {
    std::string head = ReadUntil("\r\n\r\n");
    const size_t at = head.find("content-length: ");
    std::string body;
    for (size_t left = at == std::string::npos ? 0 : std::stoul(head.substr(at + 16)); left > 0;
         --left) {
      char byte = 0;
      if (recv(fd_, &byte, 1, 0) != 1) {
        break;
      }
      body.push_back(byte);
    }
    return head + body;
  }
  std::string Post(const std::string& path, const std::string& body,
                   const std::string& headers = "") {
    Send(absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: mock\r\n", headers,
                      "Content-Length: ", body.size(), "\r\n\r\n", body));
    return ReadAnswer();
  }
  std::string Request(const std::string& method, const std::string& path) {
    Send(absl::StrCat(method, " ", path, " HTTP/1.1\r\nHost: mock\r\n\r\n"));
    return ReadAnswer();
  }

 private:
  int fd_;
};

nlohmann::json BodyOf(const std::string& answer) {
  return nlohmann::json::parse(answer.substr(answer.find("\r\n\r\n") + 4), nullptr, false);
}

class MockServerTest : public testing::Test {
 protected:
  void StartServer(ServerOptions options = {}) {
    auto started = Server::Start(std::move(options), clock_);
    ASSERT_TRUE(started.ok()) << started.status();
    server_ = *std::move(started);
  }
  void Behave(const std::string& model, const std::string& behavior) {
    Client client(server_->address());
    const std::string answer =
        client.Post("/control/behaviors", absl::StrCat("{\"", model, "\":", behavior, "}"));
    ASSERT_THAT(answer, StartsWith("HTTP/1.1 200")) << answer;
  }
  nlohmann::json Requests() {
    Client client(server_->address());
    return BodyOf(client.Request("GET", "/control/requests"));
  }
  RealClock clock_;
  std::unique_ptr<Server> server_;
};

TEST_F(MockServerTest, AnswersManyRequestsOnOneConnectionAndEchoesTheModel) {
  StartServer();
  Client client(server_->address());

  for (int i = 0; i < 3; ++i) {
    const std::string answer = client.Post("/v1/chat/completions", kChat);
    ASSERT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    const nlohmann::json body = BodyOf(answer);
    EXPECT_EQ(body["model"], "gpt-4o");
    EXPECT_EQ(body["usage"]["total_tokens"], body["usage"]["prompt_tokens"].get<int>() +
                                                 body["usage"]["completion_tokens"].get<int>());
  }
}

TEST_F(MockServerTest, TakesPipelinedRequestsInOrder) {
  StartServer();
  Client client(server_->address());
  const std::string get = "GET /v1/models HTTP/1.1\r\nHost: mock\r\n\r\n";

  client.Send(get + "GET /nope HTTP/1.1\r\nHost: mock\r\n\r\n" + get);

  EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 404"));
  EXPECT_THAT(client.ReadAnswer(), StartsWith("HTTP/1.1 200"));
}

TEST_F(MockServerTest, StreamsEventsAndUsageAndDone) {
  StartServer();
  Client client(server_->address());

  const std::string body =
      R"({"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{}]})";
  client.Send(absl::StrCat("POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: ",
                           body.size(), "\r\n\r\n", body));
  const std::string answer = client.ReadUntil("0\r\n\r\n");

  EXPECT_THAT(answer, HasSubstr("content-type: text/event-stream"));
  EXPECT_THAT(answer, HasSubstr("\"role\":\"assistant\""));
  EXPECT_THAT(answer, HasSubstr("\"choices\":[],\"usage\":{\"prompt_tokens\":"));
  EXPECT_THAT(answer, EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
}

TEST_F(MockServerTest, MisbehavesAsToldAndOnlyForTheFirstRequests) {
  StartServer();
  Behave("gpt-4o", R"({"status":429,"headers":{"retry-after":"5"},"first":1})");
  Client client(server_->address());

  const std::string first = client.Post("/v1/chat/completions", kChat);
  const std::string second = client.Post("/v1/chat/completions", kChat);

  EXPECT_THAT(first, StartsWith("HTTP/1.1 429 Too Many Requests\r\n"));
  EXPECT_THAT(first, HasSubstr("retry-after: 5\r\n"));
  EXPECT_EQ(BodyOf(first)["error"]["code"], "rate_limit_exceeded");
  EXPECT_THAT(second, StartsWith("HTTP/1.1 200"));
}

TEST_F(MockServerTest, CutsAStreamWithoutDone) {
  StartServer();
  Behave("cut", R"({"cut_after_chunks":2})");
  Client client(server_->address());
  const std::string body = R"({"model":"cut","stream":true,"messages":[{}]})";

  client.Send(absl::StrCat("POST /chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: ",
                           body.size(), "\r\n\r\n", body));
  const std::string answer = client.ReadToEnd();

  EXPECT_THAT(answer, HasSubstr("data: {"));
  EXPECT_THAT(answer, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(answer, Not(EndsWith("0\r\n\r\n")));
  EXPECT_EQ(Requests()["models"]["cut"]["cut"], 1);
}

TEST_F(MockServerTest, CutsAPlainAnswerInTheMiddle) {
  StartServer();
  Behave("gpt-4o", R"({"cut_after_bytes":10})");
  Client client(server_->address());

  const std::string answer = client.Post("/v1/chat/completions", kChat);

  EXPECT_EQ(answer.size() - answer.find("\r\n\r\n") - 4, 10u);
}

TEST_F(MockServerTest, NoticesThatTheClientLeftWhileItHangs) {
  StartServer();
  Behave("gpt-4o", R"({"hang":true})");
  Client client(server_->address());
  client.Send(absl::StrCat("POST /v1/chat/completions HTTP/1.1\r\nHost: mock\r\nContent-Length: ",
                           sizeof kChat - 1, "\r\n\r\n", kChat));
  const MonotonicTime deadline = clock_.Now() + std::chrono::seconds(10);
  const auto wait_for = [&](const char* what) {
    while (clock_.Now() < deadline) {
      const nlohmann::json models = Requests()["models"];
      if (models.contains("gpt-4o") && models["gpt-4o"][what] == 1) {
        return true;
      }
    }
    return false;
  };
  ASSERT_TRUE(wait_for("open"));

  client.Close();

  EXPECT_TRUE(wait_for("client_gone"));
}

TEST_F(MockServerTest, ShowsWhatReachedItHeadersIncluded) {
  StartServer();
  Client client(server_->address());
  client.Post("/v1/chat/completions?api-version=1", kChat, "X-One: a\r\nx-one: b\r\n");

  const nlohmann::json request = Requests()["requests"][0];

  EXPECT_EQ(request["method"], "POST");
  EXPECT_EQ(request["target"], "/v1/chat/completions?api-version=1");
  EXPECT_EQ(request["body"], kChat);
  EXPECT_EQ(request["model"], "gpt-4o");
  EXPECT_EQ(request["headers"][1], nlohmann::json::array({"X-One", "a"}));
  EXPECT_EQ(request["headers"][2], nlohmann::json::array({"x-one", "b"}));

  client.Request("DELETE", "/control/requests");
  EXPECT_EQ(Requests()["total"], 0);
}

TEST_F(MockServerTest, KeepsABoundedNumberOfRequests) {
  ServerOptions options;
  options.keep_requests = 2;
  StartServer(std::move(options));
  Client client(server_->address());
  for (int i = 0; i < 5; ++i) {
    client.Post("/v1/chat/completions", kChat);
  }

  const nlohmann::json all = Requests();

  EXPECT_EQ(all["total"], 5);
  ASSERT_EQ(all["requests"].size(), 2u);
  EXPECT_EQ(all["requests"][1]["number"], 5);
}

TEST_F(MockServerTest, RefusesAnyOtherKeyThanTheRequiredOne) {
  ServerOptions options;
  options.answer.require_key = "right";
  StartServer(std::move(options));
  Client client(server_->address());

  EXPECT_THAT(client.Post("/v1/chat/completions", kChat), StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(client.Post("/v1/chat/completions", kChat, "Authorization: Bearer wrong\r\n"),
              StartsWith("HTTP/1.1 401"));
  EXPECT_THAT(client.Post("/v1/chat/completions", kChat, "Authorization: Bearer right\r\n"),
              StartsWith("HTTP/1.1 200"));
  EXPECT_THAT(client.Post("/v1/chat/completions", kChat, "api-key: right\r\n"),
              StartsWith("HTTP/1.1 200"));
}

TEST_F(MockServerTest, RefusesRequestsThatOpenAiWouldRefuse) {
  StartServer();
  Client client(server_->address());

  for (const char* body :
       {"", "[]", "{\"model\":\"m\"", R"({"messages":[{}]})", R"({"model":1,"messages":[{}]})",
        R"({"model":"m","model":"m","messages":[{}]})", R"({"model":"m"})",
        R"({"model":"m","messages":{}})", R"({"model":"m","messages":[]})",
        R"({"model":"m","messages":[{}],"stream":"yes"})"}) {
    const std::string answer = client.Post("/v1/chat/completions", body);
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 400")) << body;
    EXPECT_EQ(BodyOf(answer)["error"]["type"], "invalid_request_error") << body;
  }
}

TEST_F(MockServerTest, RefusesBodiesOverTheLimit) {
  ServerOptions options;
  options.max_body_bytes = 100;
  StartServer(std::move(options));
  Client client(server_->address());

  EXPECT_THAT(client.Post("/v1/chat/completions", std::string(200, ' ')),
              StartsWith("HTTP/1.1 413"));
}

TEST_F(MockServerTest, LoopsShareOnePort) {
  ServerOptions options;
  options.threads = 2;
  StartServer(std::move(options));

  for (int i = 0; i < 20; ++i) {
    Client client(server_->address());
    EXPECT_THAT(client.Post("/v1/chat/completions", kChat), StartsWith("HTTP/1.1 200"));
  }

  EXPECT_EQ(Requests()["models"]["gpt-4o"]["requests"], 20);
}

TEST(MockServerStartTest, SaysWhyItCannotStart) {
  const RealClock clock;
  ServerOptions bad_host;
  bad_host.listen = {"not an address", 0};
  ServerOptions bad_tls;
  bad_tls.tls_certificate_file = "/nonexistent/cert.pem";
  bad_tls.tls_key_file = "/nonexistent/key.pem";

  EXPECT_THAT(std::string(Server::Start(bad_host, clock).status().message()),
              HasSubstr("not an address"));
  EXPECT_THAT(std::string(Server::Start(bad_tls, clock).status().message()),
              HasSubstr("/nonexistent/cert.pem"));
}

}  // namespace
}  // namespace rota::mock_llm
