#pragma once

// Which objects the files of a directory stand for, and what has changed since they were told last.
// Only what changed files hold is looked at. Single-thread, no files, no threads.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/secret.h"
#include "controller/source/directory_scan.h"
#include "controller/source/object_index.h"
#include "controller/source/source.h"

namespace rota::source {

class DirectoryObjects {
 public:
  // `version_key`: random bytes of this process. They key the versions of Secrets, so that a
  // version gives nothing away about a value.
  explicit DirectoryObjects(SecretString version_key);

  // Takes in what the files named `changed` hold now and tells `sink` which APIs have changed or
  // gone. Returns the problems of all files, duplicates included.
  std::vector<SourceProblem> TellApis(const DirectoryScan& scan,
                                      const std::set<std::string>& changed, size_t max_problems,
                                      ObjectSink& sink);
  // Tells `sink` about the referenced Secrets that TellApis() has found changed since the last
  // call.
  void TellSecrets(const DirectoryScan& scan, const SecretReferences& references, ObjectSink& sink);
  // The same, and about each Secret whose wanted keys are others than in the call before.
  void TellReferences(const DirectoryScan& scan, const SecretReferences& references,
                      ObjectSink& sink);

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

  void TakeIn(const DirectoryScan& scan, const std::string& file,
              std::set<resource::ObjectName>& touched_apis);
  std::vector<SourceProblem> Problems(const DirectoryScan& scan) const;
  void TellApi(const resource::ApiManifest& manifest, const std::string& file, ObjectSink& sink);
  void TellSecret(const DirectoryScan& scan, const resource::ObjectName& name,
                  const std::set<std::string>& keys, ObjectSink& sink);
  std::string VersionOf(const SecretObject& object) const;

  const SecretString version_key_;
  ObjectIndex apis_;
  ObjectIndex secrets_;
  std::set<std::string> files_with_problems_;
  std::set<resource::ObjectName> touched_secrets_;  // since they were told
  std::map<resource::ObjectName, ToldApi> told_apis_;
  std::map<resource::ObjectName, ToldSecret> told_secrets_;
  // Generations count on when an object goes and comes back.
  int64_t last_generation_ = 0;
};

}  // namespace rota::source
