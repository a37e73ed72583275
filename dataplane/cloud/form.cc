#include "dataplane/cloud/form.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/secret.h"
#include "dataplane/provider/sigv4.h"

namespace rota::cloud {
namespace {

constexpr size_t kMaxLogged = 300;

}  // namespace

std::string FormOf(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  size_t size = 0;
  for (const auto& [name, value] : fields) {
    size += name.size() + 3 * value.size() + 2;
  }
  std::string form;
  form.reserve(size);  // a string that grows leaves its bytes in the memory that it had before
  for (const auto& [name, value] : fields) {
    std::string encoded = provider::PercentEncoded(value);
    form.append(form.empty() ? "" : "&").append(name).append("=").append(encoded);
    WipeString(encoded);
  }
  return form;
}

absl::StatusOr<table::EndpointUrl> ServerOf(const Environment& environment, const std::string& name,
                                            const std::string& otherwise) {
  absl::StatusOr<table::EndpointUrl> url =
      table::ParseEndpointUrl(environment(name).value_or(otherwise));
  if (!url.ok() || !url->tls) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " is not an https:// URL",
                     url.ok() ? "" : absl::StrCat(" (", std::string(url.status().message()), ")"),
                     "; correct it, or leave it out"));
  }
  return url;
}

absl::StatusOr<std::string> Required(const Environment& environment, const std::string& name,
                                     std::string_view fix) {
  std::optional<std::string> value = environment(name);
  if (!value.has_value() || value->empty()) {
    return absl::FailedPreconditionError(absl::StrCat(name, " is not set; ", std::string(fix)));
  }
  return *std::move(value);
}

std::string ForLog(std::string_view text) {
  std::string line(text.substr(0, kMaxLogged));
  std::replace_if(
      line.begin(), line.end(),
      [](char c) { return !absl::ascii_isprint(static_cast<unsigned char>(c)); }, ' ');
  return line;
}

}  // namespace rota::cloud
