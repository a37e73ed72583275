#pragma once

// What has been found out about tokens, for a while: good ones a minute, bad ones a few seconds.
// Keyed by a hash, so that no token is kept. Bounded, good and bad ones apart: a stranger who makes
// tokens up drives no good one out.
//
// Thread-compatible.

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "common/clock.h"

namespace rota::identity {

struct TokenVerdict {
  bool good = false;
  std::string service_account;  // "NAMESPACE/NAME"
  std::string pod;              // that the token is bound to; "": to none
  std::string problem;          // of a bad one, for people
};

struct TokenCacheOptions {
  Duration good_for = std::chrono::seconds(60);
  Duration bad_for = std::chrono::seconds(10);
  size_t max_good = 4096;
  size_t max_bad = 1024;
};

class TokenCache {
 public:
  explicit TokenCache(TokenCacheOptions options) : options_(options) {}

  static std::string KeyOf(std::string_view token);

  std::optional<TokenVerdict> Find(const std::string& key, MonotonicTime now) const;
  void Remember(const std::string& key, const TokenVerdict& verdict, MonotonicTime now);
  size_t size() const { return good_.entries.size() + bad_.entries.size(); }

 private:
  struct Entry {
    TokenVerdict verdict;
    MonotonicTime until;
  };
  struct Table {
    std::map<std::string, Entry> entries;
    // In the order in which they end, which is that of their coming.
    std::deque<std::string> order;
  };
  static std::optional<TokenVerdict> FindIn(const Table& table, const std::string& key,
                                            MonotonicTime now);
  static void Drop(Table& table, MonotonicTime now, size_t most);

  const TokenCacheOptions options_;
  Table good_;
  Table bad_;
};

}  // namespace rota::identity
