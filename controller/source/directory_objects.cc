#include "controller/source/directory_objects.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"

namespace rota::source {
namespace {

using resource::ApiManifest;
using resource::ObjectName;
using resource::SecretManifest;

// An object and the file that it is served from.
template <typename Manifest>
struct Owned {
  const Manifest* manifest = nullptr;
  std::string file;
};

// The objects of all files; of two with one name the first by file name counts. Vanished files come
// last and without a word.
template <typename Manifest>
std::map<ObjectName, Owned<Manifest>> Collect(const DirectoryScan& scan,
                                              std::vector<Manifest> FileContent::*list,
                                              const std::string& kind,
                                              std::vector<SourceProblem>& problems) {
  std::map<ObjectName, Owned<Manifest>> objects;
  for (const bool is_gone : {false, true}) {
    for (const auto& [name, content] : scan.files()) {
      if ((content.ticks_gone >= 0) != is_gone) {
        continue;
      }
      const std::string file = scan.PathOf(name);
      for (const Manifest& manifest : content.*list) {
        const auto [entry, is_new] =
            objects.try_emplace(manifest.name, Owned<Manifest>{&manifest, file});
        if (!is_new && !is_gone) {
          const Owned<Manifest>& owner = entry->second;
          problems.push_back({file, manifest.line,
                              absl::StrCat(kind, " ", manifest.name.ToString(), " is also in '",
                                           owner.file, "' line ", owner.manifest->line,
                                           ", which counts; remove one of them or rename it")});
        }
      }
    }
  }
  return objects;
}

std::string UidOf(const std::string& kind, const ObjectName& name) {
  return absl::StrCat("file:", kind, "/", name.ToString());
}

}  // namespace

DirectoryObjects::DirectoryObjects(SecretString version_key)
    : version_key_(std::move(version_key)) {}

std::vector<SourceProblem> DirectoryObjects::TellApis(const DirectoryScan& scan,
                                                      size_t max_problems, ObjectSink& sink) {
  std::vector<SourceProblem> problems = scan.problems();
  for (const auto& [name, content] : scan.files()) {
    problems.insert(problems.end(), content.problems.begin(), content.problems.end());
  }
  const auto apis = Collect(scan, &FileContent::apis, "API", problems);
  // Only for the problems: Secrets are told apart.
  Collect(scan, &FileContent::secrets, "Secret", problems);
  for (auto told = told_apis_.begin(); told != told_apis_.end();) {
    if (apis.count(told->first) > 0) {
      ++told;
      continue;
    }
    sink.OnDeleted({ObjectKind::kApi, told->first});
    told = told_apis_.erase(told);
  }
  for (const auto& [name, owned] : apis) {
    TellApi(*owned.manifest, owned.file, sink);
  }
  if (problems.size() > max_problems) {
    const size_t rest = problems.size() - max_problems;
    problems.resize(max_problems);
    problems.push_back({"", 0, absl::StrCat("and ", rest, " more problems")});
  }
  return problems;
}

void DirectoryObjects::TellApi(const ApiManifest& manifest, const std::string& file,
                               ObjectSink& sink) {
  const auto replace = nlohmann::json::error_handler_t::replace;
  const uint64_t spec_hash = Hash64(manifest.spec.dump(-1, ' ', false, replace));
  std::string place = absl::StrCat(file, "\n", manifest.bare_apk_conf ? 1 : 0);
  for (const auto& [pointer, line] : manifest.lines) {
    absl::StrAppend(&place, "\n", pointer, ":", line);
  }
  const uint64_t place_hash = Hash64(place);
  ToldApi& told = told_apis_[manifest.name];
  if (told.spec_hash == spec_hash && told.place_hash == place_hash) {
    return;
  }
  if (told.spec_hash != spec_hash) {
    told.generation = ++last_generation_;
  }
  told.spec_hash = spec_hash;
  told.place_hash = place_hash;
  ApiObject object;
  object.name = manifest.name;
  object.metadata.uid = UidOf("api", manifest.name);
  object.metadata.resource_version = absl::StrCat(absl::Hex(spec_hash));
  object.metadata.generation = told.generation;
  object.spec = manifest.spec;
  object.bare_apk_conf = manifest.bare_apk_conf;
  object.file = file;
  object.lines = manifest.lines;
  sink.OnApi(std::move(object));
}

std::string DirectoryObjects::VersionOf(const SecretObject& object) const {
  std::string content;
  for (const auto& [key, value] : object.data) {
    absl::StrAppend(&content, key.size(), ":", key, value.Reveal().size(), ":");
    content.append(value.Reveal());
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  HMAC(EVP_sha256(), version_key_.Reveal().data(), static_cast<int>(version_key_.Reveal().size()),
       reinterpret_cast<const unsigned char*>(content.data()), content.size(), digest, &size);
  WipeString(content);
  return HexEncode(std::string_view(reinterpret_cast<const char*>(digest), size)).substr(0, 32);
}

void DirectoryObjects::TellSecrets(const DirectoryScan& scan, const SecretReferences& references,
                                   ObjectSink& sink) {
  std::vector<SourceProblem> duplicates;  // told with the APIs
  const auto secrets = Collect(scan, &FileContent::secrets, "Secret", duplicates);
  std::erase_if(told_secrets_, [&](const auto& told) { return references.count(told.first) == 0; });
  for (const auto& [name, keys] : references) {
    const auto [told, is_new] = told_secrets_.try_emplace(name);
    const bool is_asked = is_new || told->second.keys != keys;
    told->second.keys = keys;
    const auto found = secrets.find(name);
    if (found == secrets.end()) {
      if (is_asked || !told->second.version.empty()) {
        told->second.version.clear();
        sink.OnDeleted({ObjectKind::kSecret, name});
      }
      continue;
    }
    SecretObject object;
    object.name = name;
    object.metadata.uid = UidOf("secret", name);
    for (const std::string& key : keys) {
      const auto value = found->second.manifest->data.find(key);
      if (value != found->second.manifest->data.end()) {
        object.data.emplace(key, value->second);
      }
    }
    object.metadata.resource_version = VersionOf(object);
    if (is_asked || told->second.version != object.metadata.resource_version) {
      told->second.version = object.metadata.resource_version;
      sink.OnSecret(std::move(object));
    }
  }
}

}  // namespace rota::source
