#pragma once

// Objects from a directory of YAML and JSON files: apk-conf files, API and Secret manifests, the
// same files as `kubectl apply` takes. Not recursive; links are followed, so that a projected
// volume (links into "..data", swapped as a whole) works.
//
// An event makes it look at once at the files that it names; what happens meanwhile is in the next
// look. The whole directory is looked at when a folder or "..data" has changed, when events are
// lost and, in case nobody says so (network file systems), by a slow timer. A file that is being
// written is left alone until it is closed; a file that cannot be read keeps its last good objects
// and is reported; a deleted file deletes its objects.
//
// Thread-safe. The sink is called from one thread.

#include <chrono>
#include <memory>
#include <string>

#include "common/clock.h"
#include "controller/source/directory_scan.h"
#include "controller/source/source.h"

namespace rota::source {

struct DirectoryOptions {
  DirectoryLimits limits;
  Duration rescan_interval = std::chrono::seconds(10);
  // A file that has vanished is taken for deleted after between one and two times this.
  Duration removal_tick = std::chrono::milliseconds(150);
};

class DirectorySource final : public Source {
 public:
  explicit DirectorySource(std::string path, DirectoryOptions options = {});
  ~DirectorySource() override;

  // NotFound, FailedPrecondition or PermissionDenied when the directory cannot be read now.
  absl::Status Start(ObjectSink& sink) override;
  void Stop() override;
  void SetSecretReferences(SecretReferences references) override;
  void Recheck() override;
  void WantNamespaces() override {}  // they are told with the rest
  SourceHealth Health() const override;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace rota::source
