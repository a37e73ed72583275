#pragma once

// API resources, or RotaGateways, in memory: get, list and status by apply, as the status writer
// asks for them. Thread-safe.

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "controller/kube/api.h"
#include "tests/support/memory_transport.h"

namespace rota::testing {

class MemoryApis {
 public:
  // In namespace "team"; its uid is "uid-<name>".
  void Add(const std::string& name, nlohmann::json status = nlohmann::json::object()) {
    std::lock_guard guard(mutex_);
    statuses_[name] = std::move(status);
  }
  nlohmann::json Status(const std::string& name) const {
    std::lock_guard guard(mutex_);
    return statuses_.at(name);
  }
  size_t reads() const { return Read(&Counts::reads); }
  size_t lists() const { return Read(&Counts::lists); }
  size_t writes() const { return Read(&Counts::writes); }
  // From now on each write meets that HTTP code; 0: none.
  void FailWrites(int code) {
    std::lock_guard guard(mutex_);
    failure_ = code;
  }

  kube::KubeApi& api() { return api_; }

 private:
  struct Counts {
    size_t reads = 0;
    size_t lists = 0;
    size_t writes = 0;
  };

  size_t Read(size_t Counts::*member) const {
    std::lock_guard guard(mutex_);
    return counts_.*member;
  }
  nlohmann::json Object(const std::string& name) const {
    return {
        {"metadata",
         {{"namespace", "team"}, {"name", name}, {"uid", "uid-" + name}, {"resourceVersion", "1"}}},
        {"status", statuses_.at(name)}};
  }
  kube::HttpResponse Serve(const kube::HttpRequest& request) {
    std::lock_guard guard(mutex_);
    const std::string path = request.target.substr(0, request.target.find('?'));
    if (path.ends_with("/apis") || path.ends_with("/rotagateways")) {
      ++counts_.lists;
      nlohmann::json items = nlohmann::json::array();
      for (const auto& [name, status] : statuses_) {
        items.push_back(Object(name));
      }
      return MemoryTransport::Answer(200,
                                     {{"metadata", {{"resourceVersion", "1"}}}, {"items", items}});
    }
    const bool is_write = request.method == "PATCH";
    const std::string object = is_write ? path.substr(0, path.rfind('/')) : path;
    const std::string name = object.substr(object.rfind('/') + 1);
    ++(is_write ? counts_.writes : counts_.reads);
    if (is_write && failure_ != 0) {
      return MemoryTransport::Error(failure_);
    }
    if (!statuses_.contains(name)) {
      return MemoryTransport::Error(404, "NotFound");
    }
    if (is_write) {
      statuses_[name] = nlohmann::json::parse(request.body).at("status");
    }
    return MemoryTransport::Answer(200, Object(name));
  }

  mutable std::mutex mutex_;
  std::map<std::string, nlohmann::json> statuses_;
  Counts counts_;
  int failure_ = 0;
  MemoryTransport transport_{[this](const kube::HttpRequest& request) { return Serve(request); }};
  kube::KubeApi api_{transport_};
};

// Until the condition holds; a test that waits for ever is ended by ctest.
inline void Await(const std::function<bool()>& condition) {
  while (!condition()) {
    std::this_thread::yield();
  }
}

}  // namespace rota::testing
