#include "cli/top.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "cli/suspensions.h"

namespace rota::cli {
namespace {

constexpr int kFirstError = 400;
constexpr int kClientLeft = 499;

std::string LabelOf(const Sample& sample, const char* name) {
  const auto found = sample.labels.find(name);
  return found == sample.labels.end() ? "" : found->second;
}

struct RowKey {
  std::string api;
  std::string environment;
  std::string model;
  auto operator<=>(const RowKey&) const = default;
};

RowKey KeyOf(const Sample& sample) {
  return {LabelOf(sample, "api"), LabelOf(sample, "environment"), LabelOf(sample, "model")};
}

struct Row {
  double requests = 0;
  double errors = 0;
  double tokens = 0;
  std::set<std::string> targets;    // names
  std::set<std::string> suspended;  // data plane and target
};

bool IsError(const Sample& sample) {
  int code = 0;
  return absl::SimpleAtoi(LabelOf(sample, "code"), &code) && code >= kFirstError &&
         code != kClientLeft;
}

using SeriesKey = std::pair<std::string, std::map<std::string, std::string>>;

// What each counter has gained since `before`.
class Gains {
 public:
  explicit Gains(const Samples& before) {
    for (const Sample& sample : before) {
      before_[{sample.name, sample.labels}] = sample.value;
    }
  }
  double Of(const Sample& now) const {
    const auto found = before_.find({now.name, now.labels});
    const double before = found == before_.end() ? 0 : found->second;
    return now.value >= before ? now.value - before : now.value;
  }

 private:
  std::map<SeriesKey, double> before_;
};

void AddPeer(const std::string& peer, const Samples& before, const Samples& after,
             std::map<RowKey, Row>& rows) {
  const Gains gains(before);
  for (const Sample& sample : after) {
    if (sample.name == "rota_requests_total") {
      Row& row = rows[KeyOf(sample)];
      const double gain = gains.Of(sample);
      row.requests += gain;
      row.errors += IsError(sample) ? gain : 0;
      row.targets.insert(LabelOf(sample, "target"));
    } else if (sample.name == "rota_tokens_total" && LabelOf(sample, "kind") != "cached" &&
               LabelOf(sample, "kind") != "reasoning") {  // parts of the other two
      rows[KeyOf(sample)].tokens += gains.Of(sample);
    } else if (sample.name == "rota_suspended_seconds" && sample.value > 0) {
      Row& row = rows[KeyOf(sample)];
      row.targets.insert(LabelOf(sample, "target"));
      row.suspended.insert(absl::StrCat(peer, "\n", LabelOf(sample, "target")));
    }
  }
}

}  // namespace

absl::StatusOr<Look> TakeLook(const std::vector<Peer>& data_planes, const Clock& clock,
                              std::vector<std::string> problems) {
  Look look{clock.Now(), {}, std::move(problems)};
  absl::Status failure = absl::InvalidArgumentError("nobody to ask: give --data-plane URL");
  for (const Peer& peer : data_planes) {
    const absl::StatusOr<std::string> text = AskText(peer, "/metrics");
    if (text.ok()) {
      look.by_peer[peer.name] = ParseMetrics(*text);
    } else {
      failure = text.status();
      look.problems.emplace_back(failure.message());
    }
  }
  if (look.by_peer.empty()) {
    return failure;
  }
  return look;
}

Json CompareLooks(const Look& before, const Look& after) {
  std::map<RowKey, Row> rows;
  for (const auto& [peer, samples] : after.by_peer) {
    const auto earlier = before.by_peer.find(peer);
    // One that was not seen before has no rate yet.
    AddPeer(peer, earlier == before.by_peer.end() ? samples : earlier->second, samples, rows);
  }
  const double seconds = std::chrono::duration<double>(after.at - before.at).count();
  const auto rate = [seconds](double gain) { return seconds > 0 ? gain / seconds : 0; };
  Json list = Json::array();
  for (const auto& [key, row] : rows) {
    const auto pairs = static_cast<double>(row.targets.size() * after.by_peer.size());
    list.push_back(
        {{"api", key.api},
         {"environment", key.environment},
         {"model", key.model},
         {"requests_per_second", rate(row.requests)},
         {"errors_per_second", rate(row.errors)},
         {"tokens_per_second", rate(row.tokens)},
         {"suspended_share", pairs > 0 ? static_cast<double>(row.suspended.size()) / pairs : 0.0}});
  }
  return {{"seconds", seconds},
          {"data_planes", after.by_peer.size()},
          {"rows", std::move(list)},
          {"problems", after.problems}};
}

std::string PrintTop(const Json& report, Style style) {
  Table table(
      {"API", "ENVIRONMENT", "MODEL", "REQUESTS/S", "ERRORS/S", "ERRORS", "TOKENS/S", "SUSPENDED"});
  for (const Json& row : report["rows"]) {
    const double requests = row.value("requests_per_second", 0.0);
    const double errors = row.value("errors_per_second", 0.0);
    const double suspended = row.value("suspended_share", 0.0);
    table.Add({row.value("api", ""), row.value("environment", ""), row.value("model", ""),
               FormatRate(requests),
               Cell(FormatRate(errors), errors > 0 ? Colour::kBad : Colour::kNone),
               requests > 0 ? FormatShare(errors / requests) : "",
               FormatRate(row.value("tokens_per_second", 0.0)),
               suspended > 0 ? Cell(FormatShare(suspended), Colour::kBad) : Cell("")});
  }
  return (table.empty() ? "No requests yet.\n" : table.Print(style)) + PrintProblems(report, style);
}

}  // namespace rota::cli
