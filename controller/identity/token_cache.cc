#include "controller/identity/token_cache.h"

#include "common/hash.h"

namespace rota::identity {

std::string TokenCache::KeyOf(std::string_view token) { return Sha256(token); }

std::optional<TokenVerdict> TokenCache::FindIn(const Table& table, const std::string& key,
                                               MonotonicTime now) {
  const auto found = table.entries.find(key);
  return found != table.entries.end() && now < found->second.until
             ? std::optional(found->second.verdict)
             : std::nullopt;
}

std::optional<TokenVerdict> TokenCache::Find(const std::string& key, MonotonicTime now) const {
  // A token may go bad (its ServiceAccount is deleted) or good (it was issued by a server that the
  // one asked first had not heard of): what was found out last counts, and is in one table only.
  std::optional<TokenVerdict> verdict = FindIn(good_, key, now);
  return verdict.has_value() ? verdict : FindIn(bad_, key, now);
}

void TokenCache::Drop(Table& table, MonotonicTime now, size_t most) {
  while (!table.order.empty()) {
    const auto oldest = table.entries.find(table.order.front());
    if (oldest != table.entries.end()) {
      if (now < oldest->second.until && table.entries.size() <= most) {
        return;
      }
      table.entries.erase(oldest);
    }
    table.order.pop_front();
  }
}

void TokenCache::Remember(const std::string& key, const TokenVerdict& verdict, MonotonicTime now) {
  Table& table = verdict.good ? good_ : bad_;
  Table& other = verdict.good ? bad_ : good_;
  const size_t most = verdict.good ? options_.max_good : options_.max_bad;
  other.entries.erase(key);
  Drop(table, now, most);  // what has ended would pass for what is known
  // What is known already keeps its place, and its time: two that asked at once got one answer.
  if (table.entries
          .try_emplace(key,
                       Entry{verdict, now + (verdict.good ? options_.good_for : options_.bad_for)})
          .second) {
    table.order.push_back(key);
  }
  Drop(table, now, most);
}

}  // namespace rota::identity
