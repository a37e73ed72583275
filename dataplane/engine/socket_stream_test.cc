// Plain streams over a poller, on socket pairs: no ports, no threads, no waiting.

#include "dataplane/engine/socket_stream.h"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/engine/poller.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rota::engine {
namespace {

// Remembers what it was told.
struct Told final : IoWaiter {
  void OnIo(IoResult result) override { results.push_back(result); }
  std::vector<IoResult> results;
  bool empty() const { return results.empty(); }
  IoResult last() const { return results.back(); }
};

// A stream over one end of a socket pair; the test has the other end.
class Pair {
 public:
  explicit Pair(Poller& poller) {
    int descriptors[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, descriptors), 0);
    stream = std::make_unique<SocketStream>(poller, descriptors[0], SocketAddress());
    peer_ = descriptors[1];
  }
  ~Pair() { HangUp(); }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  void Send(std::string_view bytes) {
    ASSERT_EQ(::send(peer_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  size_t Drain() {
    std::vector<char> bytes(1 << 20);
    size_t all = 0;
    for (ssize_t got; (got = ::recv(peer_, bytes.data(), bytes.size(), 0)) > 0;) {
      all += static_cast<size_t>(got);
    }
    return all;
  }
  void HangUp() {
    if (peer_ >= 0) {
      ::close(std::exchange(peer_, -1));
    }
  }
  std::unique_ptr<SocketStream> stream;

 private:
  int peer_ = -1;
};

class SocketStreamTest : public ::testing::Test {
 protected:
  // Enough turns for everything that is ready.
  void Settle() {
    for (int i = 0; i < 5; ++i) {
      poller_.Turn(Duration{});
    }
  }
  FakeClock clock_;
  Poller poller_{clock_};
  std::array<char, 8> buffer_{};
};

TEST_F(SocketStreamTest, ReadsWhatComesPieceByPiece) {
  Pair pair(poller_);
  Told told;
  pair.stream->StartRead(buffer_.data(), buffer_.size(), told);
  Settle();
  EXPECT_TRUE(told.empty());
  for (const std::string piece : {"abc", "defgh"}) {
    pair.Send(piece);
    Settle();
    ASSERT_FALSE(told.empty());
    EXPECT_EQ(std::string(buffer_.data(), told.last().bytes), piece);
    pair.stream->StartRead(buffer_.data(), buffer_.size(), told);
  }
  EXPECT_EQ(told.results.size(), 2u);
}

TEST_F(SocketStreamTest, ReadsMoreThanOneBufferWithoutAnotherEvent) {
  Pair pair(poller_);
  pair.Send("0123456789abcdefXYZ");
  std::string all;
  Told told;
  for (int round = 0; round < 3; ++round) {
    pair.stream->StartRead(buffer_.data(), buffer_.size(), told);
    EXPECT_EQ(told.results.size(), static_cast<size_t>(round)) << "told from inside the call";
    Settle();
    ASSERT_EQ(told.results.size(), static_cast<size_t>(round) + 1);
    all.append(buffer_.data(), told.last().bytes);
  }
  EXPECT_EQ(all, "0123456789abcdefXYZ");
}

// The end is reported together with the bytes in front of it, and never again.
TEST_F(SocketStreamTest, FindsAnEndThatCameWithTheLastBytes) {
  Pair pair(poller_);
  pair.Send("abc");
  pair.HangUp();
  Told told;
  pair.stream->StartRead(buffer_.data(), buffer_.size(), told);
  Settle();
  ASSERT_EQ(told.results.size(), 1u);
  EXPECT_EQ(told.last().bytes, 3u);
  pair.stream->StartRead(buffer_.data(), buffer_.size(), told);
  Settle();
  ASSERT_EQ(told.results.size(), 2u);
  EXPECT_EQ(told.last().error, IoError::kEndOfStream);
}

TEST_F(SocketStreamTest, TellsOfTheEndBehindBytesThatNobodyReads) {
  Pair pair(poller_);
  Told ending;
  pair.stream->AwaitEnd(ending);
  pair.Send("abc");
  Settle();
  EXPECT_TRUE(ending.empty());
  pair.HangUp();
  Settle();
  ASSERT_EQ(ending.results.size(), 1u);
  EXPECT_EQ(ending.last().error, IoError::kEndOfStream);

  // Also when it has been known before, and without keeping the bytes from a reader.
  pair.stream->AwaitEnd(ending);
  EXPECT_EQ(ending.results.size(), 1u) << "told from inside the call";
  Told reading;
  pair.stream->StartRead(buffer_.data(), buffer_.size(), reading);
  Settle();
  EXPECT_EQ(ending.results.size(), 2u);
  ASSERT_EQ(reading.results.size(), 1u);
  EXPECT_EQ(reading.last().bytes, 3u);
}

// Without a turn of the poller: it has not been told yet.
TEST_F(SocketStreamTest, SeesWhatHasComeBeforeItIsToldOfIt) {
  Pair asked(poller_);
  EXPECT_TRUE(asked.stream->is_quiet());
  asked.Send("x");
  EXPECT_FALSE(asked.stream->is_quiet());

  Pair ended(poller_);
  ended.HangUp();
  EXPECT_FALSE(ended.stream->is_quiet());
  ended.stream->Close();
  EXPECT_FALSE(ended.stream->is_quiet());
}

TEST_F(SocketStreamTest, TellsWhenAFullSocketTakesBytesAgain) {
  Pair pair(poller_);
  const std::string bytes(1 << 16, 'x');
  const iovec part = Part(bytes);
  size_t written = 0;
  for (IoResult result; (result = pair.stream->TryWrite({&part, 1})).bytes > 0;) {
    ASSERT_TRUE(result.ok());
    written += result.bytes;
  }
  Told told;
  pair.stream->AwaitWritable(told);
  Settle();
  EXPECT_TRUE(told.empty());
  EXPECT_EQ(pair.Drain(), written);
  Settle();
  ASSERT_EQ(told.results.size(), 1u);
  EXPECT_TRUE(told.last().ok());
  EXPECT_GT(pair.stream->TryWrite({&part, 1}).bytes, 0u);
}

TEST_F(SocketStreamTest, EndsWhatIsOutstandingWhenItIsClosed) {
  Pair pair(poller_);
  Told reading;
  Told writing;
  Told ending;
  Settle();
  const std::string bytes(1 << 16, 'x');
  const iovec part = Part(bytes);
  while (pair.stream->TryWrite({&part, 1}).bytes > 0) {
  }
  pair.stream->StartRead(buffer_.data(), buffer_.size(), reading);
  pair.stream->AwaitWritable(writing);
  pair.stream->AwaitEnd(ending);
  pair.stream->Close();
  EXPECT_TRUE(reading.empty() && writing.empty() && ending.empty()) << "told from inside the call";
  EXPECT_FALSE(poller_.is_idle());
  Settle();
  ASSERT_EQ(reading.results.size(), 1u);
  ASSERT_EQ(writing.results.size(), 1u);
  EXPECT_EQ(reading.last().error, IoError::kAborted);
  EXPECT_EQ(writing.last().error, IoError::kAborted);
  ASSERT_EQ(ending.results.size(), 1u);
  EXPECT_EQ(ending.last().error, IoError::kAborted);
  EXPECT_EQ(pair.stream->TryWrite({&part, 1}).error, IoError::kAborted);
  EXPECT_TRUE(poller_.is_idle());
}

TEST_F(SocketStreamTest, SaysWhyNobodyCouldBeReached) {
  SocketStream stream(poller_);
  Told told;
  // No socket has this family.
  stream.StartConnect(SocketAddress(), told);
  EXPECT_TRUE(told.empty());
  Settle();
  ASSERT_EQ(told.results.size(), 1u);
  EXPECT_EQ(told.last().error, IoError::kReset);
  EXPECT_NE(stream.failure(), "");
}

// Each of two streams that are ready in one turn destroys the other one.
TEST_F(SocketStreamTest, MayBeDestroyedByAnotherOnesEvent) {
  struct Destroyer final : IoWaiter {
    void OnIo(IoResult) override { victim.reset(); }
    std::unique_ptr<SocketStream>& victim;
    explicit Destroyer(std::unique_ptr<SocketStream>& other) : victim(other) {}
  };
  Pair first(poller_);
  Pair second(poller_);
  Destroyer by_first(second.stream);
  Destroyer by_second(first.stream);
  std::array<char, 8> other{};
  first.stream->StartRead(buffer_.data(), buffer_.size(), by_first);
  second.stream->StartRead(other.data(), other.size(), by_second);
  first.Send("a");
  second.Send("b");
  Settle();
  EXPECT_NE(first.stream == nullptr, second.stream == nullptr);
}

TEST_F(SocketStreamTest, MayBeDestroyedByItsOwnCompletion) {
  struct Suicide final : IoWaiter {
    void OnIo(IoResult) override { stream.reset(); }
    std::unique_ptr<SocketStream>& stream;
    explicit Suicide(std::unique_ptr<SocketStream>& owned) : stream(owned) {}
  };
  Pair pair(poller_);
  Settle();
  Suicide reading(pair.stream);
  Told writing;
  pair.stream->StartRead(buffer_.data(), buffer_.size(), reading);
  pair.stream->AwaitWritable(writing);
  pair.HangUp();
  Settle();
  EXPECT_EQ(pair.stream, nullptr);
  EXPECT_TRUE(poller_.is_idle());
}

}  // namespace
}  // namespace rota::engine
