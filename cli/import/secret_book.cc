#include "cli/import/secret_book.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/strip.h"
#include "common/hash.h"
#include "controller/resource/names.h"

namespace rota::importer {
namespace {

constexpr size_t kMaxName = 50;

absl::string_view View(std::string_view text) { return {text.data(), text.size()}; }

std::string_view Trimmed(std::string_view text) {
  const absl::string_view trimmed = absl::StripAsciiWhitespace(View(text));
  return {trimmed.data(), trimmed.size()};
}

bool IsVariable(std::string_view name) {
  return !name.empty() && name.size() <= 128 &&
         !absl::ascii_isdigit(static_cast<unsigned char>(name[0])) &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_';
         });
}

// `env "X" | toBool` -> X.
std::string DeckVariable(std::string_view inside) {
  inside = Trimmed(inside);
  if (!inside.starts_with("env")) {
    return "";
  }
  inside = Trimmed(inside.substr(3));
  if (inside.size() < 2 || (inside.front() != '"' && inside.front() != '\'')) {
    return "";
  }
  const size_t end = inside.find(inside.front(), 1);
  const std::string_view name =
      end == std::string_view::npos ? std::string_view() : inside.substr(1, end - 1);
  return IsVariable(name) ? std::string(name) : "";
}

// A reference inside a value: the text that it is, and what it refers to.
struct Reference {
  size_t start = 0;
  size_t end = 0;
  std::string variable;
  std::string origin;
};

std::optional<Reference> DelimitedBy(std::string_view value, std::string_view open,
                                     std::string_view close) {
  const size_t start = value.find(open);
  if (start == std::string_view::npos) {
    return std::nullopt;
  }
  const size_t end = value.find(close, start + open.size());
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  return Reference{start, end + close.size(), "",
                   std::string(value.substr(start + open.size(), end - start - open.size()))};
}

std::optional<Reference> FindReference(std::string_view value) {
  if (std::optional<Reference> deck = DelimitedBy(value, "${{", "}}")) {
    deck->variable = DeckVariable(deck->origin);
    deck->origin =
        deck->variable.empty() ? absl::StrCat("the reference ", Quoted(deck->origin)) : "";
    return deck;
  }
  if (std::optional<Reference> vault = DelimitedBy(value, "{vault://", "}")) {
    // The vault "env" is the process's environment: {vault://env/my-key} is MY_KEY.
    if (vault->origin.starts_with("env/")) {
      std::string name = absl::AsciiStrToUpper(vault->origin.substr(4));
      std::replace(name.begin(), name.end(), '-', '_');
      vault->variable = IsVariable(name) ? name : "";
    }
    vault->origin = absl::StrCat("the vault ", Quoted(vault->origin));
    return vault;
  }
  if (std::optional<Reference> shell = DelimitedBy(value, "${", "}")) {
    if (IsVariable(shell->origin)) {
      shell->variable = std::exchange(shell->origin, "");
      return shell;
    }
  }
  return std::nullopt;
}

// "Basic ", a word and a blank.
bool IsScheme(std::string_view text) {
  return text.size() >= 2 && text.size() <= 32 && text.back() == ' ' &&
         std::all_of(text.begin(), text.end() - 1,
                     [](char c) { return absl::ascii_isalpha(static_cast<unsigned char>(c)); });
}

}  // namespace

KeySource ReadKeySource(std::string_view value, bool is_authorization) {
  KeySource source;
  if (is_authorization && value.size() > 7 &&
      absl::EqualsIgnoreCase(View(value.substr(0, 7)), "bearer ")) {
    value.remove_prefix(7);
  }
  source.identity = Sha256Hex(value);
  const std::optional<Reference> reference = FindReference(value);
  const std::string_view before = reference ? value.substr(0, reference->start) : value;
  const bool is_whole =
      reference && reference->end == value.size() && (before.empty() || IsScheme(before));
  if (!is_whole) {
    source.origin = "the imported file, in clear";
    return source;
  }
  source.scheme = std::string(before);
  source.variable = reference->variable;
  source.origin = reference->origin.empty()
                      ? absl::StrCat("the environment variable ", reference->variable)
                      : reference->origin;
  return source;
}

std::string SecretBook::Use(const std::vector<Key>& keys, std::string_view wished) {
  std::string identity;
  for (const Key& key : keys) {
    absl::StrAppend(&identity, key.key, "=", key.source.identity, "\n");
  }
  const auto known = names_.find(identity);
  if (known != names_.end()) {
    return known->second;
  }
  const std::string& variable = keys.front().source.variable;
  const bool is_called_after_it = keys.size() == 1 && !variable.empty();
  const std::string base = NameFrom(is_called_after_it ? variable : wished, "key");
  const std::string name = UniqueName(base, [this](const std::string& candidate) {
    return std::any_of(secrets_.begin(), secrets_.end(),
                       [&](const ImportedSecret& secret) { return secret.name == candidate; });
  });
  ImportedSecret secret;
  secret.name = name;
  for (const Key& key : keys) {
    std::string from = key.source.variable;
    if (from.empty()) {
      from = absl::AsciiStrToUpper(absl::StrCat(name, "_", key.key));
      std::replace_if(
          from.begin(), from.end(), [](char c) { return c == '-' || c == '.'; }, '_');
    }
    secret.keys.push_back({key.key, std::move(from), key.source.scheme, key.source.origin});
  }
  secrets_.push_back(std::move(secret));
  names_.emplace(identity, name);
  return name;
}

std::string NameFrom(std::string_view text, std::string_view fallback) {
  const std::string slug = resource::Slug(text, kMaxName);
  return slug.empty() ? std::string(fallback) : slug;
}

}  // namespace rota::importer
