#include "controller/source/directory_scan.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/secret.h"

namespace rota::source {
namespace {

// Objects of `before` that `after` lacks stay: the file could not be read to its end.
template <typename Manifest>
void KeepMissing(const std::vector<Manifest>& before, std::vector<Manifest>& after) {
  for (const Manifest& old : before) {
    const bool is_there = std::any_of(after.begin(), after.end(),
                                      [&](const Manifest& m) { return m.name == old.name; });
    if (!is_there) {
      after.push_back(old);
    }
  }
}

}  // namespace

bool IsConfigurationFile(const std::string& name) {
  if (name.empty() || name.front() == '.' || name.front() == '#') {
    return false;
  }
  constexpr std::array<std::string_view, 3> kEndings = {".yaml", ".yml", ".json"};
  return std::any_of(kEndings.begin(), kEndings.end(), [&](std::string_view ending) {
    return name.size() > ending.size() && name.ends_with(ending);
  });
}

std::optional<DirectoryScan::Identity> DirectoryScan::IdentityOf(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) {
    return std::nullopt;
  }
  return Identity{info.st_dev, info.st_ino, info.st_mode};
}

DirectoryScan::DirectoryScan(std::string path, DirectoryLimits limits, StampedReader reader)
    : path_(std::move(path)), limits_(limits), reader_(std::move(reader)) {}

void DirectoryScan::Report(const std::string& name, int line, const std::string& message) {
  contents_[name].problems.push_back({PathOf(name), line, message});
  news_.insert(name);
}

absl::StatusOr<std::map<std::string, DirectoryScan::Stamp>> DirectoryScan::List() {
  listed_.reset();
  links_.clear();
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path_.c_str()), &closedir);
  struct stat info;
  if (directory == nullptr || fstat(dirfd(directory.get()), &info) != 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot read the directory '", path_, "': ", std::strerror(errno)));
  }
  const Identity identity{info.st_dev, info.st_ino, info.st_mode};
  std::map<std::string, Stamp> found;
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) {
        return absl::UnavailableError(
            absl::StrCat("cannot list the directory '", path_, "': ", std::strerror(errno)));
      }
      listed_ = identity;
      return found;
    }
    const std::string name = entry->d_name;
    if (!IsConfigurationFile(name)) {
      continue;
    }
    if (entry->d_type != DT_REG) {
      NoteKind(name);
    }
    if (const std::optional<Stamp> stamp = StampOf(PathOf(name))) {
      found.emplace(name, *stamp);
    }
  }
}

absl::StatusOr<std::set<std::string>> DirectoryScan::Rescan(const RescanRequest& request) {
  news_.clear();
  if (!request.only_changed || !LookAtChanged(request)) {
    if (absl::Status status = LookAtAll(request); !status.ok()) {
      return status;
    }
  }
  return std::exchange(news_, {});
}

absl::Status DirectoryScan::LookAtAll(const RescanRequest& request) {
  absl::StatusOr<std::map<std::string, Stamp>> found = List();
  if (!found.ok()) {
    return found.status();
  }
  problems_.clear();
  if (found->size() > limits_.max_files) {
    problems_.push_back({path_, 0,
                         absl::StrCat(found->size(), " files, at most ", limits_.max_files,
                                      " are read; those that come last by name are ignored")});
    found->erase(std::next(found->begin(), static_cast<std::ptrdiff_t>(limits_.max_files)),
                 found->end());
  }
  LoseAllBut(*found);
  for (const auto& [name, stamp] : *found) {
    Return(name);
  }
  if (request.is_tick) {
    Tick();
  }
  size_t total = 0;
  for (const auto& [name, stamp] : *found) {
    total += static_cast<size_t>(stamp.size);
    if (total > limits_.max_total_bytes) {
      problems_.push_back(
          {PathOf(name), 0,
           absl::StrCat("the files of this directory are larger than ", limits_.max_total_bytes,
                        " bytes together; this one and those after it by name are "
                        "not read again, make them smaller or fewer")});
      break;
    }
    LookAt(name, stamp, request);
  }
  return absl::OkStatus();
}

void DirectoryScan::NoteKind(const std::string& name) {
  struct stat info;
  if (lstat(PathOf(name).c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    links_.insert(name);
  } else {
    links_.erase(name);
  }
}

// False, and files() is as it was, when all of the directory has to be looked at.
bool DirectoryScan::LookAtChanged(const RescanRequest& request) {
  if (!listed_.has_value() || !problems_.empty() || IdentityOf(path_) != listed_) {
    return false;
  }
  std::for_each(request.changed.begin(), request.changed.end(),
                [this](const std::string& name) { NoteKind(name); });
  std::set<std::string> names = request.changed;
  names.insert(links_.begin(), links_.end());
  names.insert(unread_.begin(), unread_.end());
  names.insert(vanished_.begin(), vanished_.end());
  Stamps stamps;
  for (const std::string& name : names) {
    stamps.emplace(name, StampOf(PathOf(name)));
  }
  if (!FitsLimits(stamps)) {
    return false;
  }
  for (const auto& [name, stamp] : stamps) {
    if (stamp.has_value()) {
      Return(name);
    } else {
      Lose(name);
    }
  }
  if (request.is_tick) {
    Tick();
  }
  for (const auto& [name, stamp] : stamps) {
    if (stamp.has_value()) {
      LookAt(name, *stamp, request);
    }
  }
  return true;
}

// Whether all files may still be read when these are as they are now.
bool DirectoryScan::FitsLimits(const Stamps& stamps) const {
  size_t files = known_.size();
  size_t bytes = total_bytes_;
  for (const auto& [name, stamp] : stamps) {
    if (const auto known = known_.find(name); known != known_.end()) {
      files -= 1;
      bytes -= static_cast<size_t>(known->second.size);
    }
    if (stamp.has_value()) {
      files += 1;
      bytes += static_cast<size_t>(stamp->size);
    }
  }
  return files <= limits_.max_files && bytes <= limits_.max_total_bytes;
}

// The file is not there (any more).
void DirectoryScan::Lose(const std::string& name) {
  if (const auto known = known_.find(name); known != known_.end()) {
    total_bytes_ -= static_cast<size_t>(known->second.size);
    // One that comes back is read as a new one.
    known_.erase(known);
    unread_.erase(name);
  }
  const auto content = contents_.find(name);
  if (content != contents_.end() && content->second.ticks_gone < 0) {
    content->second.ticks_gone = 0;
    content->second.problems.clear();
    vanished_.insert(name);
    news_.insert(name);
  }
}

void DirectoryScan::LoseAllBut(const std::map<std::string, Stamp>& found) {
  std::set<std::string> lost;
  const auto add = [&](const auto& item) {
    if (found.count(item.first) == 0) {
      lost.insert(item.first);
    }
  };
  std::for_each(known_.begin(), known_.end(), add);
  // Where the limits forbid to read a file that has come back, it has content and is not known.
  std::for_each(contents_.begin(), contents_.end(), add);
  for (const std::string& name : lost) {
    Lose(name);
  }
}

// The file is there, whether or not it will be read.
void DirectoryScan::Return(const std::string& name) {
  if (vanished_.erase(name) > 0) {
    contents_.at(name).ticks_gone = -1;
    news_.insert(name);
  }
}

void DirectoryScan::Tick() {
  for (auto name = vanished_.begin(); name != vanished_.end();) {
    const auto content = contents_.find(*name);
    if (++content->second.ticks_gone < kTicksUntilForgotten) {
      ++name;
      continue;
    }
    news_.insert(*name);
    contents_.erase(content);
    name = vanished_.erase(name);
  }
}

void DirectoryScan::LookAt(const std::string& name, const Stamp& stamp,
                           const RescanRequest& request) {
  Known& known = known_[name];
  total_bytes_ += static_cast<size_t>(stamp.size) - static_cast<size_t>(known.size);
  known.size = stamp.size;
  const bool has_changed = !known.is_read || (request.all && known.stamp != stamp);
  if (request.skip.count(name) > 0 || (!has_changed && request.changed.count(name) == 0)) {
    if (!known.is_read) {
      unread_.insert(name);
    }
    return;
  }
  known.is_read = true;
  unread_.erase(name);
  ReadOne(name, known);
  if (StampOf(PathOf(name)) != known.stamp) {
    // It has become another one in between.
    known.is_read = false;
    unread_.insert(name);
  }
}

void DirectoryScan::ReadOne(const std::string& name, Known& known) {
  absl::StatusOr<StampedText> read = reader_(PathOf(name), limits_.max_file_bytes);
  FileContent& content = contents_[name];
  if (!read.ok()) {
    content.problems.clear();
    // Tried again on the next look, whatever the time stamps say.
    known.is_read = false;
    known.hash = 0;
    unread_.insert(name);
    Report(name, 0,
           absl::StrCat(std::string(read.status().message()), "; ",
                        known.size > static_cast<int64_t>(limits_.max_file_bytes)
                            ? "split it into several files"
                            : "make it readable for this process"));
    return;
  }
  known.stamp = read->stamp;
  std::string& text = read->text;
  const bool had_objects = !content.apis.empty() || !content.gateways.empty() ||
                           !content.secrets.empty() || !content.namespaces.empty();
  if (text.empty() && had_objects) {
    content.problems.clear();
    known.hash = 0;
    Report(name, 0,
           "the file is empty, its last good objects stay; delete the file to remove them");
    return;
  }
  const uint64_t hash = Hash64(text);
  if (known.hash != hash) {
    known.hash = hash;
    resource::DocumentLimits limits;
    limits.max_bytes = limits_.max_file_bytes;
    Merge(name, resource::ParseFile(text, limits));
  }
  // It may hold Secrets.
  WipeString(text);
}

void DirectoryScan::Merge(const std::string& name, resource::ParsedFile parsed) {
  FileContent& content = contents_[name];
  news_.insert(name);
  content.problems.clear();
  // An API that is half written looks like something foreign; another kind of object does not.
  const bool is_unfinished =
      std::any_of(parsed.foreign.begin(), parsed.foreign.end(),
                  [](const resource::ForeignDocument& document) { return !document.has_kind; });
  if (!parsed.problems.empty() || is_unfinished) {
    KeepMissing(content.namespaces, parsed.namespaces);
    KeepMissing(content.apis, parsed.apis);
    KeepMissing(content.gateways, parsed.gateways);
    KeepMissing(content.secrets, parsed.secrets);
  }
  content.namespaces = std::move(parsed.namespaces);
  content.apis = std::move(parsed.apis);
  content.gateways = std::move(parsed.gateways);
  content.secrets = std::move(parsed.secrets);
  for (const resource::DocumentProblem& problem : parsed.problems) {
    const std::string place =
        problem.column > 0 ? absl::StrCat("column ", problem.column, ": ") : "";
    Report(name, problem.line, place + problem.message);
  }
  for (const resource::ForeignDocument& document : parsed.foreign) {
    Report(name, document.line, "passed over: " + document.message);
  }
  for (const resource::PolicyFragment& fragment : parsed.fragments) {
    Report(name, fragment.line,
           "holds policies and no API, so that there is nothing to serve; put them into the "
           "apiPolicies of an API");
  }
}

}  // namespace rota::source
