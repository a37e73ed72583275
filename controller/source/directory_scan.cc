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
#include "common/file.h"
#include "common/hash.h"
#include "common/secret.h"

namespace rota::source {
namespace {

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

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

DirectoryScan::DirectoryScan(std::string path, DirectoryLimits limits)
    : path_(std::move(path)), limits_(limits) {}

void DirectoryScan::Report(const std::string& name, int line, const std::string& message) {
  contents_[name].problems.push_back({PathOf(name), line, message});
}

absl::Status DirectoryScan::List(std::map<std::string, Stamp>& found) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(path_.c_str()), &closedir);
  if (directory == nullptr) {
    return absl::UnavailableError(
        absl::StrCat("cannot read the directory '", path_, "': ", std::strerror(errno)));
  }
  while (true) {
    errno = 0;
    const dirent* entry = readdir(directory.get());
    if (entry == nullptr) {
      if (errno != 0) {
        return absl::UnavailableError(
            absl::StrCat("cannot list the directory '", path_, "': ", std::strerror(errno)));
      }
      return absl::OkStatus();
    }
    const std::string name = entry->d_name;
    struct stat info;
    // Follows links: a projected volume is links into "..data". A dangling one is no file (yet).
    if (!IsConfigurationFile(name) || stat(PathOf(name).c_str(), &info) != 0 ||
        !S_ISREG(info.st_mode)) {
      continue;
    }
    found[name] = Stamp{info.st_dev, info.st_ino, info.st_size, Nanoseconds(info.st_mtim),
                        Nanoseconds(info.st_ctim)};
  }
}

absl::Status DirectoryScan::Rescan(const RescanRequest& request) {
  std::map<std::string, Stamp> found;
  if (absl::Status status = List(found); !status.ok()) {
    return status;
  }
  problems_.clear();
  if (found.size() > limits_.max_files) {
    problems_.push_back({path_, 0,
                         absl::StrCat(found.size(), " files, at most ", limits_.max_files,
                                      " are read; those that come last by name are ignored")});
    found.erase(std::next(found.begin(), static_cast<std::ptrdiff_t>(limits_.max_files)),
                found.end());
  }
  Forget(found, request.is_tick);
  size_t total = 0;
  for (const auto& [name, stamp] : found) {
    total += static_cast<size_t>(stamp.size);
    if (total > limits_.max_total_bytes) {
      problems_.push_back(
          {PathOf(name), 0,
           absl::StrCat("the files of this directory are larger than ", limits_.max_total_bytes,
                        " bytes together; this one and those after it by name are "
                        "not read again, make them smaller or fewer")});
      break;
    }
    const auto known = stamps_.find(name);
    const bool is_new = known == stamps_.end();
    const bool has_changed = is_new || (request.all && known->second != stamp);
    if (request.skip.count(name) > 0 || (!has_changed && request.changed.count(name) == 0)) {
      continue;
    }
    stamps_[name] = stamp;
    ReadOne(name, stamp.size);
  }
  return absl::OkStatus();
}

void DirectoryScan::Forget(const std::map<std::string, Stamp>& found, bool is_tick) {
  for (auto& [name, content] : contents_) {
    if (found.count(name) > 0) {
      content.ticks_gone = -1;
      continue;
    }
    content.ticks_gone = std::max(content.ticks_gone, 0) + (is_tick ? 1 : 0);
    content.problems.clear();
  }
  std::erase_if(contents_,
                [](const auto& item) { return item.second.ticks_gone >= kTicksUntilForgotten; });
  // One that comes back is read as a new one.
  std::erase_if(stamps_, [&](const auto& item) { return found.count(item.first) == 0; });
  std::erase_if(hashes_, [&](const auto& item) { return found.count(item.first) == 0; });
}

bool DirectoryScan::has_vanished() const {
  return std::any_of(contents_.begin(), contents_.end(),
                     [](const auto& item) { return item.second.ticks_gone >= 0; });
}

void DirectoryScan::ReadOne(const std::string& name, int64_t size) {
  FileContent& content = contents_[name];
  absl::StatusOr<std::string> text = ReadFile(PathOf(name), limits_.max_file_bytes);
  if (!text.ok()) {
    content.problems.clear();
    // Tried again on the next look, whatever the time stamps say.
    stamps_.erase(name);
    hashes_.erase(name);
    Report(name, 0,
           absl::StrCat(std::string(text.status().message()), "; ",
                        size > static_cast<int64_t>(limits_.max_file_bytes)
                            ? "split it into several files"
                            : "make it readable for this process"));
    return;
  }
  const bool had_objects = !content.apis.empty() || !content.secrets.empty();
  if (text->empty() && had_objects) {
    content.problems.clear();
    hashes_.erase(name);
    Report(name, 0,
           "the file is empty, its last good objects stay; delete the file to remove them");
    return;
  }
  const uint64_t hash = Hash64(*text);
  const auto known = hashes_.find(name);
  if (known == hashes_.end() || known->second != hash) {
    hashes_[name] = hash;
    resource::DocumentLimits limits;
    limits.max_bytes = limits_.max_file_bytes;
    Merge(name, resource::ParseFile(*text, limits));
  }
  // It may hold Secrets.
  WipeString(*text);
}

void DirectoryScan::Merge(const std::string& name, resource::ParsedFile parsed) {
  FileContent& content = contents_[name];
  content.problems.clear();
  // An API that is half written looks like something foreign; another kind of object does not.
  const bool is_unfinished =
      std::any_of(parsed.foreign.begin(), parsed.foreign.end(),
                  [](const resource::ForeignDocument& document) { return !document.has_kind; });
  if (!parsed.problems.empty() || is_unfinished) {
    KeepMissing(content.apis, parsed.apis);
    KeepMissing(content.secrets, parsed.secrets);
  }
  content.apis = std::move(parsed.apis);
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
