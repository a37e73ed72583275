#include "controller/resource/tree_builder.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/resource/scalar.h"

namespace rota::resource {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxKeyBytes = 1024;
// Beyond this much text in JSON pointers lines are no longer recorded: an ancestor's line is shown.
constexpr size_t kMaxPointerBytes = 32 << 20;

size_t TextBytes(const Json& scalar) {
  return scalar.is_string() ? scalar.get_ref<const std::string&>().size() : 0;
}

}  // namespace

void TreeBuilder::Scalar(Json value, Position at, size_t anchor, bool plain) {
  if (KeyIsDue()) {
    Key(value, at, plain);
    return;
  }
  Count(1, at);
  bytes_ += TextBytes(value);
  if (anchor != 0) {
    Remember(anchor, value, 1, TextBytes(value), at);
  }
  Place(std::move(value), at);
}

void TreeBuilder::Start(bool is_map, Position at, size_t anchor) {
  if (KeyIsDue()) {
    throw ReadError{
        at.line, at.column,
        "a key must be plain text here, not a list or map; {{ }} of a template needs quotes"};
  }
  if (frames_.size() >= limits_.max_depth) {
    throw ReadError{
        at.line, at.column,
        absl::StrCat("nested more than ", limits_.max_depth, " levels deep; flatten it")};
  }
  Count(1, at);
  Frame frame;
  frame.value = is_map ? Json::object() : Json::array();
  frame.pointer = PointerOfNext();
  frame.anchor = anchor;
  frame.nodes_before = nodes_ - 1;
  frame.bytes_before = bytes_;
  frame.at = at;
  frames_.push_back(std::move(frame));
}

void TreeBuilder::End() {
  Frame frame = std::move(frames_.back());
  frames_.pop_back();
  ApplyMerges(frame);
  if (frame.anchor != 0) {
    Remember(frame.anchor, frame.value, nodes_ - frame.nodes_before, bytes_ - frame.bytes_before,
             frame.at);
  }
  Place(std::move(frame.value), frame.at);
}

void TreeBuilder::Alias(size_t anchor, Position at) {
  if (KeyIsDue()) {
    throw ReadError{at.line, at.column, "an alias cannot be a key; write the key out"};
  }
  const auto found = anchors_.find(anchor);
  if (found == anchors_.end()) {
    throw ReadError{at.line, at.column, "an alias inside its own anchor; write the value out"};
  }
  Count(found->second.nodes, at);
  alias_bytes_ += found->second.bytes;
  if (alias_bytes_ > limits_.max_alias_bytes) {
    throw ReadError{at.line, at.column,
                    absl::StrCat("aliases repeat more than ", limits_.max_alias_bytes,
                                 " bytes of text; write out less")};
  }
  bytes_ += found->second.bytes;
  Place(found->second.value, at);
}

Tree TreeBuilder::Take() && { return std::move(tree_); }

void TreeBuilder::Key(const Json& scalar, Position at, bool plain) {
  std::optional<std::string> key = KeyOf(scalar);
  if (!key) {
    throw ReadError{at.line, at.column, "a key is missing before the colon; write one"};
  }
  if (key->size() > kMaxKeyBytes) {
    throw ReadError{at.line, at.column,
                    absl::StrCat("a key is longer than ", kMaxKeyBytes, " bytes; shorten it")};
  }
  Frame& frame = frames_.back();
  frame.merge = plain && *key == "<<";
  if (!frame.merge && frame.value.contains(*key)) {
    throw ReadError{at.line, at.column,
                    absl::StrCat("the key '", *key, "' is there twice; remove one of them")};
  }
  bytes_ += key->size();
  frame.key = std::move(key);
  if (!frame.merge) {
    RecordLine(PointerOfNext(), at.line);
  }
}

void TreeBuilder::Place(Json value, Position at) {
  if (frames_.empty()) {
    tree_.root = std::move(value);
    tree_.line = at.line;
    RecordLine("", at.line);
    return;
  }
  Frame& frame = frames_.back();
  if (frame.value.is_array()) {
    RecordLine(PointerOfNext(), at.line);
    frame.value.push_back(std::move(value));
    return;
  }
  if (frame.merge) {
    const bool is_list = value.is_array();
    for (const Json& item : is_list ? value : Json::array({value})) {
      if (!item.is_object()) {
        throw ReadError{at.line, at.column, "<< needs a map or a list of maps (an alias to one)"};
      }
      frame.merges.push_back(item);
    }
    frame.merge = false;
  } else {
    frame.value[*frame.key] = std::move(value);
  }
  frame.key.reset();
}

void TreeBuilder::Remember(size_t anchor, const Json& value, size_t nodes, size_t bytes,
                           Position at) {
  remembered_nodes_ += nodes;
  if (remembered_nodes_ > limits_.max_nodes_per_document) {
    throw ReadError{at.line, at.column, "anchors on too much of the document; write values out"};
  }
  anchors_[anchor] = {value, nodes, bytes};
}

void TreeBuilder::ApplyMerges(Frame& frame) {
  for (const Json& merged : frame.merges) {
    for (const auto& [key, value] : merged.items()) {
      if (!frame.value.contains(key)) {
        frame.value[key] = value;
      }
    }
  }
}

void TreeBuilder::Count(size_t nodes, Position at) {
  nodes_ += nodes;
  if (nodes_ > limits_.max_nodes_per_document) {
    throw ReadError{at.line, at.column,
                    absl::StrCat("the document holds more than ", limits_.max_nodes_per_document,
                                 " values (aliases count each time); split it")};
  }
  if (nodes > nodes_left_) {
    throw ReadError{at.line, at.column,
                    absl::StrCat("the file holds more than ", limits_.max_nodes,
                                 " values; split it into several files")};
  }
  nodes_left_ -= nodes;
}

void TreeBuilder::RecordLine(std::string pointer, int line) {
  pointer_bytes_ += pointer.size();
  if (pointer_bytes_ <= kMaxPointerBytes) {
    tree_.lines.emplace(std::move(pointer), line);
  }
}

std::string TreeBuilder::PointerOfNext() const {
  if (frames_.empty()) {
    return "";
  }
  const Frame& frame = frames_.back();
  if (frame.value.is_array()) {
    return absl::StrCat(frame.pointer, "/", frame.value.size());
  }
  return absl::StrCat(frame.pointer, "/", EscapePointer(frame.key.value_or("")));
}

}  // namespace rota::resource
