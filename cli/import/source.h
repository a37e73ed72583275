#pragma once

// A foreign file while it is imported: places in it, its fields, and what becomes of each. A map
// that has been read to the end (Finish) has no key that nobody asked for: keys that no importer
// knows are reported, never dropped in silence.
//
// Not thread-safe. Nothing here throws. A remark never holds the value of a credential.

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "controller/resource/document.h"
#include "nlohmann/json.hpp"

namespace rota::importer {

// One document of a file, taken apart.
struct SourceDocument {
  std::string file;  // as the user named it
  nlohmann::json root;
  resource::LineMap lines;
};

// "kong.yaml", "services[0].routes[1].paths". The document outlives it.
struct Place {
  const SourceDocument* document = nullptr;
  std::string path{};

  Place Key(std::string_view key) const;
  Place Index(size_t index) const;
  // "kong.yaml:12: services[0].name".
  std::string ToString() const;
};

// What became of a part of the source.
enum class Verdict {
  kError,    // not imported, and it should have been
  kDiffers,  // imported, and means something else here
  kNoEqual,  // left out: Rota has nothing like it
  kMapped,
};

struct Remark {
  Verdict verdict = Verdict::kMapped;
  std::string place;
  std::string text;
  friend auto operator<=>(const Remark&, const Remark&) = default;
};

class Report {
 public:
  static constexpr size_t kMaxRemarks = 2'000;

  // The same remark twice is one. Behind kMaxRemarks only errors are counted, and Print says so.
  void Add(Verdict verdict, const Place& place, std::string text);
  void Error(const Place& place, std::string text) { Add(Verdict::kError, place, std::move(text)); }
  void Differs(const Place& place, std::string text) {
    Add(Verdict::kDiffers, place, std::move(text));
  }
  void NoEqual(const Place& place, std::string text) {
    Add(Verdict::kNoEqual, place, std::move(text));
  }
  void Mapped(const Place& place, std::string text) {
    Add(Verdict::kMapped, place, std::move(text));
  }

  bool has_errors() const { return has_errors_; }
  const std::vector<Remark>& remarks() const { return remarks_; }
  // For people: the errors first, what was mapped last.
  std::string Print() const;

 private:
  std::vector<Remark> remarks_;
  std::set<Remark> seen_;
  size_t left_out_ = 0;
  bool has_errors_ = false;
};

// The keys of one map. `value` outlives it.
class Fields {
 public:
  // Reports when `value` is not a map; then it has no keys.
  Fields(const nlohmann::json& value, Place place, Report& report);

  // The value; null when it is absent or null.
  const nlohmann::json* Find(const std::string& key);
  bool Has(const std::string& key) { return Find(key) != nullptr; }
  // Reported and absent when it is of another kind. Text(): a number or a boolean counts as the
  // text that was written.
  std::optional<std::string> Text(const std::string& key);
  std::optional<int64_t> Whole(const std::string& key, int64_t min, int64_t max);
  std::optional<bool> Bool(const std::string& key);
  std::optional<Fields> Map(const std::string& key);
  // The items of a list with their places; what is no list counts as a list of one.
  struct Item {
    const nlohmann::json* value;
    Place place;
  };
  std::vector<Item> List(const std::string& key);
  std::vector<std::string> Texts(const std::string& key);
  // The keys that are there, in the order of their names.
  std::vector<std::string> Keys() const;

  // Keys that are known and have no equal; reported where they are there.
  void NoEqual(std::initializer_list<const char*> keys, std::string_view why);
  // Names, ids and times of the other gateway's own: known, and of no use here.
  void Bookkeeping(std::initializer_list<const char*> keys);
  // Reports the keys that nobody asked for.
  void Finish();

  Place At(std::string_view key) const { return place_.Key(key); }
  const Place& place() const { return place_; }
  Report& report() { return *report_; }

 private:
  void WrongKind(const std::string& key, std::string_view wanted);

  const nlohmann::json* value_;
  Place place_;
  Report* report_;
  std::set<std::string> asked_;
};

// A name for messages: without control characters, shortened, in quotes.
std::string Quoted(std::string_view text);

}  // namespace rota::importer
