#include "common/backoff.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>

namespace rota {

Backoff::Backoff(BackoffOptions options, Random random)
    : options_(options), random_(std::move(random)) {}

Duration Backoff::Next() {
  // 60 doublings pass every maximum; stopping there keeps the power finite.
  const double growth = std::pow(options_.factor, std::min(tries_, 60));
  ++tries_;
  const double base = std::min(static_cast<double>(options_.initial.count()) * growth,
                               static_cast<double>(options_.maximum.count()));
  return Duration(static_cast<int64_t>(base * (1.0 + options_.jitter * random_())));
}

Backoff::Random Backoff::SystemRandom() {
  auto engine = std::make_shared<std::mt19937_64>(std::random_device{}());
  return [engine] { return std::uniform_real_distribution<double>(0.0, 1.0)(*engine); };
}

}  // namespace rota
