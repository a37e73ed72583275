#pragma once

// One look at a directory of YAML and JSON files: which files count, what is in them. Remembers
// every file, so that an unchanged one is not read again and a broken one keeps its last good
// objects. A look at files that are named costs what those files cost, however many there are.
//
// Throws nothing. Single-thread. Bounded by DirectoryLimits.

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "controller/resource/document.h"
#include "controller/source/object.h"
#include "controller/source/stamped_file.h"

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
  std::vector<resource::NamespaceManifest> namespaces;
  std::vector<resource::ApiManifest> apis;
  std::vector<resource::GatewayManifest> gateways;
  std::vector<resource::SecretManifest> secrets;
  std::vector<SourceProblem> problems;
};

// A vanished file is forgotten after this many ticks: editors move the old file away before they
// write the new one, and nobody is to be without his API in between.
inline constexpr int kTicksUntilForgotten = 2;

// What one look is to read. New files are always read.
struct RescanRequest {
  bool all = true;  // every file whose time stamps or inode have changed
  // No other entry of the directory than those in `changed` can have come, gone or changed: other
  // files are left alone (links are not, they may lead somewhere else). Whenever that cannot be
  // relied on, the whole directory is looked at all the same.
  bool only_changed = false;
  std::set<std::string> changed;  // read whatever their time stamps say
  std::set<std::string> skip;     // being written just now: left as they are, new or not
  bool is_tick = false;           // time has passed for the vanished files
};

// True for the files that are read: *.yaml, *.yml, *.json, not hidden and not an editor's temporary
// file.
bool IsConfigurationFile(const std::string& name);

class DirectoryScan {
 public:
  // `reader`: how a file is read; tests let things happen in between.
  DirectoryScan(std::string path, DirectoryLimits limits, StampedReader reader = ReadStamped);

  // Brings files() up to date. Returns the names of the files that are new, gone or vanished, and
  // of those whose objects or problems may be others than before. An error means that the directory
  // itself cannot be read: nothing has changed then.
  absl::StatusOr<std::set<std::string>> Rescan(const RescanRequest& request);

  // By file name.
  const std::map<std::string, FileContent>& files() const { return contents_; }
  // Some of files() have vanished and wait to be forgotten.
  bool has_vanished() const { return !vanished_.empty(); }
  // Of the directory as a whole: too many files, too many bytes.
  const std::vector<SourceProblem>& problems() const { return problems_; }
  // A name with the directory before it.
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

 private:
  using Stamp = FileStamp;

  // Which directory it was, and who may read it.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    uint32_t mode = 0;
    friend bool operator==(const Identity&, const Identity&) = default;
  };
  // A file that was there at the last look.
  struct Known {
    int64_t size = 0;   // at the last look
    Stamp stamp;        // of what was read last
    uint64_t hash = 0;  // of what was parsed last; 0: to be parsed whatever it holds
    bool is_read = false;
  };
  using Stamps = std::map<std::string, std::optional<Stamp>>;

  static std::optional<Identity> IdentityOf(const std::string& path);
  absl::StatusOr<std::map<std::string, Stamp>> List();
  absl::Status LookAtAll(const RescanRequest& request);
  bool LookAtChanged(const RescanRequest& request);
  void NoteKind(const std::string& name);
  bool FitsLimits(const Stamps& stamps) const;
  void LookAt(const std::string& name, const Stamp& stamp, const RescanRequest& request);
  void Lose(const std::string& name);
  void LoseAllBut(const std::map<std::string, Stamp>& found);
  void Return(const std::string& name);
  void Tick();
  void ReadOne(const std::string& name, Known& known);
  void Merge(const std::string& name, resource::ParsedFile parsed);
  void Report(const std::string& name, int line, const std::string& message);

  const std::string path_;
  const DirectoryLimits limits_;
  const StampedReader reader_;
  std::optional<Identity> listed_;  // nullopt: the last look at all of it has failed
  std::map<std::string, Known> known_;
  std::map<std::string, FileContent> contents_;
  std::set<std::string> links_;     // and what else is no ordinary file, but called like one
  std::set<std::string> unread_;    // of known_, those that are still to be read
  std::set<std::string> vanished_;  // of contents_
  std::set<std::string> news_;      // what this look returns
  size_t total_bytes_ = 0;          // of known_
  std::vector<SourceProblem> problems_;
};

}  // namespace rota::source
