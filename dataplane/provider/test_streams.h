#pragma once

// Streams of a dialect as a client of OpenAI's API gets them, for the tests of this folder: the
// upstream's bytes through decoder and translator, in pieces of any size, and what a client makes
// of the events.

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/provider/dialect.h"

namespace rota::provider::testing_streams {

inline const AnswerPlan kPlan = [] {
  AnswerPlan plan;
  plan.is_stream = true;
  plan.include_usage = true;
  return plan;
}();
inline const AnswerContext kContext = {&kPlan, "the-model", "chatcmpl-1", 1767225600};

// The bytes that a client gets. Without the terminal event they end where the upstream's do: the
// caller would add an error event.
inline std::string Relay(const Translator& translator, std::string_view bytes, size_t piece_size,
                         const AnswerContext& context = kContext) {
  const std::unique_ptr<FrameDecoder> decoder = NewFrameDecoder(translator.framing());
  const std::unique_ptr<StreamTranslator> stream = translator.NewStream(context);
  std::string out;
  StreamState state = StreamState::kOpen;
  const auto sink = [&](const Frame& frame) {
    state = stream->Add(frame, out);
    return state != StreamState::kError;
  };
  absl::Status status;
  for (size_t place = 0; place < bytes.size() && status.ok() && state != StreamState::kError;
       place += piece_size) {
    const std::string piece(bytes.substr(place, piece_size));
    status = decoder->Add(piece, sink);
  }
  if (status.ok() && state != StreamState::kError) {
    status = decoder->Finish(sink);
  }
  if (status.ok() && state != StreamState::kError) {
    stream->Finish(out);
  }
  return out;
}

// What the client has read.
struct Reading {
  std::string content;
  std::string reasoning;
  std::vector<ToolCall> calls;
  std::string finish_reason;
  Json usage;  // null: none
  Json error;  // null: none
  bool done = false;
  std::string id;
  std::string model;
};

inline void ReadDelta(const Json& delta, Reading& reading) {
  reading.content.append(FindText(delta, "content"));
  reading.reasoning.append(FindText(delta, "reasoning_content"));
  const Json* calls = Find(delta, "tool_calls");
  if (calls == nullptr) {
    return;
  }
  for (const Json& call : *calls) {
    const size_t index = FindCount(call, "index").value_or(999);
    if (Find(call, "id") != nullptr) {
      EXPECT_EQ(index, reading.calls.size()) << "no gaps";
      reading.calls.push_back({std::string(FindText(call, "id")),
                               std::string(FindText(*Find(call, "function"), "name")), ""});
    }
    ASSERT_LT(index, reading.calls.size());
    reading.calls[index].arguments.append(FindText(*Find(call, "function"), "arguments"));
  }
}

inline void ReadChunk(const Json& chunk, Reading& reading) {
  EXPECT_EQ(FindText(chunk, "object"), "chat.completion.chunk");
  const bool is_first = reading.id.empty();
  if (!is_first) {
    EXPECT_EQ(FindText(chunk, "id"), reading.id) << "one id for all";
  }
  reading.id = FindText(chunk, "id");
  reading.model = FindText(chunk, "model");
  const Json* choices = Find(chunk, "choices");
  ASSERT_NE(choices, nullptr);
  for (const Json& choice : *choices) {
    EXPECT_EQ(reading.finish_reason, "") << "nothing behind the finish reason";
    EXPECT_EQ(!FindText(*Find(choice, "delta"), "role").empty(), is_first)
        << "the role comes first";
    ReadDelta(*Find(choice, "delta"), reading);
    reading.finish_reason = FindText(choice, "finish_reason");
  }
  if (const Json* usage = Find(chunk, "usage"); usage != nullptr) {
    EXPECT_TRUE(choices->empty());
    reading.usage = *usage;
  }
}

// Also checks the form of every event.
inline Reading ReadEvents(std::string_view text) {
  Reading reading;
  while (!text.empty()) {
    const size_t end = text.find("\n\n");
    EXPECT_NE(end, std::string_view::npos) << "an event that is not whole: " << text;
    EXPECT_TRUE(text.starts_with("data: ")) << text;
    EXPECT_FALSE(reading.done || !reading.error.is_null()) << "something behind the end: " << text;
    if (end == std::string_view::npos || !text.starts_with("data: ")) {
      break;
    }
    const std::string_view data = text.substr(6, end - 6);
    text.remove_prefix(end + 2);
    if (data == "[DONE]") {
      reading.done = true;
      continue;
    }
    const absl::StatusOr<Json> chunk = ParseJson(data);
    EXPECT_TRUE(chunk.ok()) << data;
    if (chunk.ok() && Find(*chunk, "error") != nullptr) {
      reading.error = *Find(*chunk, "error");
    } else if (chunk.ok()) {
      ReadChunk(*chunk, reading);
    }
  }
  return reading;
}

// The same bytes to the client, however the upstream's were cut.
inline Reading ReadStream(const Translator& translator, std::string_view bytes,
                          const AnswerContext& context = kContext) {
  const std::string whole = Relay(translator, bytes, std::max<size_t>(bytes.size(), 1), context);
  for (size_t size = 1; size < bytes.size(); size += 1 + size / 8) {
    EXPECT_EQ(Relay(translator, bytes, size, context), whole) << "pieces of " << size;
  }
  return ReadEvents(whole);
}

}  // namespace rota::provider::testing_streams
