#pragma once

// Reads the fields of a JSON object and reports what is wrong with each: where it is, why, and what
// to do. An object that has been read to the end (Finish) has no field that nobody asked for. Not
// thread-safe.

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "controller/resource/decode.h"
#include "controller/resource/diagnostic.h"
#include "nlohmann/json.hpp"

namespace rota::resource {

// A place in the object: "spec.operations[0].verb", and "/spec/operations/0/verb" for its line.
struct FieldPath {
  std::string field;
  std::string pointer;

  FieldPath Key(std::string_view key) const;
  FieldPath Index(size_t index) const;
};

// Collects findings, at most kMaxDiagnostics.
class Reporter {
 public:
  explicit Reporter(const std::map<std::string, int>* lines) : lines_(lines) {}

  void Error(std::string reason, const FieldPath& path, std::string message);
  void Warn(std::string reason, const FieldPath& path, std::string message);
  // The field means something that this build does not do.
  void NotEnforced(const FieldPath& path, std::string_view consequence);

  bool has_errors() const { return has_errors_; }
  bool is_full() const { return diagnostics_.size() >= kMaxDiagnostics; }
  Diagnostics Take() && { return std::move(diagnostics_); }

 private:
  void Add(Severity severity, std::string reason, const FieldPath& path, std::string message);

  const std::map<std::string, int>* lines_;
  Diagnostics diagnostics_;
  bool has_errors_ = false;
};

class ObjectReader {
 public:
  // Reports when `value` is not an object; then every field is absent.
  ObjectReader(const nlohmann::json& value, FieldPath path, Reporter& reporter);

  // The field's value; null when it is absent or null.
  const nlohmann::json* Find(const std::string& key);
  bool Has(const std::string& key) { return Find(key) != nullptr; }

  // A text of `min` to `max` characters (bytes of UTF-8); absent when it is not there or not
  // usable.
  std::optional<std::string> Text(const std::string& key, size_t max, size_t min = 0);
  std::optional<std::string> RequiredText(const std::string& key, size_t max,
                                          std::string_view example);
  std::optional<bool> Bool(const std::string& key);
  std::optional<int64_t> Integer(const std::string& key, int64_t min, int64_t max);
  // Whole seconds or a string with a unit, up to `max`.
  std::optional<Duration> Time(const std::string& key, Duration max);
  std::optional<std::string> Choice(const std::string& key,
                                    const std::vector<std::string>& choices);
  // Calls `each` for the items of a list. False when there is no list.
  bool List(const std::string& key, size_t max,
            const std::function<void(const nlohmann::json&, const FieldPath&)>& each);
  std::vector<std::string> Texts(const std::string& key, size_t max_items, size_t max_bytes);

  void Missing(const std::string& key, std::string_view example);
  // Reports the fields that were never asked for.
  void Finish();

  FieldPath At(const std::string& key) const { return path_.Key(key); }
  const FieldPath& path() const { return path_; }
  Reporter& reporter() { return reporter_; }

 private:
  void WrongType(const std::string& key, const nlohmann::json& value, std::string_view wanted);

  static const nlohmann::json& Empty();
  const nlohmann::json& value_;
  FieldPath path_;
  Reporter& reporter_;
  std::set<std::string> asked_;
};

// A user's text for a message: shortened, in quotes.
std::string Quoted(std::string_view text);
// "A, B or C".
std::string Choices(const std::vector<std::string>& choices);

}  // namespace rota::resource
