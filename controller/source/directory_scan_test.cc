#include "controller/source/directory_scan.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "common/file.h"
#include "controller/source/directory_objects.h"
#include "controller/source/test_sink.h"
#include "gtest/gtest.h"

namespace rota::source {
namespace {

namespace fs = std::filesystem;
using namespace testing_source;  // NOLINT: test helpers
using Names = std::set<std::string>;

class DirectoryScanTest : public testing::Test {
 protected:
  DirectoryScanTest() {
    std::string pattern = testing::TempDir() + "/rota-scan-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~DirectoryScanTest() override { fs::remove_all(path_); }

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(WriteFileAtomically(File(name), text).ok());
  }
  static RescanRequest Only(Names changed) {
    RescanRequest request;
    request.all = false;
    request.only_changed = true;
    request.changed = std::move(changed);
    return request;
  }
  static Names Look(DirectoryScan& scan, const RescanRequest& request) {
    const absl::StatusOr<Names> news = scan.Rescan(request);
    EXPECT_TRUE(news.ok()) << news.status();
    return news.value_or(Names{});
  }
  static std::string PathOfApi(const DirectoryScan& scan, const std::string& file) {
    return scan.files().at(file).apis.at(0).spec.at("basePath");
  }

  std::string path_;
};

TEST_F(DirectoryScanTest, IgnoresEditorsFilesAndOtherEndings) {
  EXPECT_TRUE(IsConfigurationFile("a.yaml"));
  EXPECT_TRUE(IsConfigurationFile("a.apk-conf.yml"));
  EXPECT_TRUE(IsConfigurationFile("a.json"));
  for (const char* name : {".a.yaml.swp", ".a.yaml", "a.yaml~", "#a.yaml#", "a.yaml.tmp", ".yaml",
                           "..data", "4913", "a.yaml.123.tmp"}) {
    EXPECT_FALSE(IsConfigurationFile(name)) << name;
  }
}

TEST_F(DirectoryScanTest, ReadsNoMoreFilesAndBytesThanAllowed) {
  for (int i = 0; i < 5; ++i) {
    Write(absl::StrCat("f", i, ".yaml"), Manifest(absl::StrCat("a", i), "/a"));
  }
  DirectoryLimits limits;
  limits.max_files = 3;
  DirectoryScan few(path_, limits);
  ASSERT_TRUE(few.Rescan({}).ok());
  EXPECT_EQ(few.files().size(), 3U);
  EXPECT_EQ(few.problems().size(), 1U);

  limits = DirectoryLimits{};
  limits.max_file_bytes = 10;
  DirectoryScan small(path_, limits);
  ASSERT_TRUE(small.Rescan({}).ok());
  EXPECT_EQ(small.files().at("f0.yaml").problems.size(), 1U);
  EXPECT_TRUE(small.files().at("f0.yaml").apis.empty());

  limits = DirectoryLimits{};
  limits.max_total_bytes = Manifest("a0", "/a").size() * 2;
  DirectoryScan tight(path_, limits);
  ASSERT_TRUE(tight.Rescan({}).ok());
  EXPECT_EQ(tight.files().size(), 2U);
  EXPECT_EQ(tight.problems().size(), 1U);
}

TEST_F(DirectoryScanTest, IgnoresWhatIsNoRegularFile) {
  ASSERT_EQ(mkfifo(File("pipe.yaml").c_str(), 0600), 0);
  fs::create_directory(File("folder.yaml"));
  fs::create_symlink("nowhere", File("dangling.yaml"));

  DirectoryScan scan(path_, {});

  ASSERT_TRUE(scan.Rescan({}).ok());
  EXPECT_TRUE(scan.files().empty());
}

TEST_F(DirectoryScanTest, LooksAtNoOtherFileThanTheNamedOne) {
  Write("a.yaml", Manifest("a", "/a"));
  Write("b.yaml", Manifest("b", "/b"));
  DirectoryScan scan(path_, {});
  EXPECT_EQ(Look(scan, {}), (Names{"a.yaml", "b.yaml"}));

  Write("a.yaml", Manifest("a", "/changed"));
  Write("b.yaml", Manifest("b", "/changed"));
  Write("c.yaml", Manifest("c", "/c"));

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), Names{"a.yaml"});
  EXPECT_EQ(PathOfApi(scan, "a.yaml"), "/changed");
  EXPECT_EQ(PathOfApi(scan, "b.yaml"), "/b");
  EXPECT_EQ(scan.files().count("c.yaml"), 0U);
  EXPECT_EQ(Look(scan, {}), (Names{"b.yaml", "c.yaml"}));
}

TEST_F(DirectoryScanTest, ReportsNoFileWhoseContentIsTheSame) {
  Write("a.yaml", Manifest("a", "/a"));
  DirectoryScan scan(path_, {});
  Look(scan, {});

  Write("a.yaml", Manifest("a", "/a"));

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), Names{});
  EXPECT_EQ(Look(scan, {}), Names{});
}

TEST_F(DirectoryScanTest, LooksAtEverythingWhenThePathMeansAnotherDirectory) {
  fs::create_directory(File("one"));
  fs::create_directory(File("two"));
  Write("one/a.yaml", Manifest("a", "/one"));
  Write("two/a.yaml", Manifest("a", "/two"));
  Write("two/b.yaml", Manifest("b", "/two"));
  fs::create_directory_symlink("one", File("link"));
  DirectoryScan scan(File("link"), {});
  Look(scan, {});

  fs::remove(File("link"));
  fs::create_directory_symlink("two", File("link"));

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), (Names{"a.yaml", "b.yaml"}));
}

TEST_F(DirectoryScanTest, FollowsALinkThatNobodyNamesToWhereItLeadsNow) {
  fs::create_directory(File("elsewhere"));
  Write("elsewhere/there.yaml", Manifest("there", "/there"));
  Write("a.yaml", Manifest("a", "/a"));
  fs::create_symlink("elsewhere/later.yaml", File("later.yaml"));
  fs::create_symlink("elsewhere/there.yaml", File("there.yaml"));
  DirectoryScan scan(path_, {});
  EXPECT_EQ(Look(scan, {}), (Names{"a.yaml", "there.yaml"}));

  fs::rename(File("elsewhere/there.yaml"), File("elsewhere/later.yaml"));

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), (Names{"later.yaml", "there.yaml"}));
  EXPECT_EQ(scan.files().at("there.yaml").ticks_gone, 0);
}

TEST_F(DirectoryScanTest, ReadsAgainWhatALinkThatWentAwayAndCameBackHasShownInBetween) {
  fs::create_directory(File("..one"));
  fs::create_directory(File("..two"));
  Write("..one/a.yaml", Manifest("a", "/one"));
  Write("..two/a.yaml", Manifest("a", "/two"));
  const auto swap_to = [this](const char* version) {
    fs::create_directory_symlink(version, File("..data_tmp"));
    fs::rename(File("..data_tmp"), File("..data"));
  };
  swap_to("..one");
  fs::create_symlink("..data/a.yaml", File("a.yaml"));
  bool swaps = true;
  DirectoryScan scan(path_, {}, [&](const std::string& path, size_t max_bytes) {
    if (std::exchange(swaps, false)) {
      swap_to("..two");
      absl::StatusOr<StampedText> read = ReadStamped(path, max_bytes);
      swap_to("..one");
      return read;
    }
    return ReadStamped(path, max_bytes);
  });
  Look(scan, {});
  ASSERT_EQ(PathOfApi(scan, "a.yaml"), "/two");

  Look(scan, {});  // which the swaps ask for

  EXPECT_EQ(PathOfApi(scan, "a.yaml"), "/one");
}

TEST_F(DirectoryScanTest, LosesNothingWhenANamedFileIsGoneWithTheWholeDirectory) {
  fs::create_directory(File("one"));
  Write("one/a.yaml", Manifest("a", "/a"));
  DirectoryScan scan(File("one"), {});
  Look(scan, {});
  fs::rename(File("one"), File("moved"));

  EXPECT_FALSE(scan.Rescan(Only({"a.yaml"})).ok());
  EXPECT_FALSE(scan.has_vanished());

  // Whatever it was that happened meanwhile is seen.
  Write("moved/a.yaml", Manifest("a", "/changed"));
  Write("moved/b.yaml", Manifest("b", "/b"));
  fs::rename(File("moved"), File("one"));
  EXPECT_EQ(Look(scan, Only({"a.yaml"})), (Names{"a.yaml", "b.yaml"}));
}

TEST_F(DirectoryScanTest, ReadsTheIgnoredFilesOnceTheLimitsAreKeptAgain) {
  for (const char* name : {"a.yaml", "b.yaml", "c.yaml"}) {
    Write(name, Manifest(std::string(name, 1), "/x"));
  }
  DirectoryLimits limits;
  limits.max_files = 3;
  DirectoryScan scan(path_, limits);
  Look(scan, {});
  Write("aa.yaml", Manifest("aa", "/x"));
  EXPECT_EQ(Look(scan, Only({"aa.yaml"})), (Names{"aa.yaml", "c.yaml"}));
  EXPECT_EQ(scan.problems().size(), 1U);
  EXPECT_TRUE(scan.has_vanished());

  fs::remove(File("aa.yaml"));

  EXPECT_EQ(Look(scan, Only({"aa.yaml"})), (Names{"aa.yaml", "c.yaml"}));
  EXPECT_TRUE(scan.problems().empty());
  EXPECT_EQ(scan.files().at("c.yaml").ticks_gone, -1);
}

TEST_F(DirectoryScanTest, TriesAnUnreadableFileAgainOnEveryLook) {
  Write("a.yaml", Manifest("a", "/a"));
  Write("big.yaml", Manifest("big", "/" + std::string(200, 'x')));
  DirectoryLimits limits;
  limits.max_file_bytes = 200;
  DirectoryScan scan(path_, limits);
  Look(scan, {});
  ASSERT_EQ(scan.files().at("big.yaml").problems.size(), 1U);

  Write("big.yaml", Manifest("big", "/small"));

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), Names{"big.yaml"});
  EXPECT_EQ(PathOfApi(scan, "big.yaml"), "/small");
  EXPECT_TRUE(scan.files().at("big.yaml").problems.empty());
}

TEST_F(DirectoryScanTest, ForgetsAVanishedFileAfterTwoTicksWithoutLookingAtOthers) {
  Write("a.yaml", Manifest("a", "/a"));
  DirectoryScan scan(path_, {});
  Look(scan, {});
  fs::remove(File("a.yaml"));
  RescanRequest tick = Only({});
  tick.is_tick = true;

  EXPECT_EQ(Look(scan, Only({"a.yaml"})), Names{"a.yaml"});
  EXPECT_EQ(Look(scan, tick), Names{});
  EXPECT_EQ(scan.files().count("a.yaml"), 1U);
  EXPECT_EQ(Look(scan, tick), Names{"a.yaml"});
  EXPECT_TRUE(scan.files().empty());
  EXPECT_FALSE(scan.has_vanished());
}

TEST_F(DirectoryScanTest, TellsAnApiOfAnUnchangedFileOnlyWhenItsOwnerIsGone) {
  Write("a.yaml", Manifest("same", "/a"));
  Write("b.yaml", Manifest("same", "/b") + "---\n" + Manifest("other", "/other"));
  DirectoryScan scan(path_, {});
  DirectoryObjects objects(SecretString("key"));
  RecordingSink sink;
  const auto look = [&](const RescanRequest& request) {
    return objects.TellSpecs(scan, Look(scan, request), 10, sink);
  };
  EXPECT_EQ(look({}).size(), 1U);
  EXPECT_EQ(sink.apis.at("default/same").spec.at("basePath"), "/a");
  sink.apis.clear();

  Write("a.yaml", Manifest("new", "/new"));

  EXPECT_TRUE(look(Only({"a.yaml"})).empty());
  EXPECT_EQ(sink.apis.size(), 2U);
  EXPECT_EQ(sink.apis.at("default/same").file, File("b.yaml"));
  EXPECT_EQ(sink.apis.count("default/new"), 1U);
  EXPECT_TRUE(sink.deleted_apis.empty());
}

}  // namespace
}  // namespace rota::source
