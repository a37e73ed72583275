#pragma once

// One connection to an upstream, and how one comes to be: address lookup, policy, connect, TLS.
// Single-thread (owner: the loop).

#include <memory>
#include <string>
#include <vector>

#include "dataplane/engine/deadline.h"
#include "dataplane/engine/input.h"
#include "dataplane/engine/loop.h"
#include "dataplane/engine/stream.h"
#include "dataplane/engine/task.h"

namespace rota::engine {

class UpstreamConnection final : public Input::Listener {
 public:
  UpstreamConnection(Loop& loop, std::unique_ptr<Stream> stream, std::string pool_key);
  ~UpstreamConnection();

  Stream& stream() { return *stream_; }
  Input& input() { return input_; }
  const std::string& pool_key() const { return pool_key_; }
  bool reused() const { return reused_; }
  MonotonicTime created() const { return created_; }

  // While the pool has it: a byte, an end or the deadline takes it out again.
  void BecomeIdle(UpstreamPool& pool, Duration idle_time);
  // Out of the pool; false when it has died there.
  bool Wake();
  void OnUnawaitedInput() override;

  // Closes it and frees it when its outstanding read has come back.
  static void Discard(std::unique_ptr<UpstreamConnection> connection);

 private:
  Loop& loop_;
  std::unique_ptr<Stream> stream_;
  Input input_;
  std::string pool_key_;
  MonotonicTime created_;
  UpstreamPool* pool_ = nullptr;  // set while idle
  Deadline idle_deadline_;
  bool reused_ = false;
};

enum class DialError : uint8_t {
  kNone,
  kConnect,  // name, address policy, refused, unreachable
  kTls,
  kTimeout,
  kNoResources,  // of this machine: IoError::kNoResources
  kCancelled,    // by Dial::Cancel
};

// Opens one connection. Cancel() ends it early, with kCancelled.
class Dial {
 public:
  Dial(Loop& loop, const table::Endpoint& endpoint, bool allow_local);
  ~Dial();
  Task<DialError> Run(Duration timeout);
  void Cancel();
  // kNone: the connection.
  std::unique_ptr<UpstreamConnection> Take() { return std::move(connection_); }
  // For the log: never shown to a client, it names hosts.
  const std::string& failure() const { return failure_; }

 private:
  struct LookupState;
  Task<Resolution> Resolve();
  Task<DialError> TryAddress(const SocketAddress& address);
  void OnDeadline();

  Loop& loop_;
  const table::Endpoint& endpoint_;
  const bool allow_local_;
  Deadline deadline_;
  MonotonicTime ends_;
  std::shared_ptr<LookupState> lookup_;
  Stream* stream_ = nullptr;  // being connected
  std::unique_ptr<UpstreamConnection> connection_;
  std::string failure_;
  bool cancelled_ = false;
  bool timed_out_ = false;
};

}  // namespace rota::engine
