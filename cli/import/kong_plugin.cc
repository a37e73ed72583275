#include "cli/import/kong_plugin.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "cli/import/kong_target.h"

namespace rota::importer {
namespace {

constexpr int64_t kMaxMilliseconds = 2'147'483'646;
constexpr int64_t kMaxWeightThere = 65'535;
constexpr int64_t kMaxAttempts = 5;
constexpr size_t kMaxTiers = 16;
constexpr int64_t kMaxThreshold = 1000;

// "llm/v1/chat" -> "chat"; "" when Rota has no such operation.
std::string KindOfRoute(const std::string& route_type) {
  if (route_type == "llm/v1/chat") return "chat";
  if (route_type == "llm/v1/completions") return "completions";
  if (route_type == "llm/v1/embeddings") return "embeddings";
  return "";
}

// How targets are chosen.
struct Choice {
  bool by_weight = true;
  bool by_tier = false;
};

Choice ReadAlgorithm(Fields& balancer) {
  const std::string algorithm = balancer.Text("algorithm").value_or("round-robin");
  if (algorithm == "round-robin") {
    return {};
  }
  if (algorithm == "priority") {
    balancer.report().Mapped(balancer.At("algorithm"),
                             "priority: weights are ranks there, and became tiers here");
    return {.by_weight = false, .by_tier = true};
  }
  balancer.report().Differs(
      balancer.At("algorithm"),
      absl::StrCat(Quoted(algorithm),
                   " is no rotation: every target gets the same share here, and nothing is chosen "
                   "by content, load, latency or cost"));
  return {.by_weight = false};
}

OrderedJson ReadTimeouts(Fields& balancer) {
  OrderedJson timeout = OrderedJson::object();
  if (const auto connect = balancer.Whole("connect_timeout", 1, kMaxMilliseconds)) {
    timeout["connectTimeout"] = DurationOfMilliseconds(*connect);
  }
  if (const auto read = balancer.Whole("read_timeout", 1, kMaxMilliseconds)) {
    timeout["upstreamResponseTimeout"] = DurationOfMilliseconds(*read);
    balancer.report().Differs(
        balancer.At("read_timeout"),
        "the time between two reads there, until the first byte of the answer "
        "here (between chunks the data plane's own limit holds)");
  }
  balancer.NoEqual({"write_timeout"}, "the data plane's own limits hold");
  return timeout.empty() ? timeout : OrderedJson{{"timeout", std::move(timeout)}};
}

void ReadRetries(Fields& balancer, OrderedJson& parameters) {
  const auto retries = balancer.Whole("retries", 0, 32'767);
  if (retries) {
    parameters["retry"]["attempts"] = std::min(*retries + 1, kMaxAttempts);
    if (*retries + 1 > kMaxAttempts) {
      balancer.report().Differs(balancer.At("retries"), absl::StrCat("at most ", kMaxAttempts,
                                                                     " tries of one request here"));
    }
  }
}

// Rota's own criteria cannot be changed one by one: the report says where they differ.
void ReadCriteria(Fields& balancer, OrderedJson& parameters) {
  const std::vector<std::string> list = balancer.Texts("failover_criteria");
  const std::set<std::string> criteria(list.begin(), list.end());
  if (criteria.empty()) {
    return;
  }
  static const std::set<std::string> kAlways = {"error",    "timeout",  "invalid_header",
                                                "http_500", "http_502", "http_503",
                                                "http_504", "http_429"};
  std::vector<std::string> missing;
  std::set_difference(kAlways.begin(), kAlways.end(), criteria.begin(), criteria.end(),
                      std::back_inserter(missing));
  Report& report = balancer.report();
  const Place place = balancer.At("failover_criteria");
  if (!missing.empty()) {
    report.Differs(
        place, absl::StrCat("Rota also tries the next target on ", absl::StrJoin(missing, ", ")));
  }
  for (const std::string& criterion : criteria) {
    if (criterion == "non_idempotent") {
      parameters["retry"]["nonIdempotent"] = true;
    } else if (criterion == "http_403" || criterion == "http_404") {
      report.NoEqual(place, absl::StrCat(criterion,
                                         ": passed on here, because it is the request's fault; a "
                                         "403 that means a quota or a credential fails over"));
    } else if (!kAlways.contains(criterion)) {
      report.NoEqual(place, absl::StrCat(Quoted(criterion), " is not known here"));
    }
  }
}

void ReadHealth(Fields& balancer, OrderedJson& parameters) {
  const int64_t max_fails = balancer.Whole("max_fails", 0, 32'767).value_or(0);
  const auto fail_timeout = balancer.Whole("fail_timeout", 1, kMaxMilliseconds);
  OrderedJson& passive = parameters["healthChecks"]["passive"];
  if (max_fails == 0) {
    passive["enabled"] = false;  // as there: nothing is counted
    balancer.report().Mapped(balancer.At("max_fails"),
                             "absent or 0: failures are not counted, as there; take "
                             "healthChecks.passive out to have Rota's own (3 failures, 60 s)");
    return;
  }
  passive["threshold"] = std::min(max_fails, kMaxThreshold);
  const int64_t milliseconds = fail_timeout.value_or(10'000);
  passive["interval"] = DurationOfMilliseconds(std::max<int64_t>(milliseconds, 1000));
  balancer.report().Differs(balancer.At("max_fails"),
                            "failures within fail_timeout there, failures in a row here");
}

// Everything of `balancer` but the targets. Returns how they are chosen.
Choice ReadBalancer(Fields& config, OrderedJson& parameters, OrderedJson& resiliency) {
  static const auto* const kNone = new nlohmann::json(nlohmann::json::object());
  const nlohmann::json* const value = config.Find("balancer");
  Fields balancer(value == nullptr ? *kNone : *value, config.At("balancer"), config.report());
  const Choice choice = ReadAlgorithm(balancer);
  resiliency = ReadTimeouts(balancer);
  ReadRetries(balancer, parameters);
  ReadCriteria(balancer, parameters);
  ReadHealth(balancer, parameters);
  balancer.NoEqual({"slots", "hash_on_header", "latency_strategy", "tokens_count_strategy",
                    "vectordb", "embeddings"},
                   "belongs to an algorithm that Rota does not have");
  balancer.Finish();
  return choice;
}

// Weights that were ranks become tiers: the largest first, equal shares inside.
void RanksToTiers(const Place& place, OrderedJson& targets, Report& report) {
  std::set<int64_t, std::greater<>> ranks;
  for (const OrderedJson& target : targets) {
    ranks.insert(target["weight"].get<int64_t>());
  }
  if (ranks.size() > kMaxTiers) {
    report.Differs(place, absl::StrCat(ranks.size(), " ranks there, ", kMaxTiers,
                                       " tiers at most here: the last ones share a tier"));
  }
  for (OrderedJson& target : targets) {
    const auto rank = ranks.find(target["weight"].get<int64_t>());
    const auto tier = static_cast<size_t>(std::distance(ranks.begin(), rank)) + 1;
    target["weight"] = 1;
    target["tier"] = std::min(tier, kMaxTiers);
  }
}

void SettleWeights(const Choice& choice, const Place& place, ApiBuilder& builder, Report& report) {
  OrderedJson& targets = builder.targets();
  if (choice.by_tier) {
    RanksToTiers(place, targets, report);
  } else if (!choice.by_weight) {
    for (OrderedJson& target : targets) {
      target["weight"] = 1;
    }
  } else if (!FitWeights(targets)) {
    report.Differs(place, "weights above 10000 were made smaller in proportion");
  }
}

// What both plugins have beside their targets. False: nothing of the plugin can be imported.
bool ReadCommon(Fields& config) {
  const std::string format = config.Text("llm_format").value_or("openai");
  if (format != "openai") {
    config.report().Error(
        config.At("llm_format"),
        absl::StrCat("clients speak ", Quoted(format),
                     " on this route; declare the provider's own path as an operation instead"));
    return false;
  }
  const std::string streaming = config.Text("response_streaming").value_or("allow");
  if (streaming != "allow") {
    config.report().NoEqual(config.At("response_streaming"),
                            absl::StrCat(Quoted(streaming), ": here the client decides"));
  }
  config.NoEqual({"max_request_body_size"}, "the data plane's limit holds for all APIs");
  config.NoEqual({"model_name_header"}, "the answer's `model` says it");
  config.NoEqual({"genai_category"}, "used for statistics there");
  return true;
}

}  // namespace

std::optional<std::string> ImportKongPlugin(Fields& config, bool is_advanced,
                                            const KongScope& scope) {
  if (!ReadCommon(config)) {
    return std::nullopt;
  }
  OrderedJson resiliency;
  Choice choice;
  std::vector<Fields::Item> targets;
  if (is_advanced) {
    choice = ReadBalancer(config, scope.builder.parameters(), resiliency);
    config.NoEqual({"embeddings", "vectordb"}, "belongs to an algorithm that Rota does not have");
    targets = config.List("targets");
  }
  std::optional<std::string> kind;
  const auto import_target = [&](Fields& target) {
    const std::string route_type = target.Text("route_type").value_or("");
    const std::string own_kind = KindOfRoute(route_type);
    if (own_kind.empty() || (kind && *kind != own_kind)) {
      scope.report.Error(target.At("route_type"),
                         own_kind.empty()
                             ? absl::StrCat("is ", Quoted(route_type),
                                            "; Rota imports llm/v1/chat, llm/v1/completions and "
                                            "llm/v1/embeddings")
                             : "differs from that of the first target; make two routes of them");
      return false;
    }
    const int64_t weight = target.Whole("weight", 1, kMaxWeightThere).value_or(100);
    target.NoEqual({"description", "metadata"}, "belongs to an algorithm that Rota does not have");
    const bool is_imported = ImportKongTarget(target, weight, resiliency, scope);
    if (is_imported) {
      kind = own_kind;
    }
    return is_imported;
  };
  if (is_advanced) {
    for (const Fields::Item& item : targets) {
      Fields target(*item.value, item.place, scope.report);
      if (import_target(target)) {
        target.Finish();
      }
    }
    SettleWeights(choice, config.At("targets"), scope.builder, scope.report);
  } else {
    import_target(config);
    scope.builder.parameters()["healthChecks"]["passive"]["enabled"] = false;
  }
  if (!kind) {
    scope.report.Error(config.place(), "no target of it could be imported");
    return std::nullopt;
  }
  config.Finish();
  return kind;
}

}  // namespace rota::importer
