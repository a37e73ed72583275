#pragma once

// The APIs of one table in the order of their ids. A list is cut into runs that consecutive lists
// share: a change of one API of 5,000 makes one short run anew and copies pointers to the others.
//
// Pure. Thread-safe: const after construction.

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace rota::table {

struct Api;

// What becomes of one API: null where it was not there before, or is not there any more.
struct ApiChange {
  std::shared_ptr<const Api> before;
  std::shared_ptr<const Api> after;

  const std::string& id() const;
};
// In the order of ids, each once.
using ApiChanges = std::vector<ApiChange>;

class ApiList {
  using Run = std::vector<std::shared_ptr<const Api>>;  // never empty
  using Runs = std::vector<std::shared_ptr<const Run>>;

 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = std::shared_ptr<const Api>;
    using difference_type = std::ptrdiff_t;
    using pointer = const value_type*;
    using reference = const value_type&;

    reference operator*() const { return (**run_)[place_]; }
    pointer operator->() const { return &**this; }
    Iterator& operator++() {
      if (++place_ == (*run_)->size()) {
        ++run_;
        place_ = 0;
      }
      return *this;
    }
    friend bool operator==(const Iterator&, const Iterator&) = default;

   private:
    friend class ApiList;
    explicit Iterator(Runs::const_iterator run) : run_(run) {}

    Runs::const_iterator run_;
    size_t place_ = 0;
  };

  using value_type = std::shared_ptr<const Api>;
  using const_iterator = Iterator;

  // This list with the changes. REQUIRES: `before` of each is what this list has of that id.
  ApiList With(const ApiChanges& changes) const;
  // Null when there is none of that id.
  std::shared_ptr<const Api> Find(std::string_view id) const;

  Iterator begin() const { return Iterator(runs_.begin()); }
  Iterator end() const { return Iterator(runs_.end()); }
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

 private:
  static bool StartsBehind(std::string_view id, const std::shared_ptr<const Run>& run);
  static Run Merge(const Run& old, ApiChanges::const_iterator change,
                   ApiChanges::const_iterator last);
  void Append(std::shared_ptr<const Run> run);
  void AppendAnew(Run run);

  Runs runs_;
  size_t size_ = 0;
};

}  // namespace rota::table
