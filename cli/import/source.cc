#include "cli/import/source.h"

#include <algorithm>
#include <array>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/clip.h"

namespace rota::importer {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxQuoted = 80;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

const Json& EmptyMap() {
  static const auto* const kEmpty = new Json(Json::object());
  return *kEmpty;
}

std::string Printable(std::string_view text) {
  std::string shown(Clip(text, kMaxQuoted));
  std::replace_if(
      shown.begin(), shown.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }, '?');
  return text.size() > kMaxQuoted ? shown + "..." : shown;
}

struct Heading {
  Verdict verdict;
  const char* text;
};
constexpr std::array<Heading, 4> kHeadings = {{
    {Verdict::kError, "not imported"},
    {Verdict::kDiffers, "imported, and differs in meaning"},
    {Verdict::kNoEqual, "left out, because Rota has no equal"},
    {Verdict::kMapped, "mapped"},
}};

}  // namespace

Place Place::Key(std::string_view key) const {
  return {document, absl::StrCat(path, path.empty() ? "" : ".", Printable(key))};
}

Place Place::Index(size_t index) const { return {document, absl::StrCat(path, "[", index, "]")}; }

std::string Place::ToString() const {
  if (document == nullptr) {
    return path;
  }
  // A path that begins with an index would get two slashes in front.
  const std::string_view field = path.starts_with('[') ? std::string_view(path).substr(1) : path;
  const int line = resource::LineOfField(document->lines, field);
  std::string text = document->file;
  if (line > 0) {
    absl::StrAppend(&text, ":", line);
  }
  return path.empty() ? text : absl::StrCat(text, ": ", path);
}

void Report::Add(Verdict verdict, const Place& place, std::string text) {
  has_errors_ = has_errors_ || verdict == Verdict::kError;
  Remark remark{verdict, place.ToString(), std::move(text)};
  if (seen_.contains(remark)) {
    return;
  }
  if (remarks_.size() >= kMaxRemarks) {
    ++left_out_;
    return;
  }
  seen_.insert(remark);
  remarks_.push_back(std::move(remark));
}

std::string Report::Print() const {
  std::string text;
  for (const Heading& heading : kHeadings) {
    bool is_first = true;
    for (const Remark& remark : remarks_) {
      if (remark.verdict != heading.verdict) {
        continue;
      }
      if (is_first) {
        absl::StrAppend(&text, heading.text, ":\n");
        is_first = false;
      }
      absl::StrAppend(&text, "  ", remark.place, ": ", remark.text, "\n");
    }
  }
  if (left_out_ > 0) {
    absl::StrAppend(&text, left_out_, " more remarks are left out; import the files one by one\n");
  }
  return text;
}

Fields::Fields(const Json& value, Place place, Report& report)
    : value_(value.is_object() ? &value : &EmptyMap()), place_(std::move(place)), report_(&report) {
  if (!value.is_object()) {
    report.Error(place_, "must be a map of keys and values");
  }
}

const Json* Fields::Find(const std::string& key) {
  asked_.insert(key);
  const auto found = value_->find(key);
  return found == value_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<std::string> Fields::Text(const std::string& key) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (value->is_structured()) {
    WrongKind(key, "text");
    return std::nullopt;
  }
  return value->is_string() ? value->get<std::string>() : value->dump();
}

std::optional<int64_t> Fields::Whole(const std::string& key, int64_t min, int64_t max) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  const bool fits = value->is_number_integer() &&
                    (!value->is_number_unsigned() ||
                     value->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)) &&
                    value->get<int64_t>() >= min && value->get<int64_t>() <= max;
  if (!fits) {
    WrongKind(key, absl::StrCat("a whole number from ", min, " to ", max));
    return std::nullopt;
  }
  return value->get<int64_t>();
}

std::optional<bool> Fields::Bool(const std::string& key) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  if (!value->is_boolean()) {
    WrongKind(key, "true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

std::optional<Fields> Fields::Map(const std::string& key) {
  const Json* const value = Find(key);
  if (value == nullptr) {
    return std::nullopt;
  }
  return Fields(*value, At(key), *report_);
}

std::vector<Fields::Item> Fields::List(const std::string& key) {
  std::vector<Item> items;
  const Json* const value = Find(key);
  if (value == nullptr) {
    return items;
  }
  if (!value->is_array()) {
    return {{value, At(key)}};
  }
  for (size_t i = 0; i < value->size(); ++i) {
    items.push_back({&(*value)[i], At(key).Index(i)});
  }
  return items;
}

std::vector<std::string> Fields::Texts(const std::string& key) {
  std::vector<std::string> texts;
  for (const Item& item : List(key)) {
    if (item.value->is_string()) {
      texts.push_back(item.value->get<std::string>());
    } else {
      report_->Error(item.place, "must be text");
    }
  }
  return texts;
}

std::vector<std::string> Fields::Keys() const {
  std::vector<std::string> keys;
  for (const auto& [key, unused] : value_->items()) {
    keys.push_back(key);
  }
  return keys;
}

void Fields::NoEqual(std::initializer_list<const char*> keys, std::string_view why) {
  for (const char* const key : keys) {
    if (Has(key)) {
      report_->NoEqual(At(key), std::string(why));
    }
  }
}

void Fields::Bookkeeping(std::initializer_list<const char*> keys) {
  for (const char* const key : keys) {
    if (Has(key)) {
      report_->NoEqual(At(key), "the other gateway's own bookkeeping, of no use here");
    }
  }
}

void Fields::Finish() {
  for (const auto& [key, value] : value_->items()) {
    if (!asked_.contains(key) && !value.is_null()) {
      report_->NoEqual(At(key), "this importer does not know the key");
    }
  }
}

void Fields::WrongKind(const std::string& key, std::string_view wanted) {
  report_->Error(At(key), absl::StrCat("must be ", View(wanted), "; correct it"));
}

std::string Quoted(std::string_view text) { return absl::StrCat("'", Printable(text), "'"); }

}  // namespace rota::importer
