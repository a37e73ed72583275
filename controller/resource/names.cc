#include "controller/resource/names.h"

#include <algorithm>
#include <numeric>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/hash.h"

namespace rota::resource {
namespace {

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }

bool IsLetterOrDigit(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z'); }

template <typename Predicate>
bool ConsistsOf(std::string_view text, size_t max, Predicate predicate) {
  return !text.empty() && text.size() <= max && std::all_of(text.begin(), text.end(), predicate);
}

std::string Lower(std::string_view text) {
  return absl::AsciiStrToLower(absl::string_view(text.data(), text.size()));
}

// Edits (insert, delete, replace) between two short words.
size_t Distance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

}  // namespace

bool IsDnsLabel(std::string_view text) {
  return ConsistsOf(text, 63, [](char c) { return IsLowerOrDigit(c) || c == '-'; }) &&
         text.front() != '-' && text.back() != '-';
}

bool IsDnsSubdomain(std::string_view text) {
  if (text.empty() || text.size() > 253) {
    return false;
  }
  while (true) {
    const size_t dot = text.find('.');
    if (!IsDnsLabel(text.substr(0, dot))) {
      return false;
    }
    if (dot == std::string_view::npos) {
      return true;
    }
    text.remove_prefix(dot + 1);
  }
}

bool IsSecretKey(std::string_view text) {
  return ConsistsOf(text, 253,
                    [](char c) { return IsLetterOrDigit(c) || c == '-' || c == '_' || c == '.'; });
}

bool IsEndpointName(std::string_view text) {
  return IsSecretKey(text) && text.size() <= 63 && IsLetterOrDigit(text.front()) &&
         IsLetterOrDigit(text.back());
}

bool IsToken(std::string_view text) {
  return ConsistsOf(text, 128, [](char c) {
    return IsLetterOrDigit(c) ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

std::string Slug(std::string_view text, size_t max_bytes) {
  std::string slug;
  for (const char c : Lower(text)) {
    if (IsLowerOrDigit(c)) {
      slug.push_back(c);
    } else if (!slug.empty() && slug.back() != '-') {
      slug.push_back('-');
    }
    if (slug.size() >= max_bytes) {
      break;
    }
  }
  while (!slug.empty() && slug.back() == '-') {
    slug.pop_back();
  }
  return slug;
}

std::string NameOfApkConf(std::string_view name, std::string_view base_path,
                          std::string_view version) {
  constexpr size_t kMaxSlug = 50;
  const std::string slug = Slug(name, kMaxSlug);
  std::string identity(name);
  identity.append(1, '\0').append(base_path).append(1, '\0').append(version);
  return absl::StrCat(slug.empty() ? "api" : slug, "-", Sha256Hex(identity).substr(0, 8));
}

std::string Nearest(std::string_view text, const std::vector<std::string>& known) {
  if (text.size() > 64) {
    return "";
  }
  const std::string wanted = Lower(text);
  const size_t limit = std::max<size_t>(1, wanted.size() / 3);
  std::string best;
  size_t best_distance = limit + 1;
  for (const std::string& candidate : known) {
    const size_t distance = Distance(wanted, Lower(candidate));
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

}  // namespace rota::resource
