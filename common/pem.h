#pragma once

// A look at a PEM file before a library gets it: gRPC says nothing about files that it cannot use.
// Thread-safe.

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace rota {

// `mark` is what has to be there ("BEGIN CERTIFICATE"). The error names `option`, the file and what
// is wrong.
absl::Status CheckPem(const std::string& option, const std::string& file, std::string_view mark);

}  // namespace rota
