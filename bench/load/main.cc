// rota-load: loads an HTTP server with chat requests and prints one JSON object. See load.h.

#include <sys/resource.h>

#include <iostream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "bench/load/load.h"
#include "common/command_line.h"
#include "nlohmann/json.hpp"

namespace {

using rota::bench::Histogram;
using rota::bench::LoadOptions;
using rota::bench::LoadResult;

struct RequestFlags {
  std::string path = "/v1/chat/completions";
  size_t paths = 1;
  std::string host;
  std::string model = "gpt-4o";
  size_t body_bytes = 1024;
  std::vector<std::string> headers;
};

// A chat request whose body has exactly `body_bytes` bytes (at least what an empty message takes).
std::string MakeRequest(const RequestFlags& flags, const std::string& path, bool stream) {
  const std::string head = nlohmann::ordered_json{{"model", flags.model}}.dump();
  std::string body = head.substr(0, head.size() - 1);
  absl::StrAppend(&body, stream ? ",\"stream\":true" : "",
                  ",\"messages\":[{\"role\":\"user\",\"content\":\"");
  const std::string end = "\"}]}";
  const std::string text = "How many shares does each model take before the rota turns again? ";
  while (body.size() + end.size() < flags.body_bytes) {
    body.append(text, 0, flags.body_bytes - body.size() - end.size());
  }
  body += end;
  std::string request = absl::StrCat("POST ", path, " HTTP/1.1\r\nHost: ", flags.host,
                                     "\r\nUser-Agent: rota-load\r\nAccept: application/json\r\n"
                                     "Content-Type: application/json\r\nContent-Length: ",
                                     body.size(), "\r\n");
  for (const std::string& header : flags.headers) {
    absl::StrAppend(&request, header, "\r\n");
  }
  return absl::StrCat(request, "\r\n", body);
}

// One request per path: {n} in it is replaced by 0, 1, 2 and so on.
std::vector<std::string> MakeRequests(const RequestFlags& flags, bool stream) {
  std::vector<std::string> requests;
  for (size_t n = 0; n < flags.paths; ++n) {
    const std::string path = absl::StrReplaceAll(flags.path, {{"{n}", std::to_string(n)}});
    requests.push_back(MakeRequest(flags, path, stream));
  }
  return requests;
}

nlohmann::ordered_json Describe(const Histogram& histogram) {
  const auto us = [&](double share) {
    return static_cast<double>(histogram.Quantile(share)) / 1000;
  };
  return {{"count", histogram.count()},
          {"p50", us(0.5)},
          {"p90", us(0.9)},
          {"p99", us(0.99)},
          {"p999", us(0.999)},
          {"max", static_cast<double>(histogram.maximum()) / 1000}};
}

nlohmann::ordered_json Describe(const LoadResult& result, const LoadOptions& options) {
  nlohmann::ordered_json json = {
      {"requests", result.requests},
      {"seconds", result.seconds},
      {"per_second", static_cast<double>(result.requests) / result.seconds},
      {"steady_good_per_second",
       static_cast<double>(result.steady_successes) / result.steady_seconds},
      {"overdue", result.overdue}};
  json["statuses"] = nlohmann::ordered_json::object();
  for (const auto& [status, count] : result.statuses) {
    json["statuses"][std::to_string(status)] = count;
  }
  json["errors"] = nlohmann::ordered_json::object();
  for (const auto& [kind, count] : result.errors) {
    if (count > 0) {
      json["errors"][kind] = count;
    }
  }
  json[options.streams ? "first_event_us" : "latency_us"] = Describe(result.latency);
  if (result.refusal_latency.count() > 0) {
    json["refusal_us"] = Describe(result.refusal_latency);
    json["retry_after"] = result.retry_after;
  }
  if (options.slow > rota::Duration{}) {
    json["slow_count"] = result.slow_count;
    json["slow"] = nlohmann::ordered_json::array();
    for (const rota::bench::SlowAnswer& answer : result.slow) {
      json["slow"].push_back({{"due_ns", answer.due.time_since_epoch().count()},
                              {"us", static_cast<double>(answer.latency.count()) / 1000}});
    }
  }
  if (options.streams) {
    json["streams"] = options.connections;
    json["streams_finished"] = result.streams_finished;
    json["events"] = result.events;
    json["chunk_delay_us"] = Describe(result.chunk_delay);
  }
  return json;
}

void AddTargetOptions(CLI::App& app, std::optional<rota::HostPort>& target, RequestFlags& request,
                      LoadOptions& options) {
  rota::AddHostPort(app, "--target", target, "Server")->required()->group("Target");
  app.add_option("--path", request.path, "Request path; {n} in it counts through --paths")
      ->capture_default_str()
      ->group("Target");
  app.add_option("--paths", request.paths, "Number of paths, taken in turn")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group("Target");
  app.add_option("--host", request.host, "Host header; default: the target")->group("Target");
  app.add_flag("--tls", options.tls, "HTTPS")->group("Target");
  app.add_option("--tls-ca", options.tls_ca_file, "PEM file of CAs; default: the system's")
      ->type_name("FILE")
      ->group("Target");
  app.add_flag("--tls-skip-verify", options.tls_skip_verify, "Accept any certificate")
      ->group("Target");
  app.add_option("--model", request.model, "Model asked for")
      ->capture_default_str()
      ->group("Request");
  app.add_option("--body-bytes", request.body_bytes, "Size of the JSON body in bytes")
      ->check(CLI::Range(size_t{0}, size_t{64} << 20))
      ->capture_default_str()
      ->group("Request");
  app.add_option("--header", request.headers, "Another request header (repeatable)")
      ->type_name("'NAME: VALUE'")
      ->group("Request");
}

void AddLoadOptions(CLI::App& app, size_t& streams, LoadOptions& options) {
  app.add_option("--connections", options.connections, "Keep-alive connections")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str()
      ->group("Load");
  app.add_option("--rate", options.rate,
                 "Requests per second, open loop; 0: closed loop. Streams: all connect "
                 "first, then start at this rate; 0: each when it is connected")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str()
      ->group("Load");
  app.add_option("--streams", streams, "Open this many SSE streams at once, wait for all to end")
      ->check(CLI::Range(0, 100'000))
      ->capture_default_str()
      ->group("Load");
  rota::AddDuration(app, "--duration", options.duration,
                    "Time to load; streams: time they may take")
      ->group("Load");
  rota::AddDuration(app, "--warmup", options.warmup, "Time before latencies count")->group("Load");
  rota::AddDuration(app, "--request-timeout", options.request_time, "Time for one answer")
      ->group("Load");
  rota::AddDuration(app, "--slow", options.slow, "List the answers that took longer")
      ->group("Load");
}

}  // namespace

int main(int argc, char** argv) {
  LoadOptions options;
  RequestFlags request;
  std::optional<rota::HostPort> target;
  size_t streams = 0;
  rota::CommandLine line(
      "rota-load",
      "Loads an OpenAI-compatible server and prints what came of it as JSON: closed loop, open "
      "loop at a fixed rate (latency from when a request was due) or streams.");
  CLI::App& app = line.app();
  AddTargetOptions(app, target, request, options);
  AddLoadOptions(app, streams, options);
  if (const std::optional<int> exit_code = line.Parse(argc, argv)) {
    return *exit_code;
  }
  options.target = *target;
  request.host = request.host.empty() ? target->ToString() : request.host;
  options.tls_server_name = request.host.substr(0, request.host.find(':'));
  options.streams = streams > 0;
  options.connections = options.streams ? streams : options.connections;
  options.requests = MakeRequests(request, options.streams);
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
  const rota::RealClock clock;
  const absl::StatusOr<LoadResult> result = rota::bench::RunLoad(options, clock);
  if (!result.ok()) {
    std::cerr << "rota-load: " << result.status().message() << "\n";
    return 1;
  }
  std::cout << Describe(*result, options).dump() << "\n";
  return 0;
}
