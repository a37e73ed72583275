#pragma once

// Which statements about suspensions the controller at the other end of a stream has, as far as
// this end can know: what it was told, and what it told itself. What it lacks, it is reminded of;
// data planes do so after a random time each, so that of a thousand which know the same statement
// one or two tell it and the others hear of it in time.
//
// Single-thread. Bounded: what does not fit is taken for lacking, which costs a repetition.

#include <map>
#include <string>
#include <utility>

#include "dataplane/rotation/rotation.h"

namespace rota::sync {

class ControllerView {
 public:
  static constexpr size_t kMaxStatements = 16'384;

  void Clear() { statements_.clear(); }
  void Has(const rotation::Suspension& statement) {
    if (statements_.size() < kMaxStatements) {
      Version& known = statements_[{statement.target, statement.origin}];
      known = std::max(known, VersionOf(statement));
    }
  }
  // True for what is worth telling. A suspension for AUTH is told by its origin only: what others
  // say of it is no testimony.
  bool Lacks(const rotation::Suspension& statement, const std::string& node) const {
    if (statement.reason == rotation::Reason::kAuth && !statement.lifted &&
        statement.origin != node) {
      return false;
    }
    const auto known = statements_.find({statement.target, statement.origin});
    return known == statements_.end() || known->second < VersionOf(statement);
  }

 private:
  using Version = std::pair<uint64_t, bool>;  // epoch, lifted
  static Version VersionOf(const rotation::Suspension& statement) {
    return {statement.epoch, statement.lifted};
  }

  std::map<std::pair<std::string, std::string>, Version> statements_;  // by target, origin
};

}  // namespace rota::sync
