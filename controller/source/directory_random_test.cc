// Random sequences of file operations: whoever looks at the named files only must end up with what
// whoever looks at everything has.

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <random>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "controller/source/directory_objects.h"
#include "controller/source/directory_scan.h"
#include "controller/source/directory_source.h"
#include "controller/source/test_sink.h"
#include "gtest/gtest.h"

namespace rota::source {
namespace {

namespace fs = std::filesystem;
using namespace testing_source;  // NOLINT: test helpers
using Names = std::set<std::string>;

constexpr size_t kMaxProblems = 200;
constexpr size_t kMaxFileBytes = 2000;
const SecretReferences kReferences = {{{"default", "s0"}, {"apiKey"}},
                                      {{"default", "s1"}, {"apiKey", "other"}},
                                      {{"default", "s2"}, {"none"}}};

// A directory with a projected volume in it, and random things that happen to it.
class RandomDirectory {
 public:
  // `is_wild`: some contents are wrong, empty or too large; some links lead to other files of the
  // directory.
  RandomDirectory(uint64_t seed, bool is_wild) : random_(seed), is_wild_(is_wild) {
    std::string pattern = testing::TempDir() + "/rota-random-XXXXXX";
    path_ = mkdtemp(pattern.data());
    for (const char* version : {"..one", "..two"}) {
      fs::create_directory(File(version));
      for (const char* link : {"link-a.yaml", "link-b.yaml"}) {
        Put(absl::StrCat(version, "/", link), Documents());
      }
    }
    // Only in one of the versions: the link dangles in the other.
    Put("..two/link-c.yaml", Documents());
    fs::create_directory_symlink("..one", File("..data"));
    for (const char* link : {"link-a.yaml", "link-b.yaml", "link-c.yaml"}) {
      fs::create_symlink(absl::StrCat("..data/", link), File(link));
    }
  }
  ~RandomDirectory() { fs::remove_all(path_); }
  RandomDirectory(const RandomDirectory&) = delete;
  RandomDirectory& operator=(const RandomDirectory&) = delete;

  const std::string& path() const { return path_; }
  uint64_t Below(uint64_t end) { return random_() % end; }
  std::string AnyName() { return absl::StrCat("f", Below(8), ".yaml"); }

  struct Happened {
    Names names;  // as inotify would tell them
    bool is_swap = false;
  };

  Happened Next() {
    const std::string name = AnyName();
    switch (Below(8)) {
      case 0:
      case 1:
        return WriteInPlace(name);
      case 2:
        return Overwrite(name);
      case 3:
        return Rename(name);
      case 4:
        return Remove(name);
      case 5:
        return MakeFolder(name);
      case 6:
        return Link(name);
      default:
        return Swap();
    }
  }

 private:
  std::string File(const std::string& name) const { return absl::StrCat(path_, "/", name); }
  void Put(const std::string& name, const std::string& text) {
    std::ofstream(File(name), std::ios::trunc) << text;
  }

  std::string Document() {
    const std::string value = absl::StrCat("v", Below(3));
    switch (Below(4)) {
      case 0:
        return absl::StrCat("apiVersion: v1\nkind: Secret\nmetadata: {name: s", Below(3),
                            "}\nstringData: {apiKey: ", value, ", other: ", value, "}\n");
      case 1:
        // Named after its content.
        return absl::StrCat("name: chat\nbasePath: /", value, "\nversion: v1\noperations: []\n");
      default:
        return Manifest(absl::StrCat("a", Below(5)), "/" + value);
    }
  }
  std::string Documents() {
    std::string text = Document();
    for (uint64_t more = Below(3); more > 0; --more) {
      text += "---\n" + Document();
    }
    switch (is_wild_ ? Below(6) : 6) {
      case 0:
        return text + "  broken: [\n";
      case 1:
        return "";
      case 2:
        return text + "#" + std::string(kMaxFileBytes, 'x') + "\n";
      case 3:
        return text + "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n";
      default:
        return text;
    }
  }

  Happened WriteInPlace(const std::string& name) {
    if (!fs::is_regular_file(fs::symlink_status(File(name)))) {
      fs::remove(File(name));
    }
    Put(name, Documents());
    return {{name}};
  }
  Happened Overwrite(const std::string& name) {
    if (fs::is_directory(fs::symlink_status(File(name)))) {
      fs::remove(File(name));
    }
    Put(".next", Documents());
    fs::rename(File(".next"), File(name));
    return {{name}};
  }
  Happened Rename(const std::string& name) {
    const std::string to = AnyName();
    if (to == name || !fs::exists(fs::symlink_status(File(name)))) {
      return {};
    }
    fs::remove(File(to));
    fs::rename(File(name), File(to));
    return {{name, to}};
  }
  Happened Remove(const std::string& name) {
    fs::remove(File(name));
    return {{name}};
  }
  Happened MakeFolder(const std::string& name) {
    fs::remove(File(name));
    fs::create_directory(File(name));
    return {{name}};
  }
  Happened Link(const std::string& name) {
    fs::remove(File(name));
    const std::string target = is_wild_ ? AnyName() : "nowhere.yaml";
    fs::create_symlink(Below(2) == 0 ? "..data/link-a.yaml" : target, File(name));
    return {{name}};
  }
  Happened Swap() {
    const std::string now = fs::read_symlink(File("..data")).string();
    fs::create_directory_symlink(now == "..one" ? "..two" : "..one", File("..data_tmp"));
    fs::rename(File("..data_tmp"), File("..data"));
    return {{}, true};
  }

  std::mt19937_64 random_;
  const bool is_wild_;
  std::string path_;
};

// What is there by what has been told.
std::string Describe(const RecordingSink& sink, const std::vector<SourceProblem>& problems) {
  std::string text;
  for (const auto& [name, api] : sink.apis) {
    absl::StrAppend(&text, name, " ", api.file, " ", api.bare_apk_conf ? "bare " : "",
                    api.spec.dump());
    for (const auto& [pointer, line] : api.lines) {
      absl::StrAppend(&text, " ", pointer, ":", line);
    }
    text += "\n";
  }
  for (const auto& [name, secret] : sink.secrets) {
    absl::StrAppend(&text, name);
    for (const auto& [key, value] : secret.data) {
      text += " " + key + "=" + std::string(value.Reveal());
    }
    text += "\n";
  }
  for (const SourceProblem& problem : problems) {
    absl::StrAppend(&text, problem.file, ":", problem.line, ": ", problem.message, "\n");
  }
  return text;
}

// What depends on the order of things as well.
std::string DescribeHistory(const RecordingSink& sink) {
  std::string text;
  for (const auto& [name, api] : sink.apis) {
    absl::StrAppend(&text, name, " generation ", api.metadata.generation, "\n");
  }
  for (const std::vector<std::string>* deleted : {&sink.deleted_apis, &sink.deleted_secrets}) {
    for (const std::string& name : *deleted) {
      absl::StrAppend(&text, "deleted ", name, "\n");
    }
  }
  return text;
}

// Somebody who looks at a directory.
struct Observer {
  Observer(const std::string& path, const DirectoryLimits& limits) : scan(path, limits) {}

  void Look(const RescanRequest& request) {
    const absl::StatusOr<Names> news = scan.Rescan(request);
    ASSERT_TRUE(news.ok()) << news.status();
    Tell(scan, *news);
  }
  // The references change once.
  void Tell(const DirectoryScan& seen, const Names& news) {
    problems = objects.TellSpecs(seen, news, kMaxProblems, sink);
    if (!std::exchange(has_asked, true)) {
      objects.TellReferences(seen, kReferences, sink);
    } else {
      objects.TellSecrets(seen, kReferences, sink);
    }
  }
  DirectoryScan scan;
  DirectoryObjects objects{SecretString("key")};
  RecordingSink sink;
  std::vector<SourceProblem> problems;
  bool has_asked = false;
};

// Whoever has seen nothing but the current content of all files.
std::string DescribeFromScratch(const DirectoryScan& scan, const std::string& path) {
  Observer observer(path, {});
  Names all;
  for (const auto& [name, content] : scan.files()) {
    all.insert(name);
  }
  observer.Tell(scan, all);
  return Describe(observer.sink, observer.problems);
}

void CompareAWalk(uint64_t seed, const DirectoryLimits& limits) {
  RandomDirectory directory(seed, true);
  Observer incremental(directory.path(), limits);
  Observer full(directory.path(), limits);
  Names being_written;
  for (int step = 0; step < 120; ++step) {
    RandomDirectory::Happened happened;
    for (uint64_t more = directory.Below(3); more > 0; --more) {
      const RandomDirectory::Happened next = directory.Next();
      happened.names.insert(next.names.begin(), next.names.end());
      happened.is_swap = happened.is_swap || next.is_swap;
    }
    // Closing a file is an event.
    if (directory.Below(3) == 0) {
      happened.names.insert(being_written.begin(), being_written.end());
      being_written.clear();
    } else if (directory.Below(4) == 0) {
      being_written.insert(directory.AnyName());
    }
    RescanRequest request;
    request.all = step == 0 || happened.is_swap;
    request.changed = happened.names;
    request.skip = being_written;
    request.is_tick = directory.Below(4) == 0;
    full.Look(request);
    request.only_changed = !request.all;
    incremental.Look(request);

    SCOPED_TRACE(absl::StrCat("step ", step));
    const std::string seen = Describe(incremental.sink, incremental.problems);
    ASSERT_EQ(seen, Describe(full.sink, full.problems));
    ASSERT_EQ(seen, DescribeFromScratch(full.scan, directory.path()));
    ASSERT_EQ(DescribeHistory(incremental.sink), DescribeHistory(full.sink));
    ASSERT_EQ(incremental.scan.has_vanished(), full.scan.has_vanished());
  }
}

TEST(DirectoryRandomTest, ALookAtNamedFilesGivesWhatALookAtEverythingGives) {
  DirectoryLimits limits;
  limits.max_file_bytes = kMaxFileBytes;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    CompareAWalk(seed, limits);
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

TEST(DirectoryRandomTest, ALookAtNamedFilesKeepsTheLimitsLikeALookAtEverything) {
  DirectoryLimits limits;
  limits.max_file_bytes = kMaxFileBytes;
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    limits.max_files = seed % 2 == 0 ? 7 : 100;
    limits.max_total_bytes = seed % 2 == 0 ? 100'000 : 2'500;
    CompareAWalk(seed, limits);
    if (testing::Test::HasFatalFailure()) {
      return;
    }
  }
}

// The whole source, fed by the kernel.
TEST(DirectoryRandomTest, TheSourceEndsWithWhatAFreshLookFinds) {
  RandomDirectory directory(7, false);
  DirectoryOptions options;
  // No safety net: what is seen is seen by events.
  options.rescan_interval = std::chrono::hours(1);
  options.removal_tick = std::chrono::milliseconds(2);
  RecordingSink sink;
  DirectorySource source(directory.path(), options);
  ASSERT_TRUE(source.Start(sink).ok());
  source.SetSecretReferences(kReferences);
  for (int round = 0; round < 100; ++round) {
    for (uint64_t step = 1 + directory.Below(10); step > 0; --step) {
      directory.Next();
    }
    Observer fresh(directory.path(), {});
    fresh.Look({});
    std::string seen;
    const auto is_same = [&] {
      seen = Describe(sink, sink.problems);
      return seen == Describe(fresh.sink, fresh.problems);
    };
    ASSERT_TRUE(sink.Await(is_same)) << seen << "instead of\n"
                                     << Describe(fresh.sink, fresh.problems);
  }
}

}  // namespace
}  // namespace rota::source
