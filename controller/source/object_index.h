#pragma once

// Which file each object is served from when several files may hold an object of one name: of two,
// the first by file name counts, within a file the first. What a vanished file holds counts last.
// A change costs what the objects of the changed file cost.
//
// Throws nothing. Single-thread. Bounded by the objects of all files.

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "controller/resource/api.h"

namespace rota::source {

// In order of precedence.
struct ObjectPlace {
  bool is_gone = false;  // the file has vanished
  std::string file;
  size_t position = 0;  // among the objects of this kind in the file
  friend auto operator<=>(const ObjectPlace&, const ObjectPlace&) = default;
};

class ObjectIndex {
 public:
  // From now on `file` holds these objects, in this order; none: there is no such file. Adds to
  // `touched` every object that it held or holds.
  void Set(const std::string& file, bool is_gone, std::vector<resource::ObjectName> objects,
           std::set<resource::ObjectName>& touched);

  // Where the object is served from; null: nowhere. Valid until the next Set().
  const ObjectPlace* Owner(const resource::ObjectName& object) const;

  // Where an object is that is served from elsewhere, vanished files excepted; in order of places.
  std::vector<std::pair<ObjectPlace, resource::ObjectName>> Duplicates() const;

 private:
  void Remove(const resource::ObjectName& object, const std::string& file);
  void NoteCrowd(const resource::ObjectName& object);

  std::map<std::string, std::vector<resource::ObjectName>> files_;
  std::map<resource::ObjectName, std::vector<ObjectPlace>> places_;  // sorted, never empty
  std::set<resource::ObjectName> crowded_;                           // in more than one place
};

}  // namespace rota::source
