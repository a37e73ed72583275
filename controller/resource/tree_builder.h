#pragma once

// Builds one document from a reader's events (YAML or JSON) within the limits. Not thread-safe.
// Reports what is wrong by throwing ReadError, which ParseTrees() catches.

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/resource/tree.h"

namespace rota::resource {

struct ReadError {
  int line = 0;
  int column = 0;
  std::string message;
};

struct Position {
  int line = 0;
  int column = 0;
};

class TreeBuilder {
 public:
  // `nodes_left` is what the file may still hold; it is counted down.
  TreeBuilder(const DocumentLimits& limits, size_t& nodes_left)
      : limits_(limits), nodes_left_(nodes_left) {}

  // `anchor` 0: none. A scalar is the next map key where one is due.
  void Scalar(nlohmann::json value, Position at, size_t anchor = 0, bool plain = false);
  void Start(bool is_map, Position at, size_t anchor = 0);
  void End();
  void Alias(size_t anchor, Position at);

  Tree Take() &&;

 private:
  struct Frame {
    nlohmann::json value;
    std::string pointer;
    std::optional<std::string> key;  // of the value that is due
    bool merge = false;              // the key was a plain <<
    std::vector<nlohmann::json> merges;
    size_t anchor = 0;
    size_t nodes_before = 0;
    size_t bytes_before = 0;
    Position at;
  };
  struct Anchored {
    nlohmann::json value;
    size_t nodes = 0;
    size_t bytes = 0;
  };

  bool KeyIsDue() const {
    return !frames_.empty() && frames_.back().value.is_object() && !frames_.back().key;
  }
  void Key(const nlohmann::json& scalar, Position at, bool plain);
  // Takes a finished value to where it belongs: the open list or map, or the root.
  void Place(nlohmann::json value, Position at);
  void Remember(size_t anchor, const nlohmann::json& value, size_t nodes, size_t bytes,
                Position at);
  void ApplyMerges(Frame& frame);
  void Count(size_t nodes, Position at);
  void RecordLine(std::string pointer, int line);
  std::string PointerOfNext() const;

  const DocumentLimits& limits_;
  size_t& nodes_left_;
  Tree tree_;
  std::vector<Frame> frames_;
  std::map<size_t, Anchored> anchors_;
  size_t nodes_ = 0;
  size_t bytes_ = 0;  // of text, in scalars and keys
  size_t alias_bytes_ = 0;
  size_t remembered_nodes_ = 0;
  size_t pointer_bytes_ = 0;
};

}  // namespace rota::resource
