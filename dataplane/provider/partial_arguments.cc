#include "dataplane/provider/partial_arguments.h"

#include <charconv>
#include <utility>

namespace rota::provider {
namespace {

// The next step of a path: a member's name or a list's index.
struct Step {
  bool is_index = false;
  std::string_view name;
  size_t index = 0;
};

// Reads a step off the front of `path`: ".name", "[0]", "['name']" or "[\"name\"]". False when
// there is none.
bool TakeStep(std::string_view& path, Step& step) {
  if (path.starts_with('.')) {
    path.remove_prefix(1);
    step.is_index = false;
    step.name = path.substr(0, path.find_first_of(".["));
    path.remove_prefix(step.name.size());
    return !step.name.empty();
  }
  const size_t end = path.find(']');
  if (!path.starts_with('[') || end == std::string_view::npos) {
    return false;
  }
  const std::string_view inside = path.substr(1, end - 1);
  path.remove_prefix(end + 1);
  if (inside.size() >= 2 && (inside.front() == '\'' || inside.front() == '"') &&
      inside.back() == inside.front()) {
    step.is_index = false;
    step.name = inside.substr(1, inside.size() - 2);
    return true;
  }
  step.is_index = true;
  const auto [rest, error] =
      std::from_chars(inside.data(), inside.data() + inside.size(), step.index);
  return error == std::errc() && rest == inside.data() + inside.size();
}

// The child of `parent` at `step`, made when it is not there (in a list: when it is the next); null
// when `parent` is of another kind.
Json* Enter(Json& parent, const Step& step) {
  if (parent.is_null()) {
    parent = step.is_index ? Json::array() : Json::object();
  }
  if (step.is_index ? !parent.is_array() : !parent.is_object()) {
    return nullptr;
  }
  if (!step.is_index) {
    return &parent[std::string(step.name)];
  }
  if (step.index == parent.size()) {
    parent.push_back(Json());
  }
  return step.index < parent.size() ? &parent[step.index] : nullptr;
}

}  // namespace

bool PartialArguments::Add(const Json& piece) {
  const std::string_view path = FindText(piece, "jsonPath");
  const Json* text = Find(piece, "stringValue");
  const Json* number = Find(piece, "numberValue");
  const Json* boolean = Find(piece, "boolValue");
  const std::string_view fragment = FindText(piece, "stringValue");
  bytes_ += path.size() + fragment.size() + sizeof(Json);
  if (bytes_ > kMaxBytes) {
    return false;
  }
  Json* place = Place(path);
  if (place == nullptr) {
    return true;
  }
  if (text != nullptr && place->is_string()) {
    place->get_ref<std::string&>().append(fragment);
  } else if (text != nullptr) {
    *place = std::string(fragment);
  } else if (number != nullptr && number->is_number()) {
    *place = *number;
  } else if (boolean != nullptr && boolean->is_boolean()) {
    *place = *boolean;
  }
  return true;
}

Json* PartialArguments::Place(std::string_view path) {
  if (!path.starts_with('$')) {
    return nullptr;
  }
  path.remove_prefix(1);
  Json* place = &root_;
  Step step;
  for (size_t depth = 0; !path.empty(); ++depth) {
    if (depth == kMaxDepth || !TakeStep(path, step)) {
      return nullptr;
    }
    place = Enter(*place, step);
    if (place == nullptr) {
      return nullptr;
    }
  }
  return place == &root_ ? nullptr : place;
}

}  // namespace rota::provider
