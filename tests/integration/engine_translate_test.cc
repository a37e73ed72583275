// Requests in OpenAI's form to a provider that has another one, over real sockets: both ways, plain
// and streamed, failover between the forms, and streams that end badly.

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "dataplane/provider/test_frames.h"
#include "engine_test_support.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine::testing {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr std::string_view kHello =
    R"({"model":"x","messages":[{"role":"user","content":"Hello"}]})";
constexpr std::string_view kStreamed =
    R"({"model":"x","stream":true,"messages":[{"role":"user","content":"Hello"}]})";
constexpr std::string_view kClaudesAnswer =
    R"({"id":"msg_1","model":"claude","content":[{"type":"text","text":"from claude"}],)"
    R"("stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":5}})";
constexpr std::string_view kJson = "content-type: application/json\r\n";
constexpr std::string_view kOverloaded =
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
    "\"message\":\"Overloaded\"}}\n\n";

const std::vector<std::string>& Events() {
  static const auto* const events = new std::vector<std::string>{
      "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\","
      "\"model\":\"claude\",\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n",
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
      "\"type\":\"text_delta\",\"text\":\"from claude\"}}\n\n",
      "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
      "\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\n",
      "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"};
  return *events;
}

// A chunked stream of `events`, each sent in pieces of `size` bytes.
TestUpstream::Handler Stream(std::vector<std::string> events, size_t size = 1 << 20) {
  return [events = std::move(events), size](const Message&, Wire& wire) {
    wire.Send(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
        "transfer-encoding: chunked\r\n\r\n");
    for (const std::string& event : events) {
      for (size_t place = 0; place < event.size(); place += size) {
        const std::string piece = event.substr(place, size);
        wire.Send(absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n"));
      }
    }
    return wire.Send("0\r\n\r\n");
  };
}

// A rotation over an Anthropic endpoint (claude) and, with `gpt_port`, one in OpenAI's form.
std::string Api(uint16_t claude_port, uint16_t gpt_port = 0, std::string_view extra = "",
                std::string_view operation = R"(target: "/chat/completions" kind: CHAT)") {
  std::string api = absl::StrCat(
      "uid: \"u\" base_path: \"/chat\" version: \"1.0\" endpoints { url: \"http://127.0.0.1:",
      claude_port, "\" name: \"claude\" provider: \"anthropic\" }\n");
  std::string targets = absl::StrCat(
      "targets { id: \"t0\" model: \"claude\" endpoint: 0 weight: 1 ", std::string(extra), " }\n");
  if (gpt_port != 0) {
    absl::StrAppend(&api, "endpoints { url: \"http://127.0.0.1:", gpt_port,
                    "/v1\" name: \"gpt\" provider: \"openai\" }\n");
    absl::StrAppend(&targets, "targets { id: \"t1\" model: \"gpt\" endpoint: 1 weight: 1 ",
                    std::string(extra), " }\n");
  }
  return absl::StrCat(api,
                      "rotations { id: \"r\" environment: PRODUCTION quota_suspension { seconds: "
                      "60 } failure_threshold: 3 ",
                      targets, "}\noperations { verb: \"POST\" ", std::string(operation),
                      " production { rotation: 1 endpoint: 0 } }");
}

TEST(EngineTranslateTest, ARequestGoesInTheProvidersFormAndComesBackInOpenAis) {
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  TestGateway gateway(Api(claude.port()));

  const auto answer = Ask(
      gateway.port(),
      ChatRequest(R"({"seed":1,"messages":[{"role":"user","content":"Hello"}]})",
                  "content-type: application/json\r\naccept-encoding: gzip\r\nauthorization: x\r\n"
                  "x-trace: 7\r\n"));

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200);
  EXPECT_EQ(answer->Field("content-type"), "application/json");
  EXPECT_EQ(answer->Field("x-rota-dropped"), "seed");
  EXPECT_EQ(answer->Field("x-rota-model"), "claude");
  EXPECT_THAT(answer->body, HasSubstr(R"("content":"from claude")"));
  EXPECT_THAT(answer->body, HasSubstr(R"("object":"chat.completion")"));
  const Message request = claude.requests().at(0);
  EXPECT_THAT(request.start, StartsWith("POST /v1/messages HTTP/1.1"));
  EXPECT_EQ(request.Field("accept-encoding"), "identity");
  EXPECT_EQ(request.Field("anthropic-version"), "2023-06-01");
  EXPECT_EQ(request.Field("authorization"), "");
  EXPECT_EQ(request.Field("x-trace"), "7");
  EXPECT_EQ(request.body,
            R"({"model":"claude","max_tokens":4096,"messages":[{"role":"user","content":)"
            R"([{"type":"text","text":"Hello"}]}]})");
  EXPECT_TRUE(
      Eventually([&] { return gateway.Metric("rota_tokens_total", "kind=completion") == 5; }));
}

TEST(EngineTranslateTest, AStreamIsTranslatedHoweverItIsCut) {
  for (const size_t size : {1, 7, 1 << 20}) {
    TestUpstream claude(Stream(Events(), size));
    TestGateway gateway(Api(claude.port()));

    const auto answer = Ask(gateway.port(), ChatRequest(kStreamed));

    ASSERT_TRUE(answer.has_value());
    EXPECT_TRUE(answer->complete);
    EXPECT_EQ(answer->Field("content-type"), "text/event-stream");
    EXPECT_THAT(answer->body, HasSubstr(R"("delta":{"content":"from claude"})"));
    EXPECT_THAT(answer->body, EndsWith("data: [DONE]\n\n"));
    EXPECT_TRUE(
        Eventually([&] { return gateway.Metric("rota_tokens_total", "kind=completion") == 5; }));
  }
}

TEST(EngineTranslateTest, AStreamWithoutItsEndEndsWithAnErrorEvent) {
  for (const size_t events : {1, 2, 3}) {
    TestUpstream claude(
        Stream(std::vector<std::string>(Events().begin(), Events().begin() + events)));
    TestGateway gateway(Api(claude.port()));

    const auto answer = Ask(gateway.port(), ChatRequest(kStreamed));

    ASSERT_TRUE(answer.has_value());
    EXPECT_THAT(answer->body, HasSubstr("upstream_cut"));
    EXPECT_THAT(answer->body, Not(HasSubstr("[DONE]")));
  }
}

TEST(EngineTranslateTest, AnErrorInsideAStreamEndsItAndSuspends) {
  TestUpstream claude(Stream({Events()[0], Events()[1], std::string(kOverloaded), Events()[3]}));
  TestGateway gateway(Api(claude.port()));

  const auto answer = Ask(gateway.port(), ChatRequest(kStreamed));

  ASSERT_TRUE(answer.has_value());
  EXPECT_TRUE(answer->complete);
  EXPECT_THAT(answer->body, HasSubstr(R"({"error":{"message":"Overloaded")"));
  EXPECT_THAT(answer->body, Not(HasSubstr("[DONE]")));
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineTranslateTest, AQuotaErrorOfOneFormBecomesASuccessOfTheOther) {
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  TestUpstream gpt(
      Always(Answer(429, R"({"error":{"code":"rate_limit_exceeded"}})", "retry-after: 120\r\n")));
  TestGateway gateway(Api(claude.port(), gpt.port()));
  for (int i = 0; i < 4; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest(kHello));
    ASSERT_TRUE(answer.has_value());
    EXPECT_THAT(answer->body, HasSubstr("from claude"));
  }
  EXPECT_EQ(gpt.requests().size(), 1u);
  EXPECT_THAT(gpt.requests().at(0).start, StartsWith("POST /v1/chat/completions"));
  EXPECT_EQ(gpt.requests().at(0).body,
            R"({"model":"gpt","messages":[{"role":"user","content":"Hello"}]})");
}

TEST(EngineTranslateTest, AStreamThatBeginsWithAnErrorFailsOver) {
  TestUpstream claude(Stream({std::string(kOverloaded)}));
  TestUpstream gpt(Always(Answer(200, "from gpt")));
  TestGateway gateway(Api(claude.port(), gpt.port()));
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(Ask(gateway.port(), ChatRequest(kStreamed))->body, "from gpt");
  }
  EXPECT_EQ(claude.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineTranslateTest, TheLastErrorIsInOpenAisForm) {
  TestUpstream streaming(Stream({std::string(kOverloaded)}));
  TestUpstream refusing(
      Always(Answer(529, R"({"type":"error","error":{"type":"overloaded_error","message":"Busy"}})",
                    "retry-after: 7\r\nanthropic-organization-id: secret\r\n")));
  for (const TestUpstream* claude : {&streaming, &refusing}) {
    TestGateway gateway(Api(claude->port()));
    const auto answer = Ask(gateway.port(), ChatRequest(kStreamed));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 503);
    EXPECT_THAT(answer->body, HasSubstr(R"("code":"overloaded")"));
    EXPECT_THAT(answer->head, Not(HasSubstr("organization")));
  }
}

TEST(EngineTranslateTest, TheFirstOfTwoErrorsIsKeptInOpenAisForm) {
  TestUpstream claude(Always(Answer(
      529, R"({"type":"error","error":{"type":"overloaded_error","message":"Busy"}})", kJson)));
  const uint16_t closed = TestUpstream(Always("")).port();
  TestGateway gateway(Api(claude.port(), closed));
  for (int i = 0; i < 2; ++i) {
    const auto answer = Ask(gateway.port(), ChatRequest(kHello));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 503);
  }
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineTranslateTest, AFieldThatOneProviderCannotHaveGoesToTheOther) {
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  TestUpstream gpt(Always(Answer(200, "from gpt")));
  constexpr std::string_view kTwo = R"({"n":2,"messages":[{"role":"user","content":"x"}]})";
  {
    TestGateway gateway(Api(claude.port(), gpt.port()));
    for (int i = 0; i < 4; ++i) {
      EXPECT_EQ(Ask(gateway.port(), ChatRequest(kTwo))->body, "from gpt");
    }
  }
  TestGateway gateway(Api(claude.port()));
  const auto answer = Ask(gateway.port(), ChatRequest(kTwo));
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 400);
  EXPECT_THAT(answer->body, HasSubstr(R"("code":"unsupported_parameter","param":"n")"));
  EXPECT_TRUE(claude.requests().empty());
}

TEST(EngineTranslateTest, AnAnswerThatMakesNoSenseIsABadGateway) {
  TestUpstream claude(Always(Answer(200, "<html>", "content-type: text/html\r\n")));
  TestGateway gateway(Api(claude.port()));
  EXPECT_EQ(Ask(gateway.port(), ChatRequest(kHello))->status(), 502);
  TestUpstream cut([](const Message&, Wire& wire) {
    wire.Send("HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{");
    return false;
  });
  TestGateway other(Api(cut.port()));
  EXPECT_THAT(Ask(other.port(), ChatRequest(kHello))->body, HasSubstr("upstream_cut"));
}

TEST(EngineTranslateTest, WordsThatNobodyKnowsAreCounted) {
  TestUpstream streaming(
      Stream({Events()[0], "event: new\ndata: {\"type\":\"new\"}\n\n",
              "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":"
              "\"bored\"}}\n\n",
              Events()[3]}));
  TestGateway gateway(Api(streaming.port()));
  const auto answer = Ask(gateway.port(), ChatRequest(kStreamed));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->body, HasSubstr(R"("finish_reason":"stop")"));
  const auto count = [&gateway](const char* kind) {
    return gateway.Metric("rota_unknown_provider_words_total", kind);
  };
  EXPECT_TRUE(Eventually([&] { return count("kind=event") == 1; }));
  EXPECT_EQ(count("kind=finish_reason"), 1);
  EXPECT_EQ(gateway.Metric("rota_unknown_provider_words_total", "provider=anthropic"), 2);
}

TEST(EngineTranslateTest, AConnectionThatTheUpstreamClosesServesNoOtherRequest) {
  const std::string fields = std::string(kJson) + "connection: close\r\n";
  // Whole and as a stream; neither closes before the gateway does.
  TestUpstream claude([&fields](const Message& request, Wire& wire) {
    if (request.body.find("\"stream\":true") == std::string::npos) {
      return wire.Send(Answer(200, kClaudesAnswer, fields));
    }
    std::string events;
    for (const std::string& event : Events()) {
      events += event;
    }
    return wire.Send(
        Answer(200, events, "content-type: text/event-stream\r\nconnection: close\r\n"));
  });
  TestGateway gateway(Api(claude.port()));
  for (const std::string_view body : {kHello, kStreamed, kHello}) {
    const auto answer = Ask(gateway.port(), ChatRequest(body));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
  }
  EXPECT_EQ(claude.accepted(), 3u);
}

TEST(EngineTranslateTest, OnlyTheBodyOfTheTryThatIsUnderWayIsHeld) {
  TestUpstream full(Always(Answer(429, "{}", kJson)));
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  const std::string body = absl::StrCat(R"({"model":"x","messages":[{"role":"user","content":")",
                                        std::string(100'000, 'x'), R"("}]})");
  GatewayOptions options;
  options.limits.held_body_bytes = body.size() * 5 / 2;
  std::string api = ChatApi({full.port(), full.port(), claude.port()});
  for (size_t at = 0; (at = api.find("\"openai\"", at)) != std::string::npos;) {
    api.replace(at, 8, "\"anthropic\"");
  }
  TestGateway gateway(api, options);

  const auto answer = Ask(gateway.port(), ChatRequest(body));

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->status(), 200) << answer->body;
  EXPECT_EQ(claude.requests().size(), 1u);
}

TEST(EngineTranslateTest, ALargeAnswerComesWhole) {
  const std::string text(300'000, 'x');
  TestUpstream claude(Always(
      Answer(200, absl::StrCat(R"({"content":[{"type":"text","text":")", text, R"("}]})"), kJson)));
  TestGateway gateway(Api(claude.port()));
  const auto answer = Ask(gateway.port(), ChatRequest(kHello));
  ASSERT_TRUE(answer.has_value());
  EXPECT_THAT(answer->body, HasSubstr(text));
  EXPECT_TRUE(Eventually([&] { return gateway.Metric("rota_held_body_bytes") == 0; }));
}

TEST(EngineTranslateTest, AnyPathIsAChatOperationAndDefaultsFillIn) {
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  TestUpstream gpt(Always(Answer(200, "from gpt")));
  TestGateway gateway(Api(claude.port(), gpt.port(),
                          R"(defaults: "{\"temperature\":0.5}" allowed_models: "mini")",
                          R"(target: "/route1" kind: CHAT)"));
  const std::string body = R"({ "model":"mini","messages":[{"role":"user","content":"Hi"}] })";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Ask(gateway.port(),
                  absl::StrCat("POST /chat/1.0/route1 HTTP/1.1\r\nHost: a\r\nContent-Length: ",
                               body.size(), "\r\n\r\n", body))
                  ->status(),
              200);
  }
  EXPECT_THAT(gpt.requests().at(0).start, StartsWith("POST /v1/chat/completions "));
  EXPECT_EQ(gpt.requests().at(0).body,
            R"({"temperature":0.5, "model":"mini","messages":[{"role":"user","content":"Hi"}] })");
  EXPECT_THAT(claude.requests().at(0).body, HasSubstr(R"("model":"mini")"));
  EXPECT_THAT(claude.requests().at(0).body, HasSubstr(R"("temperature":0.5)"));
}

TEST(EngineTranslateTest, ANativeOperationGoesToItsProviderAsItCame) {
  TestUpstream claude(Always(Answer(200, kClaudesAnswer, kJson)));
  TestUpstream gpt(Always(Answer(200, "from gpt")));
  TestGateway gateway(
      Api(claude.port(), gpt.port(), "", R"(target: "/v1/messages" kind: MESSAGES)"));
  const std::string body = R"({"model":"x", "max_tokens":5})";
  for (int i = 0; i < 3; ++i) {
    const auto answer =
        Ask(gateway.port(), absl::StrCat("POST /chat/1.0/v1/messages HTTP/1.1\r\nHost: a\r\n"
                                         "Content-Length: ",
                                         body.size(), "\r\n\r\n", body));
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->body, kClaudesAnswer);
  }
  EXPECT_TRUE(gpt.requests().empty());
  EXPECT_EQ(claude.requests().at(0).body, R"({"model":"claude", "max_tokens":5})");
}

// Two Bedrock targets and the operation of Bedrock's own that streams.
std::string ConverseApi(uint16_t first_port, uint16_t second_port) {
  std::string api = ChatApi({first_port, second_port});
  for (size_t at = 0; (at = api.find("\"openai\"", at)) != std::string::npos;) {
    api.replace(at, 8, "\"bedrock\"");
  }
  return api +
         R"( operations { verb: "POST" target: "/model/*" kind: CONVERSE
                          production { rotation: 1 endpoint: 0 } })";
}

std::string AmazonStream(std::string_view frames) {
  return Answer(200, frames, "content-type: application/vnd.amazon.eventstream\r\n");
}

std::string ConverseRequest() {
  const std::string body = R"({"messages":[]})";
  return absl::StrCat("POST /chat/1.0/model/m/converse-stream HTTP/1.1\r\nhost: a\r\n",
                      "content-length: ", body.size(), "\r\n\r\n", body);
}

TEST(EngineTranslateTest, ANativeStreamThatBeginsWithAnExceptionFailsOver) {
  using provider::testing_frames::AmazonEvent;
  using provider::testing_frames::AmazonException;
  const std::string good = AmazonEvent("messageStart", "{}") + AmazonEvent("messageStop", "{}");
  TestUpstream first(Always(AmazonStream(AmazonException("throttlingException", "{}"))));
  TestUpstream second(Always(AmazonStream(good)));
  TestGateway gateway(ConverseApi(first.port(), second.port()));
  for (int i = 0; i < 2; ++i) {  // whichever is picked first
    const auto answer = Ask(gateway.port(), ConverseRequest());
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->status(), 200);
    EXPECT_EQ(answer->body, good);
  }
  EXPECT_EQ(first.requests().size(), 1u);
  EXPECT_EQ(gateway.suspended(), 1u);
}

TEST(EngineTranslateTest, AnExceptionLaterInANativeStreamIsEvidenceAndPassedOn) {
  using provider::testing_frames::AmazonEvent;
  using provider::testing_frames::AmazonException;
  const std::string begins = AmazonEvent("messageStart", "{}");
  const std::string ends = AmazonException("throttlingException", "{}");
  TestUpstream upstream([&](const Message&, Wire& wire) {
    wire.Send(absl::StrCat(
        "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.amazon.eventstream\r\ncontent-length: ",
        begins.size() + ends.size(), "\r\n\r\n", begins));
    Eventually([] { return false; }, std::chrono::milliseconds(200));
    return wire.Send(ends);
  });
  TestGateway gateway(ConverseApi(upstream.port(), upstream.port()));

  const auto answer = Ask(gateway.port(), ConverseRequest());

  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->body, begins + ends);
  EXPECT_TRUE(Eventually([&] { return gateway.suspended() == 1; }));
}

TEST(EngineTranslateTest, AModelThatMayBeChosenIsKnownHoweverItIsWritten) {
  TestUpstream upstream(Always(Answer(200, "good")));
  std::string api = ChatApi({upstream.port()});
  const std::string target = "model: \"m0\"";
  api.replace(api.find(target), target.size(), target + " allowed_models: \"qwen/qwen3-4b\"");
  TestGateway gateway(api);
  for (const std::string_view model :
       {R"(qwen/qwen3-4b)", R"(qwen\/qwen3\u002d4b)", R"(other\/)"}) {
    Ask(gateway.port(), ChatRequest(absl::StrCat(R"({"model":")", std::string(model), R"("})")));
  }

  const std::vector<Message> requests = upstream.requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[0].body, R"({"model":"qwen/qwen3-4b"})");
  EXPECT_EQ(requests[1].body, R"({"model":"qwen/qwen3-4b"})");
  EXPECT_EQ(requests[2].body, R"({"model":"m0"})");
}

TEST(EngineTranslateTest, ASlowClientIsNotTheProvidersSilence) {
  const std::vector<std::string>& events = Events();
  const std::string delta = absl::StrCat(
      "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{"
      "\"type\":\"text_delta\",\"text\":\"",
      std::string(60'000, 'x'), "\"}}\n\n");
  std::vector<std::string> large{events.front()};
  large.insert(large.end(), 500, delta);  // more than sockets hold
  large.insert(large.end(), events.end() - 2, events.end());
  TestUpstream claude(Stream(large));
  GatewayOptions options;
  options.limits.between_chunks_time = std::chrono::milliseconds(200);
  TestGateway gateway(Api(claude.port()), options);
  Wire client(Connect(gateway.port()));
  client.Send(ChatRequest(kStreamed, "Connection: close\r\n"));
  Eventually([] { return false; }, std::chrono::milliseconds(1000));
  const std::string answer = Reader(client).ReadToEnd();
  EXPECT_GT(answer.size(), 500 * delta.size() / 2);
  EXPECT_THAT(answer.substr(answer.size() - std::min<size_t>(answer.size(), 100)),
              EndsWith("data: [DONE]\n\n\r\n0\r\n\r\n"));
}

}  // namespace
}  // namespace rota::engine::testing
