#pragma once

// The content codings beside gzip (gzip_text.h), for tests: what an upstream sends that compresses.
// Thread-safe.

#include <string>
#include <string_view>

namespace rota::testing {

std::string Deflate(std::string_view text);     // as HTTP means it: with zlib's header
std::string RawDeflate(std::string_view text);  // as some servers send it
std::string Brotli(std::string_view text);
std::string Zstd(std::string_view text);  // one frame

}  // namespace rota::testing
