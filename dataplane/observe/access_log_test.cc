#include "dataplane/observe/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "common/file.h"
#include "dataplane/observe/access_line.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace rota::observe {
namespace {

using testing::HasSubstr;

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() {
    std::string name = testing::TempDir() + "access_log_XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~AccessLogTest() override { std::filesystem::remove_all(folder_); }
  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  static size_t CountLines(const std::string& path) {
    const std::string text = *ReadFile(path);
    return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
  }
  std::string folder_;
};

AccessRecord RecordOf(int status) {
  AccessRecord record;
  record.request_id = "r-1";
  record.path = "/v1/chat/completions";
  record.status = status;
  record.total = std::chrono::microseconds(1500);
  return record;
}

TEST(AccessLineTest, IsOneJsonObjectWithoutEmptyFields) {
  AccessRecord record = RecordOf(200);
  record.tries = 2;
  std::string line;

  AppendAccessLine(record, WallTime(std::chrono::milliseconds(1'795'212'000'123)), line);

  EXPECT_EQ(
      line,
      R"({"ts":"2026-11-20T22:00:00.123Z","id":"r-1","path":"/v1/chat/completions","status":200,)"
      R"("tries":2,"request_bytes":0,"response_bytes":0,"total_ms":1.500,"upstream_ms":0.000})"
      "\n");
}

TEST(AccessLineTest, WhateverAClientSendsStaysOneValidLine) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) {
    every_byte.push_back(static_cast<char>(byte));
  }
  for (const std::string& text :
       {every_byte, std::string("\xC0\x80\xED\xA0\x80\xF4\x90\x80\x80\xE2\x82"),
        std::string("\",\"status\":200}\n{"),
        std::string("gr\xC3\xBC\xC3\x9F \xE2\x82\xAC \xF0\x9F\x98\x80")}) {
    AccessRecord record = RecordOf(404);
    record.path = text;
    std::string line;
    AppendAccessLine(record, WallTime(), line);

    const nlohmann::json json = nlohmann::json::parse(line, nullptr, false);
    ASSERT_TRUE(json.is_object()) << line;
    EXPECT_EQ(json["status"], 404);
    EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  }
}

TEST(AccessLineTest, LongTextIsCut) {
  std::string out;
  AppendJsonString(std::string(100'000, 'a'), out);

  EXPECT_EQ(out.size(), kMaxFieldBytes + 5);
  EXPECT_THAT(out, testing::EndsWith("a...\""));
}

TEST_F(AccessLogTest, EverythingWrittenIsInTheFileAfterTheEnd) {
  {
    auto log = AccessLog::Open(Path("log"), 1.0);
    ASSERT_TRUE(log.ok()) << log.status();
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 1000; ++n) {
          (*log)->Write(RecordOf(200));
        }
      });
    }
    threads.clear();
    EXPECT_EQ((*log)->dropped(), 0u);
  }

  EXPECT_EQ(CountLines(Path("log")), 4000u);
}

TEST_F(AccessLogTest, SamplesSuccessesAndKeepsEveryFailure) {
  {
    auto log = AccessLog::Open(Path("log"), 0.01);
    ASSERT_TRUE(log.ok()) << log.status();
    std::jthread([&] {  // a thread of its own: the share counts per thread
      for (int n = 0; n < 1000; ++n) {
        (*log)->Write(RecordOf(200));
      }
    })
        .join();
    for (int n = 0; n < 7; ++n) {
      (*log)->Write(RecordOf(503));
    }
  }

  const size_t lines = CountLines(Path("log"));
  EXPECT_GE(lines, 7u + 9u);
  EXPECT_LE(lines, 7u + 10u);
}

TEST_F(AccessLogTest, ReopenWritesToANewFileOfTheSameName) {
  FakeClock clock;
  auto log = AccessLog::Open(Path("log"), 1.0, &clock);
  ASSERT_TRUE(log.ok()) << log.status();
  (*log)->Write(RecordOf(200));
  std::filesystem::rename(Path("log"), Path("log.1"));

  (*log)->Reopen();
  while (!std::filesystem::exists(Path("log"))) {
    std::this_thread::yield();  // the writer's thread does it; the test's time-out bounds this
  }
  (*log)->Write(RecordOf(200));
  log->reset();

  EXPECT_EQ(CountLines(Path("log.1")), 1u);
  EXPECT_EQ(CountLines(Path("log")), 1u);
}

TEST_F(AccessLogTest, AFullDiskCostsLinesAndIsCounted) {
  if (access("/dev/full", W_OK) != 0) {
    GTEST_SKIP() << "this machine has no /dev/full";
  }
  auto log = AccessLog::Open("/dev/full", 1.0);
  ASSERT_TRUE(log.ok()) << log.status();

  for (int n = 0; n < 3; ++n) {
    (*log)->Write(RecordOf(200));
  }
  while ((*log)->dropped() < 3) {
    std::this_thread::yield();
  }

  EXPECT_EQ((*log)->dropped(), 3u);
}

TEST_F(AccessLogTest, AReaderThatIsTooSlowCostsLinesButNeverAWait) {
  ASSERT_EQ(mkfifo(Path("pipe").c_str(), 0600), 0);
  const int reader = open(Path("pipe").c_str(), O_RDONLY | O_NONBLOCK);  // never reads
  auto log = AccessLog::Open(Path("pipe"), 1.0);
  ASSERT_TRUE(log.ok()) << log.status();
  const std::string long_path(2000, 'a');
  AccessRecord record = RecordOf(200);
  record.path = long_path;

  for (int n = 0; n < 10'000; ++n) {
    (*log)->Write(record);  // would block for ever if it waited for the pipe
  }

  EXPECT_GT((*log)->dropped(), 0u);
  log->reset();  // ends although the pipe is full
  close(reader);
}

TEST_F(AccessLogTest, BadDestinationsAreRefusedByName) {
  EXPECT_THAT(std::string(AccessLog::Open("/nonexistent/log", 1.0).status().message()),
              HasSubstr("/nonexistent/log"));
  EXPECT_FALSE(AccessLog::Open("", 1.0).ok());
  EXPECT_FALSE(AccessLog::Open(Path("log"), 1.5).ok());
  EXPECT_FALSE(AccessLog::Open(Path("log"), -0.1).ok());
}

TEST_F(AccessLogTest, OffWritesNothing) {
  auto log = AccessLog::Open("off", 1.0);
  ASSERT_TRUE(log.ok()) << log.status();
  (*log)->Write(RecordOf(500));

  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

}  // namespace
}  // namespace rota::observe
