#pragma once

// The places of the data planes that are connected: 0, 1, 2 ..., each one's own while its stream
// lasts. A data plane picks in a rhythm that its place decides (Welcome.rotation_phase); the lowest
// places together make the fleet's sum the most even, so that the lowest free one is given.
//
// Thread-safe. A place may outlive the book.

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>

namespace rota::serve {

class PlaceBook {
 private:
  struct Taken {
    std::mutex mutex;
    std::set<uint32_t> numbers;
  };

 public:
  // Given back at its end.
  class Place {
   public:
    explicit Place(const PlaceBook& book) : taken_(book.taken_) {
      std::lock_guard guard(taken_->mutex);
      for (const uint32_t number : taken_->numbers) {
        if (number != number_) {
          break;
        }
        ++number_;
      }
      taken_->numbers.insert(number_);
    }
    ~Place() {
      std::lock_guard guard(taken_->mutex);
      taken_->numbers.erase(number_);
    }
    Place(const Place&) = delete;
    Place& operator=(const Place&) = delete;
    uint32_t number() const { return number_; }

   private:
    const std::shared_ptr<Taken> taken_;
    uint32_t number_ = 0;
  };

 private:
  const std::shared_ptr<Taken> taken_ = std::make_shared<Taken>();
};

}  // namespace rota::serve
