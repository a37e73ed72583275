#include "dataplane/provider/content_coding.h"

#include <brotli/decode.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "dataplane/provider/gzip.h"

namespace rota::provider {
namespace {

constexpr size_t kPieceBytes = 16 << 10;
// The window that RFC 9659 allows the content coding, 8 MiB; a frame may ask for 2 GiB.
constexpr int kZstdWindowLog = 23;

absl::string_view Trimmed(std::string_view text) {
  return absl::StripAsciiWhitespace({text.data(), text.size()});
}

// `decode` writes at most `room` bytes to `out` and says how many; fewer than `room`: no more will
// come.
std::string Collect(size_t limit, absl::FunctionRef<size_t(char* out, size_t room)> decode) {
  std::string text;
  std::array<char, kPieceBytes> piece;
  size_t room = 0;
  size_t size = 0;
  do {
    room = std::min(piece.size(), limit - text.size());
    size = room == 0 ? 0 : decode(piece.data(), room);
    text.append(piece.data(), size);
  } while (room > 0 && size == room);
  return text;
}

// --- deflate

// RFC 1950: method 8, a window of at most 32 KiB, a check over both bytes. Raw deflate would begin
// with a stored block whose padding is not zero, which nobody writes.
bool HasZlibHeader(std::string_view body) {
  if (body.size() < 2) {
    return false;
  }
  constexpr int kDeflate = 8;
  const int method = static_cast<uint8_t>(body[0]);
  const int flags = static_cast<uint8_t>(body[1]);
  return (method & 0x0f) == kDeflate && (method >> 4) <= 7 && (method * 256 + flags) % 31 == 0;
}

// --- br

struct BrotliDeleter {
  void operator()(BrotliDecoderState* state) const { BrotliDecoderDestroyInstance(state); }
};

// Without BROTLI_DECODER_PARAM_LARGE_WINDOW a window has at most 16 MiB.
std::string UnbrotliPrefix(std::string_view body, size_t limit) {
  const std::unique_ptr<BrotliDecoderState, BrotliDeleter> state(
      BrotliDecoderCreateInstance(nullptr, nullptr, nullptr));
  if (state == nullptr) {
    return "";
  }
  const uint8_t* next_in = reinterpret_cast<const uint8_t*>(body.data());
  size_t left = body.size();
  return Collect(limit, [&](char* out, size_t room) {
    uint8_t* next_out = reinterpret_cast<uint8_t*>(out);
    size_t free = room;
    BrotliDecoderDecompressStream(state.get(), &left, &next_in, &free, &next_out, nullptr);
    return room - free;
  });
}

// --- zstd

struct ZstdDeleter {
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

std::string UnzstdPrefix(std::string_view body, size_t limit) {
  const std::unique_ptr<ZSTD_DCtx, ZstdDeleter> context(ZSTD_createDCtx());
  if (context == nullptr ||
      ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kZstdWindowLog))) {
    return "";
  }
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  return Collect(limit, [&](char* out, size_t room) {
    ZSTD_outBuffer piece{out, room, 0};
    bool has_moved = true;
    // A call ends with its frame, although another may follow.
    while (has_moved && piece.pos < piece.size) {
      const size_t before = in.pos + piece.pos;
      const size_t result = ZSTD_decompressStream(context.get(), &piece, &in);
      has_moved = !ZSTD_isError(result) && in.pos + piece.pos > before;
    }
    return piece.pos;
  });
}

}  // namespace

bool IsIdentity(std::string_view content_encoding) {
  const absl::string_view coding = Trimmed(content_encoding);
  return coding.empty() || absl::EqualsIgnoreCase(coding, "identity");
}

std::optional<std::string> DecodePrefix(std::string_view content_encoding, std::string_view body,
                                        size_t limit) {
  const absl::string_view coding = Trimmed(content_encoding);
  if (IsIdentity(content_encoding)) {
    return std::string(body.substr(0, limit));
  }
  if (IsGzip({coding.data(), coding.size()})) {
    return GunzipPrefix(body, limit);
  }
  if (absl::EqualsIgnoreCase(coding, "deflate")) {
    return InflatePrefix(HasZlibHeader(body) ? Wrapping::kZlib : Wrapping::kNone, body, limit);
  }
  if (absl::EqualsIgnoreCase(coding, "br")) {
    return UnbrotliPrefix(body, limit);
  }
  if (absl::EqualsIgnoreCase(coding, "zstd")) {
    return UnzstdPrefix(body, limit);
  }
  return std::nullopt;
}

}  // namespace rota::provider
