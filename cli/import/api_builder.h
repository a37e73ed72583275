#pragma once

// Puts an API together: endpoints that are the same become one, names stay unique, what is empty is
// left out.
//
// Not thread-safe.

#include <string>
#include <string_view>

#include "cli/import/imported.h"

namespace rota::importer {

// One place that requests go to. Members that are null are left out.
struct EndpointDraft {
  std::string name;  // wished; the same endpoint twice keeps its first name
  std::string url;
  std::string provider{};
  OrderedJson options{};   // providerOptions
  OrderedJson security{};  // endpointSecurity
  OrderedJson resiliency{};
};

class ApiBuilder {
 public:
  ApiBuilder(std::string name, std::string base_path, std::string version);

  // The name by which targets refer to it.
  std::string UseEndpoint(const EndpointDraft& draft);
  // {model, endpoint, weight, ...}.
  void AddTarget(OrderedJson target) { targets_.push_back(std::move(target)); }
  // POST `target`, and what it is.
  void AddOperation(std::string_view target, std::string_view kind, bool is_secured);
  // Of the policy ModelBasedRoundRobin, beside the targets.
  OrderedJson& parameters() { return parameters_; }
  bool has_targets() const { return !targets_.empty(); }
  OrderedJson& targets() { return targets_; }

  // REQUIRES: has_targets().
  ImportedApi Build() const;

 private:
  std::string name_;
  std::string base_path_;
  std::string version_;
  OrderedJson endpoints_ = OrderedJson::array();
  OrderedJson targets_ = OrderedJson::array();
  OrderedJson operations_ = OrderedJson::array();
  OrderedJson parameters_ = OrderedJson::object();
};

// Weights that Rota takes (0..10000) with the same proportions, as near as whole numbers come.
// Returns false when that changed them.
bool FitWeights(OrderedJson& targets);

}  // namespace rota::importer
