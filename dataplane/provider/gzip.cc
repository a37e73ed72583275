#include "dataplane/provider/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"

namespace rota::provider {
namespace {

constexpr size_t kPieceBytes = 16 << 10;

// zlib's way to say it: the largest window, 16 more for gzip's header, negative for none.
int WindowBits(Wrapping wrapping) {
  switch (wrapping) {
    case Wrapping::kGzip:
      return MAX_WBITS + 16;
    case Wrapping::kZlib:
      return MAX_WBITS;
    case Wrapping::kNone:
      return -MAX_WBITS;
  }
  return MAX_WBITS;
}

}  // namespace

struct GzipReader::State {
  z_stream stream{};
  size_t output_left = 0;
  bool is_member_done = false;  // at the end; of gzip another member may follow
  bool has_failed = false;
};

GzipReader::GzipReader(size_t max_output, Wrapping wrapping) : state_(std::make_unique<State>()) {
  state_->output_left = max_output;
  state_->has_failed = inflateInit2(&state_->stream, WindowBits(wrapping)) != Z_OK;
}

GzipReader::~GzipReader() { inflateEnd(&state_->stream); }

bool GzipReader::done() const { return state_->is_member_done && !state_->has_failed; }

bool GzipReader::Add(std::string_view input, absl::FunctionRef<void(std::string_view)> sink) {
  State& state = *state_;
  z_stream& stream = state.stream;
  std::array<char, kPieceBytes> piece;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(input.data()));  // zlib only reads it
  stream.avail_in = static_cast<uInt>(input.size());
  bool is_piece_full = true;
  while (!state.has_failed && (stream.avail_in > 0 || is_piece_full)) {
    if (state.is_member_done) {
      if (stream.avail_in == 0) {
        break;
      }
      state.is_member_done = false;
      inflateReset(&stream);
    }
    stream.next_out = reinterpret_cast<Bytef*>(piece.data());
    stream.avail_out = static_cast<uInt>(piece.size());
    const int result = inflate(&stream, Z_NO_FLUSH);
    const size_t size = std::min(piece.size() - stream.avail_out, state.output_left);
    is_piece_full = stream.avail_out == 0;
    state.output_left -= size;
    if (size > 0) {
      sink({piece.data(), size});
    }
    state.is_member_done = result == Z_STREAM_END;
    // Z_BUF_ERROR: nothing left to do with this input.
    const bool is_fine = result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
    state.has_failed = !is_fine || state.output_left == 0;
  }
  return !state.has_failed;
}

bool IsGzip(std::string_view content_encoding) {
  return absl::EqualsIgnoreCase({content_encoding.data(), content_encoding.size()}, "gzip") ||
         absl::EqualsIgnoreCase({content_encoding.data(), content_encoding.size()}, "x-gzip");
}

std::string GunzipPrefix(std::string_view gzip, size_t limit) {
  return InflatePrefix(Wrapping::kGzip, gzip, limit);
}

std::string InflatePrefix(Wrapping wrapping, std::string_view deflated, size_t limit) {
  std::string text;
  GzipReader reader(limit, wrapping);
  reader.Add(deflated, [&text](std::string_view piece) { text.append(piece); });
  return text;
}

}  // namespace rota::provider
