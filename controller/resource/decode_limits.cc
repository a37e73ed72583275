#include "controller/resource/decode_limits.h"

namespace rota::resource {
namespace {

constexpr int64_t kMaxBodyBytes = int64_t{1} << 30;

}  // namespace

RequestLimits DecodeLimits(ObjectReader& parent) {
  RequestLimits limits;
  const nlohmann::json* const value = parent.Find("limits");
  if (value == nullptr) {
    return limits;
  }
  ObjectReader reader(*value, parent.At("limits"), parent.reporter());
  const std::optional<int64_t> body_bytes = reader.Integer("requestBodyBytes", 1, kMaxBodyBytes);
  if (body_bytes.has_value()) {
    limits.body_bytes = static_cast<uint64_t>(*body_bytes);
  }
  reader.Finish();
  return limits;
}

}  // namespace rota::resource
