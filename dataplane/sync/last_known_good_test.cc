#include "dataplane/sync/last_known_good.h"

#include <sys/stat.h>

#include <filesystem>

#include "absl/strings/match.h"
#include "common/file.h"
#include "dataplane/sync/test_resources.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::sync {
namespace {

namespace v1 = rota::sync::v1;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr char kFile[] = "/state/last-known-good";
constexpr char kGateway[] = "default/rota";

ResourceMap SomeResources() {
  ResourceMap resources;
  for (const TestResource& resource :
       {TestResource{"ns/a", 3}, TestResource{"ns/b", 4}, TestResource{"ns/key", 5, v1::SECRET}}) {
    v1::Resource made = MakeResource(resource);
    if (resource.kind == v1::SECRET) {
      made.set_body("sk-very-secret");
    }
    resources[{resource.kind, resource.name}] = std::make_shared<const v1::Resource>(made);
  }
  return resources;
}

class LastKnownGoodTest : public ::testing::Test {
 protected:
  std::string Encode(const StateKey* key) {
    return *EncodeLastKnownGood(SomeResources(), "hash", kGateway, clock_.WallNow(), key);
  }
  FakeClock clock_;
  const StateKey key_ = *StateKey::Parse(std::string(64, 'a'), "key");
  const StateKey other_key_ = *StateKey::Parse(std::string(64, 'b'), "key");
};

TEST_F(LastKnownGoodTest, WithoutAKeySecretsAreLeftOutAndNamed) {
  const std::string content = Encode(nullptr);
  EXPECT_THAT(content, Not(HasSubstr("sk-very-secret")));

  const auto loaded = DecodeLastKnownGood(content, kGateway, nullptr, kFile);

  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->resources, SizeIs(2));
  EXPECT_EQ(loaded->resources.at({v1::API, "ns/a"})->body(), "ns/a@3");
  EXPECT_THAT(loaded->missing_secrets, ElementsAre("ns/key"));
  EXPECT_EQ(loaded->snapshot_hash, "") << "it is not the whole snapshot";
  EXPECT_EQ(loaded->saved_at, clock_.WallNow());
}

TEST_F(LastKnownGoodTest, WithTheKeyEverythingIsThereAndNothingReadableOnDisk) {
  const std::string content = Encode(&key_);
  EXPECT_THAT(content, Not(HasSubstr("sk-very-secret")));

  const auto loaded = DecodeLastKnownGood(content, kGateway, &key_, kFile);

  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_THAT(loaded->resources, SizeIs(3));
  EXPECT_EQ(loaded->resources.at({v1::SECRET, "ns/key"})->body(), "sk-very-secret");
  EXPECT_THAT(loaded->missing_secrets, IsEmpty());
  EXPECT_EQ(loaded->snapshot_hash, "hash");
}

TEST_F(LastKnownGoodTest, AWrongOrMissingKeyCostsTheSecretsAndSaysSo) {
  const std::string content = Encode(&key_);
  const auto wrong = DecodeLastKnownGood(content, kGateway, &other_key_, kFile);
  ASSERT_TRUE(wrong.ok());
  EXPECT_THAT(wrong->problem, HasSubstr("another key"));
  EXPECT_THAT(wrong->missing_secrets, ElementsAre("ns/key"));
  EXPECT_THAT(wrong->resources, SizeIs(2));
  const auto missing = DecodeLastKnownGood(content, kGateway, nullptr, kFile);
  EXPECT_THAT(missing->problem, HasSubstr("--state-key-file"));
}

TEST_F(LastKnownGoodTest, ATruncatedFileIsRefusedAtEveryLength) {
  const std::string content = Encode(&key_);
  for (size_t length = 0; length < content.size(); ++length) {
    const auto loaded = DecodeLastKnownGood(content.substr(0, length), kGateway, &key_, kFile);
    ASSERT_FALSE(loaded.ok()) << length;
    ASSERT_THAT(std::string(loaded.status().message()), HasSubstr(kFile));
  }
}

TEST_F(LastKnownGoodTest, AnyChangedByteIsNoticed) {
  const std::string content = Encode(nullptr);
  for (size_t i = 0; i < content.size(); ++i) {
    std::string damaged = content;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    ASSERT_FALSE(DecodeLastKnownGood(damaged, kGateway, nullptr, kFile).ok()) << i;
  }
}

TEST_F(LastKnownGoodTest, AnotherVersionOrGatewayIsRefusedByName) {
  std::string content = Encode(nullptr);
  EXPECT_THAT(
      std::string(DecodeLastKnownGood(content, "other/gw", nullptr, kFile).status().message()),
      HasSubstr("of gateway 'default/rota', not 'other/gw'"));
  content.replace(content.find(" 1\n"), 3, " 9\n");
  EXPECT_THAT(
      std::string(DecodeLastKnownGood(content, kGateway, nullptr, kFile).status().message()),
      HasSubstr("format version '9'"));
}

TEST(StateKeyTest, ReadsHexWithANewlineAndRawBytesAndNothingElse) {
  EXPECT_TRUE(StateKey::Parse(std::string(64, 'F') + "\n", "f").ok());
  EXPECT_TRUE(StateKey::Parse(std::string(32, '\x80'), "f").ok());
  const auto bad = StateKey::Parse("secret-but-short", "/etc/key").status();
  EXPECT_THAT(std::string(bad.message()), HasSubstr("/etc/key"));
  EXPECT_THAT(std::string(bad.message()), HasSubstr("openssl rand -hex 32"));
  EXPECT_THAT(std::string(bad.message()), Not(HasSubstr("secret-but-short")));
  EXPECT_FALSE(StateKey::Parse(std::string(64, 'g'), "f").ok());
  EXPECT_FALSE(StateKey::Read("/does/not/exist").ok());
}

TEST(StateKeyTest, TheSameTextIsSealedDifferentlyEachTimeAndBoundToItsContext) {
  const StateKey key = *StateKey::Parse(std::string(64, 'a'), "f");
  const std::string sealed = *key.Seal("text", "context");
  EXPECT_NE(sealed, *key.Seal("text", "context"));
  EXPECT_EQ(key.Open(sealed, "context"), "text");
  EXPECT_EQ(key.Open(sealed, "other"), std::nullopt);
  EXPECT_EQ(key.Open("short", "context"), std::nullopt);
  EXPECT_EQ(key.Open(*key.Seal("", "c"), "c"), "");
}

class LastKnownGoodWriterTest : public ::testing::Test {
 protected:
  LastKnownGoodWriterTest() {
    directory_ = ::testing::TempDir() + "/lkg-" +
                 ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
    file_ = directory_ + "/" + kLastKnownGoodFile;
  }
  ~LastKnownGoodWriterTest() override { std::filesystem::remove_all(directory_); }
  void AwaitWritten(const LastKnownGoodWriter& writer, uint64_t count) {
    RealClock real;
    const MonotonicTime deadline = real.Now() + std::chrono::seconds(10);
    while (writer.written() < count && real.Now() < deadline) {
      std::this_thread::yield();
    }
    ASSERT_EQ(writer.written(), count);
  }
  FakeClock clock_;
  std::string directory_;
  std::string file_;
  std::atomic<int> version_{0};
};

TEST_F(LastKnownGoodWriterTest, WritesAtOnceThenAtMostOncePerInterval) {
  LastKnownGoodWriter writer(file_, std::chrono::seconds(5), clock_,
                             [this] { return std::to_string(version_); });
  version_ = 1;
  writer.Changed();
  AwaitWritten(writer, 1);
  for (version_ = 2; version_ < 9; ++version_) {
    writer.Changed();
  }
  clock_.AwaitWaiters(1);
  EXPECT_EQ(*ReadFile(file_), "1");

  clock_.Advance(std::chrono::seconds(5));

  AwaitWritten(writer, 2);
  EXPECT_EQ(*ReadFile(file_), "9");
}

TEST_F(LastKnownGoodWriterTest, WritesWhatIsNewWhenItGoesAndOnlyItsOwnerMayReadIt) {
  {
    LastKnownGoodWriter writer(file_, std::chrono::seconds(5), clock_,
                               [this] { return std::to_string(version_); });
    version_ = 1;
    writer.Changed();
    AwaitWritten(writer, 1);
    version_ = 2;
    writer.Changed();
  }
  EXPECT_EQ(*ReadFile(file_), "2");
  struct stat info {};
  ASSERT_EQ(stat(file_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(LastKnownGoodWriterTest, AFailureIsCountedAndTheNextChangeTriesAgain) {
  LastKnownGoodWriter writer("/does/not/exist/file", std::chrono::seconds(0), clock_,
                             [] { return std::string("x"); });
  writer.Changed();
  RealClock real;
  const MonotonicTime deadline = real.Now() + std::chrono::seconds(10);
  while (writer.failed() < 1 && real.Now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(writer.failed(), 1u);
}

}  // namespace
}  // namespace rota::sync
