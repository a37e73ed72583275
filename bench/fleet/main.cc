// rota-fleet: data planes without traffic, for measurements of the controller (bench/fleet/run). It
// reads commands from standard input, one a line, and answers each with one line of JSON. Times
// named *_ns are of CLOCK_MONOTONIC; durations are in milliseconds.
//
//   connect         opens a stream for every data plane, waits until all have the configuration
//   suspend ROUNDS  one data plane says that a target is off, until all others have heard it
//   await-change    answers when every data plane has been sent one more transaction
//   quit
//
// With --observe it is one real sync client instead, and says of every statement when it applied
// it.

#include <sys/resource.h>

#include <algorithm>
#include <iostream>
#include <mutex>
#include <sstream>
#include <thread>

#include "absl/strings/str_cat.h"
#include "bench/fleet/bare_transport.h"
#include "bench/fleet/board.h"
#include "bench/fleet/observer.h"
#include "bench/fleet/stub_plane.h"
#include "common/command_line.h"
#include "dataplane/sync/grpc_transport.h"
#include "nlohmann/json.hpp"

namespace {

using nlohmann::ordered_json;
using rota::Duration;
using rota::MonotonicTime;
using rota::bench::Board;
using rota::bench::StubPlane;
using std::chrono::seconds;

constexpr Duration kPatience = seconds(120);

struct Flags {
  std::vector<std::string> controllers;
  std::string gateway = "default/default";
  size_t planes = 1000;
  bool observe = false;
  bool grpc = false;  // gRPC's own client instead of the bare one
};

void Say(const ordered_json& line) { std::cout << line.dump() << std::endl; }

double Milliseconds(Duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

int64_t Nanoseconds(MonotonicTime time) { return time.time_since_epoch().count(); }

// Exact: the values are few.
ordered_json Quantiles(std::vector<double> values) {
  if (values.empty()) {
    return nullptr;
  }
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {{"count", values.size()}, {"p50", at(0.5)}, {"p99", at(0.99)}, {"max", values.back()}};
}

ordered_json Since(MonotonicTime start, const std::vector<MonotonicTime>& times) {
  std::vector<double> after;
  after.reserve(times.size());
  for (const MonotonicTime time : times) {
    after.push_back(Milliseconds(time - start));
  }
  return Quantiles(std::move(after));
}

std::vector<rota::HostPort> Controllers(const Flags& flags) {
  std::vector<rota::HostPort> controllers;
  for (const std::string& text : flags.controllers) {
    controllers.push_back(rota::ParseHostPort(text).value());
  }
  return controllers;
}

std::unique_ptr<rota::sync::SyncTransport> GrpcTransport(const Flags& flags) {
  rota::sync::GrpcTransportOptions options;
  options.controllers = Controllers(flags);
  return rota::sync::MakeGrpcTransport(options).value();
}

// All data planes, and the thread that opens their streams.
class Fleet {
 public:
  Fleet(const Flags& flags, rota::Clock& clock) : board_(clock) {
    for (size_t i = 0; i < flags.planes; ++i) {
      planes_.push_back(std::make_shared<StubPlane>(
          absl::StrCat("stub-", i), flags.gateway,
          flags.grpc ? GrpcTransport(flags)
                     : rota::bench::MakeBareTransport(loop_, Controllers(flags)),
          board_));
    }
  }
  ~Fleet() {
    if (ticker_.joinable()) {
      ticker_.request_stop();
      ticker_.join();
    }
    for (const auto& plane : planes_) {
      plane->Stop();
    }
  }

  ordered_json Connect() {
    const MonotonicTime start = board_.clock().Now();
    ticker_ = std::jthread([this](std::stop_token stop) { Tick(stop); });
    const bool all = board_.Await([](const Board& board) { return board.FirstApplied().size(); },
                                  planes_.size(), kPatience);
    ordered_json closed = ordered_json::object();
    for (const auto& [reason, count] : board_.Closed()) {
      closed[reason] = count;
    }
    return {{"all", all},
            {"welcome_ms", Since(start, board_.Welcomed())},
            {"snapshot_ms", Since(start, board_.FirstApplied())},
            {"closed", closed}};
  }

  ordered_json Suspend(size_t rounds) {
    std::vector<double> each;
    std::vector<double> last;
    for (size_t round = 0; round < rounds; ++round) {
      const std::string target = absl::StrCat("fleet/target-", suspended_++);
      const MonotonicTime start =
          planes_[round * 7 % planes_.size()]->Suspend(target, std::chrono::minutes(5));
      if (!board_.Await([&](const Board& board) { return board.Heard(target).size(); },
                        planes_.size() - 1, seconds(20))) {
        return {{"all", false}, {"target", target}, {"heard", board_.Heard(target).size()}};
      }
      for (const MonotonicTime time : board_.Heard(target)) {
        each.push_back(Milliseconds(time - start));
      }
      last.push_back(
          *std::max_element(each.end() - static_cast<ptrdiff_t>(planes_.size() - 1), each.end()));
    }
    return {{"all", true}, {"each_ms", Quantiles(each)}, {"last_ms", Quantiles(last)}};
  }

  ordered_json AwaitChange() {
    const auto before = board_.LaterApplied().size();
    Say({{"armed", true}});
    const bool all = board_.Await([](const Board& board) { return board.LaterApplied().size(); },
                                  before + planes_.size(), kPatience);
    std::vector<MonotonicTime> times = board_.LaterApplied();
    times.erase(times.begin(), times.begin() + static_cast<ptrdiff_t>(before));
    const auto [first, last] = std::minmax_element(times.begin(), times.end());
    return {{"all", all},
            {"first_ns", times.empty() ? 0 : Nanoseconds(*first)},
            {"last_ns", times.empty() ? 0 : Nanoseconds(*last)}};
  }

 private:
  void Tick(std::stop_token stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    while (!stop.stop_requested()) {
      for (const auto& plane : planes_) {
        plane->Tick();
      }
      std::unique_lock lock(mutex);
      rota::Clock& clock = board_.clock();
      clock.WaitUntil(lock, never, clock.Now() + std::chrono::milliseconds(20), stop);
    }
  }

  Board board_;
  rota::bench::BareLoop loop_;
  std::vector<std::shared_ptr<StubPlane>> planes_;
  size_t suspended_ = 0;
  std::jthread ticker_;
};

int Observe(const Flags& flags, rota::Clock& clock) {
  std::mutex mutex;
  rota::bench::Observer observer(
      "observer", flags.gateway, GrpcTransport(flags), clock,
      [&mutex](const rota::rotation::Suspension& item, MonotonicTime applied) {
        std::lock_guard guard(mutex);
        Say({{"target", item.target}, {"epoch", item.epoch}, {"at_ns", Nanoseconds(applied)}});
      });
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    std::lock_guard guard(mutex);
    Say({{"connected", observer.state().connected && observer.state().ready()}});
  }
  return 0;
}

int Simulate(const Flags& flags, rota::Clock& clock) {
  Fleet fleet(flags, clock);
  std::string line;
  while (std::getline(std::cin, line) && line != "quit") {
    std::istringstream words(line);
    std::string command;
    size_t number = 0;
    words >> command >> number;
    if (command == "connect") {
      Say(fleet.Connect());
    } else if (command == "suspend") {
      Say(fleet.Suspend(number));
    } else if (command == "await-change") {
      Say(fleet.AwaitChange());
    } else {
      std::cerr << "rota-fleet: what is '" << line << "'?\n";
      return 2;
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  rota::CommandLine line("rota-fleet", "Data planes without traffic, to measure a controller.",
                         rota::CommandLine::Sources::kFlagsOnly);
  Flags flags;
  line.app()
      .add_option("--controller", flags.controllers, "Controllers")
      ->type_name("HOST:PORT,...")
      ->delimiter(',')
      ->required();
  line.app().add_option("--gateway", flags.gateway, "The gateway")->type_name("NAMESPACE/NAME");
  line.app().add_option("--planes", flags.planes, "How many")->check(CLI::Range(2, 10'000));
  line.app().add_flag("--grpc", flags.grpc, "gRPC's own client instead of a bare one");
  line.app().add_flag("--observe", flags.observe, "One real sync client that says what it hears");
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  rota::RealClock clock;
  return flags.observe ? Observe(flags, clock) : Simulate(flags, clock);
}
