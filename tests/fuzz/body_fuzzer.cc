// The chunked framing of a body: the same bytes come out however they arrive.

#include <string>
#include <vector>

#include "dataplane/engine/body_decoder.h"
#include "tests/fuzz/pieces.h"

namespace {

using rota::engine::BodyDecoder;
using rota::fuzz::Require;

struct Outcome {
  BodyDecoder decoder = BodyDecoder::Chunked();
  std::string decoded;
  size_t consumed = 0;

  void Add(std::string_view piece) {
    std::string bytes(piece);  // decoded in place
    size_t place = 0;
    while (place < bytes.size() && !decoder.done() && !decoder.failed()) {
      const BodyDecoder::Result result =
          decoder.Decode(std::span<char>(bytes.data() + place, bytes.size() - place));
      decoded += result.decoded;
      consumed += result.consumed;
      place += result.consumed;
      if (result.consumed == 0) {
        break;
      }
    }
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const rota::fuzz::Pieces pieces(data, size);
  Outcome whole;
  whole.Add(pieces.text());
  Outcome split;
  pieces.ForEach([&split](std::string_view piece) { split.Add(piece); });

  Require(whole.decoder.done() == split.decoder.done());
  Require(whole.decoder.failed() == split.decoder.failed());
  Require(whole.decoded.size() <= pieces.text().size());
  if (!whole.decoder.failed()) {
    Require(whole.decoded == split.decoded && whole.consumed == split.consumed);
  }
  return 0;
}
