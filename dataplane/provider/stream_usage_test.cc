#include "dataplane/provider/stream_usage.h"

#include <string>
#include <string_view>

#include "dataplane/provider/model_span.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::provider {
namespace {

// The body as it goes upstream, with the model "m".
std::string Sent(std::string_view body) {
  const ModelSpan span = FindModel(body);
  EXPECT_EQ(span.error, BodyError::kNone) << body;
  const BodyPieces pieces = PiecesOf(body, span, R"("m")", AskForUsage(body, span));
  std::string sent;
  for (const std::string_view piece : pieces) {
    sent += piece;
  }
  EXPECT_EQ(sent.size(), SizeOf(pieces));
  EXPECT_TRUE(nlohmann::json::accept(sent)) << sent;
  return sent;
}

TEST(AskForUsageTest, AStreamThatDoesNotAskIsMadeTo) {
  EXPECT_EQ(Sent(R"({"stream":true,"model":"x","n":1.50})"),
            R"({"stream_options":{"include_usage":true},"stream":true,"model":"m","n":1.50})");
  EXPECT_EQ(Sent(R"( { "model":"x" , "stream" : true } )"),
            R"( {"stream_options":{"include_usage":true}, "model":"m" , "stream" : true } )");
  // Both members are put in.
  EXPECT_EQ(Sent(R"({"stream":true})"),
            R"({"stream_options":{"include_usage":true},"model":"m","stream":true})");
}

TEST(AskForUsageTest, WhatTheClientSaysBesideStays) {
  EXPECT_EQ(Sent(R"({"model":"x","stream_options":{"include_obfuscation":false},"stream":true})"),
            R"({"model":"m","stream_options":{"include_usage":true,"include_obfuscation":false},)"
            R"("stream":true})");
  EXPECT_EQ(Sent(R"({"stream":true,"stream_options":{"a":1,"include_usage": false },"model":"x"})"),
            R"({"stream":true,"stream_options":{"a":1,"include_usage": true },"model":"m"})");
  EXPECT_EQ(Sent(R"({"stream":true,"stream_options":{"include_usage":null},"model":"x"})"),
            R"({"stream":true,"stream_options":{"include_usage":true},"model":"m"})");
  EXPECT_EQ(Sent(R"({"stream":true,"stream_options":{ },"model":"x"})"),
            R"({"stream":true,"stream_options":{"include_usage":true },"model":"m"})");
  EXPECT_EQ(Sent(R"({"stream":true,"model":"x","stream_\u006fptions": null})"),
            R"({"stream":true,"model":"m","stream_\u006fptions": {"include_usage":true}})");
}

TEST(AskForUsageTest, AClientThatAsksIsLeftAlone) {
  for (const char* const body :
       {R"({"stream":true,"stream_options":{"include_usage":true},"model":"m"})",
        R"({"stream_options":{"x":[{}],"include_us\u0061ge" : true},"stream":true,"model":"m"})"}) {
    EXPECT_EQ(Sent(body), body);
  }
}

TEST(AskForUsageTest, NothingIsPutWhereItMeansNothing) {
  for (const char* const body :
       {R"({"model":"m"})", R"({"model":"m","stream":false})", R"({"model":"m","stream":"true"})",
        R"({"model":"m","stream":null,"stream_options":null})",
        R"({"model":"m","messages":[{"stream":true}]})",
        // What upstreams have to refuse themselves, or read in two ways.
        R"({"model":"m","stream":true,"stream_options":7})",
        R"({"model":"m","stream":true,"stream_options":[]})",
        R"({"model":"m","stream":true,"stream_options":{"include_usage":"no"}})",
        R"({"model":"m","stream":true,"stream_options":{},"stream_options":null})",
        R"({"model":"m","stream":true,"stream_options":{"include_usage":false,)"
        R"("include_usage":true}})"}) {
    EXPECT_EQ(Sent(body), body);
  }
}

TEST(AskForUsageTest, FindsTheOptionsWhateverTheyHold) {
  // Brackets inside, lists beside, the same name deeper down.
  EXPECT_EQ(Sent(R"({"a":{"stream_options":1},"stream_options":{"b":[{"c":"}"}]},"stream":true,)"
                 R"("model":"x"})"),
            R"({"a":{"stream_options":1},"stream_options":{"include_usage":true,"b":[{"c":"}"}]},)"
            R"("stream":true,"model":"m"})");
}

constexpr std::string_view kText =
    "data: {\"id\":\"1\",\"choices\":[{\"delta\":{\"content\":\"\\\"choices\\\":[]\"}}],"
    "\"usage\":null}\n\n";
constexpr std::string_view kUsage =
    "data: {\"id\":\"1\",\"choices\": [ ],\"usage\":{\"prompt_tokens\":1,\"d\":{}}}\n\n";
constexpr std::string_view kDone = "data: [DONE]\n\n";

std::string Shown(std::string_view events) {
  std::string buffer;
  return std::string(WithoutUsageChunks(events, buffer));
}

TEST(WithoutUsageChunksTest, TakesTheUsageChunkOutAndNothingElse) {
  const std::string text(kText);
  const std::string usage(kUsage);
  const std::string done(kDone);
  EXPECT_EQ(Shown(text + text + usage + done), text + text + done);
  EXPECT_EQ(Shown(usage), "");
  EXPECT_EQ(Shown(usage + usage), "");
  EXPECT_EQ(Shown(usage + text), text);
  EXPECT_EQ(Shown(": waiting\n\n" + text + ": waiting\n\n" + usage + done),
            ": waiting\n\n" + text + ": waiting\n\n" + done);
  // Without the empty line that the last event may lack.
  EXPECT_EQ(Shown(text + usage.substr(0, usage.size() - 2)), text);
}

// As it comes from a relay that holds no whole event yet: a view without an address.
TEST(WithoutUsageChunksTest, OfNothingIsNothing) { EXPECT_EQ(Shown({}), ""); }

TEST(WithoutUsageChunksTest, KeepsEverythingThatOnlyLooksLikeIt) {
  for (const char* const event :
       {"data: {\"choices\":[],\"prompt_filter_results\":[]}\n\n",
        "data: {\"choices\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"finish_reason\":\"stop\"}],\"x_groq\":{\"usage\":{}}}\n\n",
        "data: {\"a\":{\"choices\":[]},\"choices\":[1],\"usage\":{}}\n\n",
        "data: {\"usage\":{}}\n\n", "data: {\"choices\":[],\"usage\":{}\n\n",
        "id: {\"choices\":[],\"usage\":{}}\n\n", "data: {\"choices\":[],\ndata: \"usage\":{}}\n\n",
        "\n\n", ""}) {
    EXPECT_EQ(Shown(event), event);
  }
}

TEST(WithoutUsageChunksTest, ReadsEveryKindOfLineEnd) {
  for (const std::string_view end : {"\n", "\r\n", "\r"}) {
    const auto event = [end](std::string_view data) {
      return std::string("event: x")
          .append(end)
          .append("data:")
          .append(data)
          .append(end)
          .append(end);
    };
    const std::string text = event(R"({"choices":[{}],"usage":null})");
    const std::string usage = event(R"({"usage":{"total_tokens":3},"choices":[]})");
    EXPECT_EQ(Shown(text + usage + text), text + text);
  }
}

}  // namespace
}  // namespace rota::provider
