#pragma once

// Which words of providers that no table knows have been told in the log: each one once per
// process, however many requests meet it. Bounded; what is beyond is counted only. Thread-safe.

#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <tuple>

namespace rota::engine {

class ToldWords {
 public:
  static constexpr size_t kMaxWords = 256;

  // Whether it is to be told now.
  bool IsNew(std::string_view provider, std::string_view kind, const std::string& word) {
    const std::scoped_lock lock(mutex_);
    return told_.size() < kMaxWords &&
           told_.emplace(std::string(provider), std::string(kind), word).second;
  }

 private:
  std::mutex mutex_;
  std::set<std::tuple<std::string, std::string, std::string>> told_;
};

}  // namespace rota::engine
