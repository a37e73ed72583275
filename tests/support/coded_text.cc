#include "tests/support/coded_text.h"

#include <brotli/encode.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>

namespace rota::testing {
namespace {

void Require(bool is_true) {
  if (!is_true) {
    std::abort();
  }
}

std::string DeflateWith(int window_bits, std::string_view text) {
  z_stream stream{};
  Require(deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits, 8,
                       Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  Require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

}  // namespace

std::string Deflate(std::string_view text) { return DeflateWith(MAX_WBITS, text); }

std::string RawDeflate(std::string_view text) { return DeflateWith(-MAX_WBITS, text); }

std::string Brotli(std::string_view text) {
  size_t size = BrotliEncoderMaxCompressedSize(text.size());
  std::string out(size, '\0');
  Require(BrotliEncoderCompress(BROTLI_DEFAULT_QUALITY, BROTLI_DEFAULT_WINDOW, BROTLI_DEFAULT_MODE,
                                text.size(), reinterpret_cast<const uint8_t*>(text.data()), &size,
                                reinterpret_cast<uint8_t*>(out.data())) == BROTLI_TRUE);
  out.resize(size);
  return out;
}

std::string Zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const size_t size =
      ZSTD_compress(out.data(), out.size(), text.data(), text.size(), ZSTD_CLEVEL_DEFAULT);
  Require(!ZSTD_isError(size));
  out.resize(size);
  return out;
}

}  // namespace rota::testing
