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

  // Takes in what the files named `changed` hold now and tells `sink` which namespaces, gateways
  // and APIs have changed or gone. Returns the problems of all files, duplicates included.
  std::vector<SourceProblem> TellSpecs(const DirectoryScan& scan,
                                       const std::set<std::string>& changed, size_t max_problems,
                                       ObjectSink& sink);
  // Tells `sink` about the referenced Secrets that TellSpecs() has found changed since the last
  // call.
  void TellSecrets(const DirectoryScan& scan, const SecretReferences& references, ObjectSink& sink);
  // The same, and about each Secret whose wanted keys are others than in the call before.
  void TellReferences(const DirectoryScan& scan, const SecretReferences& references,
                      ObjectSink& sink);

 private:
  struct ToldSpec {
    uint64_t spec_hash = 0;
    uint64_t place_hash = 0;  // of file and lines
    int64_t generation = 0;
  };
  // The objects of a kind that has a spec: where each is, and what was told of it.
  struct SpecKind {
    ObjectKind kind;
    std::string name;      // for people
    std::string uid_word;  // in the objects' uids
    std::vector<resource::SpecManifest> FileContent::*list;
    void (ObjectSink::*tell)(SpecObject);
    ObjectIndex index = {};
    std::map<resource::ObjectName, ToldSpec> told = {};
    std::set<resource::ObjectName> touched = {};  // by the files that are being taken in
  };
  struct ToldSecret {
    std::set<std::string> keys;
    std::string version;  // "" = it does not exist
  };

  void TakeIn(const DirectoryScan& scan, const std::string& file);
  std::vector<SourceProblem> Problems(const DirectoryScan& scan) const;
  void TellKind(const DirectoryScan& scan, SpecKind& kind, ObjectSink& sink);
  void TellSpec(SpecKind& kind, const resource::SpecManifest& manifest, const std::string& file,
                ObjectSink& sink);
  void TellSecret(const DirectoryScan& scan, const resource::ObjectName& name,
                  const std::set<std::string>& keys, ObjectSink& sink);
  std::string VersionOf(const SecretObject& object) const;

  const SecretString version_key_;
  SpecKind namespaces_;
  SpecKind gateways_;
  SpecKind apis_;
  ObjectIndex secrets_;
  std::set<std::string> files_with_problems_;
  std::set<resource::ObjectName> touched_secrets_;  // since they were told
  std::map<resource::ObjectName, ToldSecret> told_secrets_;
  // Generations count on when an object goes and comes back.
  int64_t last_generation_ = 0;
};

}  // namespace rota::source
