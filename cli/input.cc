#include "cli/input.h"

#include <istream>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace rota::cli {

absl::StatusOr<std::string> ReadAll(std::istream& in, size_t max_bytes) {
  std::string text;
  std::string part(64 << 10, '\0');
  while (in.read(part.data(), static_cast<std::streamsize>(part.size())) || in.gcount() > 0) {
    text.append(part, 0, static_cast<size_t>(in.gcount()));
    if (text.size() > max_bytes) {
      return absl::ResourceExhaustedError(
          absl::StrCat("standard input: more than ", max_bytes, " bytes; split it"));
    }
  }
  return text;
}

}  // namespace rota::cli
