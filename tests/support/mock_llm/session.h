#pragma once

// One connection of the mock. Private to server.cc and session.cc (includes Asio).

#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>

#include "tests/support/mock_llm/control.h"
#include "tests/support/mock_llm/server.h"

namespace rota::mock_llm {

using Executor = boost::asio::io_context::executor_type;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;
using Timer = boost::asio::basic_waitable_timer<
    std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>, Executor>;

// What the sessions of one loop share. Single-thread (the loop), but for `control`.
struct LoopState {
  const ServerOptions* options = nullptr;
  const Clock* clock = nullptr;
  ControlState* control = nullptr;
  RecorderShard* recorder = nullptr;
  std::atomic<uint64_t>* next_number = nullptr;
  BehaviorBook::Reader behaviors;
};

// The session owns itself until its connection ends. `tls` null: plain. Both references outlive it.
void StartSession(LoopState& loop, Socket socket, boost::asio::ssl::context* tls);

}  // namespace rota::mock_llm
