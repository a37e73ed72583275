#pragma once

// One look at a directory of YAML and JSON files: which files count, what is in them. Remembers
// every file, so that an unchanged one is not read again and a broken one keeps its last good
// objects.
//
// Throws nothing. Single-thread. Bounded by DirectoryLimits.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "controller/resource/document.h"
#include "controller/source/object.h"

namespace rota::source {

struct DirectoryLimits {
  size_t max_files = 10'000;
  size_t max_file_bytes = 32 << 20;
  size_t max_total_bytes = 256 << 20;
  size_t max_problems = 200;  // told; the rest is counted
};

// What one file holds.
struct FileContent {
  // The file has vanished, this many ticks ago (see RescanRequest); -1: it is there.
  int ticks_gone = -1;
  std::vector<resource::ApiManifest> apis;
  std::vector<resource::SecretManifest> secrets;
  std::vector<SourceProblem> problems;
};

// A vanished file is forgotten after this many ticks: editors move the old file away before they
// write the new one, and nobody is to be without his API in between.
inline constexpr int kTicksUntilForgotten = 2;

// What one look is to read. New files are always read.
struct RescanRequest {
  bool all = true;                // every file whose time stamps or inode have changed
  std::set<std::string> changed;  // read whatever their time stamps say
  std::set<std::string> skip;     // being written just now: left as they are, new or not
  bool is_tick = false;           // time has passed for the vanished files
};

// True for the files that are read: *.yaml, *.yml, *.json, not hidden and not an editor's temporary
// file.
bool IsConfigurationFile(const std::string& name);

class DirectoryScan {
 public:
  DirectoryScan(std::string path, DirectoryLimits limits);

  // Brings files() up to date. An error means that the directory itself cannot be read: nothing has
  // changed then.
  absl::Status Rescan(const RescanRequest& request);

  // By file name.
  const std::map<std::string, FileContent>& files() const { return contents_; }
  // Some of files() have vanished and wait to be forgotten.
  bool has_vanished() const;
  // Of the directory as a whole: too many files, too many bytes.
  const std::vector<SourceProblem>& problems() const { return problems_; }
  // A name with the directory before it.
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

 private:
  // What tells that a file has changed.
  struct Stamp {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = 0;
    int64_t modified_ns = 0;
    int64_t changed_ns = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
  };

  absl::Status List(std::map<std::string, Stamp>& found);
  void Forget(const std::map<std::string, Stamp>& found, bool is_tick);
  void ReadOne(const std::string& name, int64_t size);
  void Merge(const std::string& name, resource::ParsedFile parsed);
  void Report(const std::string& name, int line, const std::string& message);

  const std::string path_;
  const DirectoryLimits limits_;
  std::map<std::string, Stamp> stamps_;
  std::map<std::string, uint64_t> hashes_;  // of what was parsed last
  std::map<std::string, FileContent> contents_;
  std::vector<SourceProblem> problems_;
};

}  // namespace rota::source
