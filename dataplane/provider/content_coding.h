#pragma once

// Undoes the content coding of an answer's body, so that an error can be read whatever coding its
// upstream chose from what the client accepts: gzip, deflate, br, zstd. Output is bounded, and so
// is memory: a window of 32 KiB (gzip, deflate), 16 MiB (br) or 8 MiB (zstd) while a call lasts.
// Pure; thread-safe. Damaged bytes are no error. The libraries stay in content_coding.cc.

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace rota::provider {

// "" or "identity", in any case: the body stands for itself, and need not be copied to be read.
bool IsIdentity(std::string_view content_encoding);

// What `body` (or as much as there is of it) stands for, up to `limit` bytes; of damaged bytes what
// came out before the damage. `content_encoding` is the header's value: gzip, x-gzip, deflate (also
// without zlib's header, which some servers leave out), br, zstd, identity or "", in any case.
// Absent: another coding, or a list of several.
std::optional<std::string> DecodePrefix(std::string_view content_encoding, std::string_view body,
                                        size_t limit);

}  // namespace rota::provider
