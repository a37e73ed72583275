#include "dataplane/ambient_identities.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"
#include "common/metric_families.h"
#include "dataplane/cloud/aws_web_identity.h"
#include "dataplane/cloud/entra.h"

namespace rota::dataplane {
namespace {

// Other values, another version: what is made of them is made again.
uint64_t VersionOf(const cloud::Refresher::Values& values) {
  std::string all;
  size_t size = 0;
  for (const auto& [name, value] : values) {
    size += value.Reveal().size();
  }
  all.reserve(size);
  for (const auto& [name, value] : values) {
    all.append(value.Reveal());
  }
  const uint64_t version = Hash64(all);
  WipeString(all);
  return version;
}

}  // namespace

AmbientIdentities::AmbientIdentities(Options options, Clock& clock)
    : options_(std::move(options)), clock_(clock) {
  Add(table::kAwsIdentity,
      cloud::AwsWebIdentity::FromEnvironment(options_.environment, options_.session));
  Add(table::kAzureIdentity, cloud::Entra::FromEnvironment(options_.environment));
}

AmbientIdentities::~AmbientIdentities() = default;

void AmbientIdentities::Add(const std::string& name,
                            absl::StatusOr<std::unique_ptr<cloud::TokenService>> service) {
  table::Identity& identity = initial_[name];
  if (!service.ok()) {
    identity.status = absl::FailedPreconditionError(
        absl::StrCat("this data plane has no cloud identity ", name.substr(1), ": ",
                     std::string(service.status().message())));
    return;
  }
  identity.status = absl::UnavailableError("the cloud identity is being fetched");
  Kept kept;
  kept.service = *std::move(service);
  const cloud::TokenService* const asked = kept.service.get();
  kept.refresher = std::make_unique<cloud::Refresher>(
      std::string(asked->name()),
      cloud::Refresher::Callbacks{[this, asked](std::stop_token stop) {
                                    return cloud::Fetch(*asked, options_.tls, clock_,
                                                        std::move(stop));
                                  },
                                  [this, name](absl::StatusOr<cloud::Refresher::Values> values) {
                                    Publish(name, std::move(values));
                                  }},
      clock_);
  kept_.emplace(name, std::move(kept));
}

void AmbientIdentities::Publish(const std::string& name,
                                absl::StatusOr<cloud::Refresher::Values> values) const {
  table::Identity identity;
  identity.status = values.status();
  if (values.ok()) {
    auto content = std::make_shared<table::DecodedSecret>();
    content->hash = VersionOf(*values);
    content->values = *std::move(values);
    identity.content = std::move(content);
  }
  options_.publish(name, identity);
}

void AmbientIdentities::Want(const std::string& name) {
  if (const auto kept = kept_.find(name); kept != kept_.end()) {
    kept->second.refresher->Want();
  }
}

bool AmbientIdentities::awaits_first_answer() const {
  return std::any_of(kept_.begin(), kept_.end(), [](const auto& kept) {
    const cloud::Refresher::State state = kept.second.refresher->state();
    return state.is_wanted && !state.has_asked;
  });
}

std::vector<std::string> AmbientIdentities::Problems() const {
  std::vector<std::string> problems;
  for (const auto& [name, kept] : kept_) {
    const cloud::Refresher::State state = kept.refresher->state();
    if (state.is_wanted && !state.usable_until.has_value()) {
      problems.push_back(absl::StrCat(
          "targets with the cloud identity ", name.substr(1),
          " are off the rota: ", state.has_asked ? state.problem : "it is being fetched"));
    }
  }
  return problems;
}

std::vector<prometheus::MetricFamily> AmbientIdentities::Collect() const {
  MetricFamilies families;
  for (const auto& [name, kept] : kept_) {
    const cloud::Refresher::State state = kept.refresher->state();
    if (!state.is_wanted) {
      continue;
    }
    const std::string label(kept.service->name());
    const MonotonicTime now = clock_.Now();
    const Duration left = state.usable_until.value_or(now) - now;
    families.Gauge("rota_identity_usable_seconds",
                   "How long the cloud identity can still be used; 0: there is none.",
                   std::max(0.0, std::chrono::duration<double>(left).count()),
                   {{"identity", label}});
    families.Counter("rota_identity_fetches_total", "Times that a token service was asked.",
                     state.fetched, {{"identity", label}, {"result", "ok"}});
    families.Counter("rota_identity_fetches_total", "Times that a token service was asked.",
                     state.failed, {{"identity", label}, {"result", "failed"}});
  }
  return families.Take();
}

}  // namespace rota::dataplane
