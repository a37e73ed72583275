#pragma once

// Which objects the files of a directory stand for, and what has changed since they were told last.
// Single-thread, no files, no threads.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/secret.h"
#include "controller/source/directory_scan.h"
#include "controller/source/source.h"

namespace rota::source {

class DirectoryObjects {
 public:
  // `version_key`: random bytes of this process. They key the versions of Secrets, so that a
  // version gives nothing away about a value.
  explicit DirectoryObjects(SecretString version_key);

  // Tells `sink` which APIs have changed or gone. Returns the problems of all files, duplicates
  // included.
  std::vector<SourceProblem> TellApis(const DirectoryScan& scan, size_t max_problems,
                                      ObjectSink& sink);
  // Tells `sink` about the referenced Secrets: those that changed, and each one whose wanted keys
  // changed.
  void TellSecrets(const DirectoryScan& scan, const SecretReferences& references, ObjectSink& sink);

 private:
  struct ToldApi {
    uint64_t spec_hash = 0;
    uint64_t place_hash = 0;  // of file and lines
    int64_t generation = 0;
  };
  struct ToldSecret {
    std::set<std::string> keys;
    std::string version;  // "" = it does not exist
  };

  void TellApi(const resource::ApiManifest& manifest, const std::string& file, ObjectSink& sink);
  std::string VersionOf(const SecretObject& object) const;

  const SecretString version_key_;
  std::map<resource::ObjectName, ToldApi> told_apis_;
  std::map<resource::ObjectName, ToldSecret> told_secrets_;
  // Generations count on when an object goes and comes back.
  int64_t last_generation_ = 0;
};

}  // namespace rota::source
