#include "controller/source/object_index.h"

#include <algorithm>

namespace rota::source {

using resource::ObjectName;

void ObjectIndex::Set(const std::string& file, bool is_gone, std::vector<ObjectName> objects,
                      std::set<ObjectName>& touched) {
  if (const auto before = files_.find(file); before != files_.end()) {
    for (const ObjectName& object : before->second) {
      Remove(object, file);
      touched.insert(object);
    }
    files_.erase(before);
  }
  if (objects.empty()) {
    return;
  }
  for (size_t position = 0; position < objects.size(); ++position) {
    std::vector<ObjectPlace>& places = places_[objects[position]];
    ObjectPlace place{is_gone, file, position};
    places.insert(std::upper_bound(places.begin(), places.end(), place), std::move(place));
    NoteCrowd(objects[position]);
    touched.insert(objects[position]);
  }
  files_.emplace(file, std::move(objects));
}

void ObjectIndex::Remove(const ObjectName& object, const std::string& file) {
  const auto found = places_.find(object);
  if (found == places_.end()) {
    return;  // the file holds it twice
  }
  std::erase_if(found->second, [&](const ObjectPlace& place) { return place.file == file; });
  NoteCrowd(object);
  if (found->second.empty()) {
    places_.erase(found);
  }
}

void ObjectIndex::NoteCrowd(const ObjectName& object) {
  if (places_.at(object).size() > 1) {
    crowded_.insert(object);
  } else {
    crowded_.erase(object);
  }
}

const ObjectPlace* ObjectIndex::Owner(const ObjectName& object) const {
  const auto found = places_.find(object);
  return found == places_.end() ? nullptr : &found->second.front();
}

std::vector<std::pair<ObjectPlace, ObjectName>> ObjectIndex::Duplicates() const {
  std::vector<std::pair<ObjectPlace, ObjectName>> duplicates;
  for (const ObjectName& object : crowded_) {
    const std::vector<ObjectPlace>& places = places_.at(object);
    for (auto place = std::next(places.begin()); place != places.end() && !place->is_gone;
         ++place) {
      duplicates.emplace_back(*place, object);
    }
  }
  std::sort(duplicates.begin(), duplicates.end());
  return duplicates;
}

}  // namespace rota::source
