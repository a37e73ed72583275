#include "dataplane/provider/json.h"

#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "dataplane/provider/json_scan.h"

namespace rota::provider {
namespace {

// Builds the tree from the parser's events. Members are put behind each other without looking for
// their equals, so that a large object costs no more than its bytes.
class TreeBuilder final : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return Put(Json()); }
  bool boolean(bool value) override { return Put(Json(value)); }
  bool number_integer(number_integer_t value) override { return Put(Json(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Put(Json(value)); }
  bool number_float(number_float_t value, const string_t& /*text*/) override {
    return Put(Json(value));
  }
  bool string(string_t& value) override { return Put(Json(std::move(value))); }
  bool binary(binary_t& /*value*/) override { return false; }  // JSON text has none
  bool start_object(size_t /*members*/) override { return Open(Json::object()); }
  bool start_array(size_t /*items*/) override { return Open(Json::array()); }
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& name) override {
    name_ = std::move(name);
    return Count();
  }
  bool parse_error(size_t position, const std::string& /*token*/,
                   const nlohmann::detail::exception& /*error*/) override {
    problem_ = absl::StrCat("is not valid JSON near byte ", position);
    return false;
  }

  Json Take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

 private:
  bool Count() {
    if (++values_ > kMaxJsonValues) {
      problem_ = absl::StrCat("has more than ", kMaxJsonValues, " values");
      return false;
    }
    return true;
  }

  Json* Place(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    auto& members = parent.get_ref<Json::object_t&>();
    return &members.emplace_back(std::move(name_), std::move(value)).second;
  }

  bool Put(Json value) {
    if (!Count()) {
      return false;
    }
    Place(std::move(value));
    return true;
  }

  bool Open(Json empty) {
    if (!Count()) {
      return false;
    }
    if (open_.size() == kMaxJsonDepth) {
      problem_ = absl::StrCat("is nested deeper than ", kMaxJsonDepth, " levels");
      return false;
    }
    open_.push_back(Place(std::move(empty)));
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  Json root_;
  std::vector<Json*> open_;  // a list grows only while its last item is closed
  std::string name_;
  size_t values_ = 0;
  std::string problem_;
};

}  // namespace

absl::StatusOr<Json> ParseJson(std::string_view text) {
  TreeBuilder builder;
  if (!Json::sax_parse(text.begin(), text.end(), &builder)) {
    return absl::InvalidArgumentError(builder.problem());
  }
  return builder.Take();
}

std::string DumpJson(const Json& value) {
  std::string text;
  AppendJson(value, text);
  return text;
}

// Strings are most of what is printed, images above all: they are copied in long runs, where the
// library goes byte by byte.
void AppendJson(const Json& value, std::string& out) {
  char separator = 0;
  const auto separate = [&out, &separator] {
    if (separator != 0) {
      out.push_back(separator);
    }
    separator = ',';
  };
  switch (value.type()) {
    case Json::value_t::string:
      AppendJsonText(value.get_ref<const std::string&>(), out);
      break;
    case Json::value_t::array:
      out.push_back('[');
      for (const Json& item : value) {
        separate();
        AppendJson(item, out);
      }
      out.push_back(']');
      break;
    case Json::value_t::object:
      out.push_back('{');
      for (const auto& [name, member] : value.get_ref<const Json::object_t&>()) {
        separate();
        AppendJsonText(name, out);
        out.push_back(':');
        AppendJson(member, out);
      }
      out.push_back('}');
      break;
    default:
      out.append(value.dump());
  }
}

void AppendJsonText(std::string_view text, std::string& out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out.push_back('"');
  size_t place = 0;
  while (place < text.size()) {
    const size_t special = FindStringSpecial(text, place);
    out.append(text.substr(place, special - place));
    if (special == text.size()) {
      break;
    }
    const char c = text[special];
    if (c == '\n') {
      out.append("\\n");
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(c);
    } else {
      out.append("\\u00");
      out.push_back(kHex[static_cast<unsigned char>(c) >> 4]);
      out.push_back(kHex[c & 15]);
    }
    place = special + 1;
  }
  out.push_back('"');
}

const Json* Find(const Json& object, std::string_view name) {
  if (!object.is_object()) {
    return nullptr;
  }
  for (const auto& [member, value] : object.get_ref<const Json::object_t&>()) {
    if (member == name) {
      return value.is_null() ? nullptr : &value;
    }
  }
  return nullptr;
}

std::string_view FindText(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_string()
             ? std::string_view(value->get_ref<const std::string&>())
             : std::string_view();
}

std::optional<uint64_t> FindCount(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  if (value == nullptr || !value->is_number_integer()) {
    return std::nullopt;
  }
  if (value->is_number_unsigned()) {
    return value->get<uint64_t>();
  }
  const auto number = value->get<int64_t>();
  return number < 0 ? std::nullopt : std::optional<uint64_t>(static_cast<uint64_t>(number));
}

bool FindFlag(const Json& object, std::string_view name) {
  const Json* value = Find(object, name);
  return value != nullptr && value->is_boolean() && value->get<bool>();
}

}  // namespace rota::provider
