#pragma once

// Each word once, however often it is used: a thousand series have the same target. Words are
// counted and freed with their last use. Single-thread.

#include <cstdint>
#include <string>
#include <unordered_map>

namespace rota::observe {

class WordPool {
 public:
  // The same pointer for the same word, until its last Release.
  using Word = const std::string*;

  // Null when nobody has taken the word.
  Word Find(const std::string& text) const {
    const auto found = uses_.find(text);
    return found == uses_.end() ? nullptr : &found->first;
  }
  Word Take(const std::string& text) {
    const auto used = uses_.try_emplace(text, 0).first;
    ++used->second;
    return &used->first;
  }
  // REQUIRES: taken, and not released as often.
  void Release(Word word) {
    const auto used = uses_.find(*word);
    if (--used->second == 0) {
      uses_.erase(used);
    }
  }
  size_t size() const { return uses_.size(); }

 private:
  std::unordered_map<std::string, uint32_t> uses_;
};

}  // namespace rota::observe
