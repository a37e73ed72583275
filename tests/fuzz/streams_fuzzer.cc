// What providers with an API of their own answer, whatever it is: a stream becomes the same events
// however it arrived, an answer and an error never end the process.
//
// The first byte of an input picks the provider, the second the size of the pieces, the third
// whether lines become whole frames of Amazon's (nobody guesses a checksum).

#include <string>

#include "dataplane/provider/registry.h"
#include "dataplane/provider/test_frames.h"
#include "tests/fuzz/pieces.h"

namespace {

using rota::fuzz::Require;
using rota::provider::AnswerContext;
using rota::provider::AnswerPlan;
using rota::provider::Frame;
using rota::provider::StreamState;
using rota::provider::Translator;

// "name payload" lines as frames; a line that begins with "!" is the frame's headers as they are.
std::string AmazonFrames(std::string_view text) {
  namespace frames = rota::provider::testing_frames;
  std::string stream;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const size_t space = std::min(line.find(' '), line.size());
    const std::string_view payload = line.substr(std::min(space + 1, line.size()));
    if (line.starts_with('!')) {
      stream += frames::AmazonFrameOf(line.substr(1, space - 1), payload);
    } else {
      stream +=
          frames::AmazonEvent(std::string(line.substr(0, std::min<size_t>(space, 200))), payload);
    }
  }
  return stream;
}

std::string Relay(const Translator& translator, const AnswerContext& context,
                  std::string_view bytes, size_t piece_size) {
  const auto decoder = rota::provider::NewFrameDecoder(translator.framing());
  const auto stream = translator.NewStream(context);
  std::string out;
  StreamState state = StreamState::kOpen;
  const auto sink = [&](const Frame& frame) {
    state = stream->Add(frame, out);
    return state != StreamState::kError;
  };
  absl::Status status;
  while (!bytes.empty() && status.ok() && state != StreamState::kError) {
    const std::string piece(bytes.substr(0, piece_size));
    status = decoder->Add(piece, sink);
    bytes.remove_prefix(piece.size());
  }
  if (status.ok() && state != StreamState::kError) {
    status = decoder->Finish(sink);
  }
  if (status.ok() && state != StreamState::kError) {
    stream->Finish(out);
  }
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 3) {
    return 0;
  }
  const auto translators = rota::provider::Translators();
  const Translator& translator = *translators[data[0] % translators.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 3, size - 3);
  AnswerPlan plan;
  plan.is_stream = true;
  plan.include_usage = true;
  plan.output_tool = "json_output";
  const AnswerContext context = {&plan, "model", "chatcmpl-1", 0};

  const bool is_amazon = translator.framing() == rota::provider::Framing::kAmazonEventStream;
  const std::string bytes = is_amazon && data[2] % 2 == 0 ? AmazonFrames(text) : std::string(text);
  Require(Relay(translator, context, bytes, bytes.size() + 1) ==
          Relay(translator, context, bytes, 1 + data[1] % 64));
  for (const auto& answer :
       {translator.ChatAnswer(text, context), translator.EmbeddingsAnswer(text, context)}) {
    Require(!answer.ok() || rota::provider::ParseJson(answer->body).ok());
  }
  const std::string error = RenderError(translator.ErrorAnswer({400, text, ""}));
  Require(rota::provider::ParseJson(error).ok());
  return 0;
}
