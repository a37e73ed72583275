#pragma once

// How an input reaches a parser: in pieces, whose lengths come from the input itself, so that the
// fuzzer can move the cuts. What is found must not depend on them.
//
//   Pieces pieces(data, size);             // the first bytes of the input say where the cuts are
//   pieces.text()                          // the rest
//   pieces.ForEach([&](std::string_view piece) { ... });

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace rota::fuzz {

// A property of the parser that does not hold: libFuzzer keeps the input and shows the stack.
inline void Require(bool holds) {
  if (!holds) {
    std::abort();
  }
}

class Pieces {
 public:
  Pieces(const uint8_t* data, size_t size) : text_(reinterpret_cast<const char*>(data), size) {
    for (uint8_t& length : lengths_) {
      length = text_.empty() ? 0 : static_cast<uint8_t>(text_.front());
      text_.remove_prefix(text_.empty() ? 0 : 1);
    }
  }

  std::string_view text() const { return text_; }

  template <typename Function>
  void ForEach(Function function) const {
    std::string_view rest = text_;
    for (size_t i = 0; !rest.empty(); ++i) {
      const std::string_view piece = rest.substr(0, size_t{1} + lengths_[i % lengths_.size()]);
      rest.remove_prefix(piece.size());
      function(piece);
    }
  }

 private:
  std::array<uint8_t, 4> lengths_;
  std::string_view text_;
};

}  // namespace rota::fuzz
