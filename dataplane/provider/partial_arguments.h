#pragma once

// Arguments of a function call that come value by value, each with its place in the whole
// (Gemini's partialArgs: {"jsonPath":"$.city","stringValue":"Ber","willContinue":true}), put
// together to one object.
//
// Memory: at most kMaxBytes of places and values, and what a tree of them takes. Thread-compatible.
// A place or a value that is not understood is left out.

#include <cstddef>
#include <string>
#include <string_view>

#include "dataplane/provider/json.h"

namespace rota::provider {

class PartialArguments {
 public:
  static constexpr size_t kMaxBytes = size_t{256} << 10;
  static constexpr size_t kMaxDepth = 32;

  // One element of partialArgs. Texts for one place are joined; lists grow from their beginning.
  // False once there is more than kMaxBytes: the object is not whole then.
  bool Add(const Json& piece);
  // The object as JSON text; "{}" when nothing came.
  std::string Text() const { return DumpJson(root_); }

 private:
  // The value at `path` ("$.a[0].b", "$['a b']"), made when it is not there; null when the path is
  // not understood.
  Json* Place(std::string_view path);

  Json root_ = Json::object();
  size_t bytes_ = 0;
};

}  // namespace rota::provider
