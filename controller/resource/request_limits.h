#pragma once

// What a request may be, as far as an API or the defaults of its gateway say it. Plain values; what
// is absent is inherited, and in the end what the data plane's flags say.

#include <cstdint>
#include <optional>

namespace rota::resource {

struct RequestLimits {
  std::optional<uint64_t>
      body_bytes;  // after chunked decoding; the data plane's own limit holds too

  friend bool operator==(const RequestLimits&, const RequestLimits&) = default;
};

}  // namespace rota::resource
