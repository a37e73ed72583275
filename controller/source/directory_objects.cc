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

template <typename Manifest>
std::vector<ObjectName> NamesOf(const std::vector<Manifest>& manifests) {
  std::vector<ObjectName> names;
  names.reserve(manifests.size());
  for (const Manifest& manifest : manifests) {
    names.push_back(manifest.name);
  }
  return names;
}

template <typename Manifest>
const Manifest& ManifestAt(const DirectoryScan& scan, std::vector<Manifest> FileContent::*list,
                           const ObjectPlace& place) {
  return (scan.files().at(place.file).*list)[place.position];
}

template <typename Manifest>
void AddDuplicates(const DirectoryScan& scan, const ObjectIndex& index,
                   std::vector<Manifest> FileContent::*list, const std::string& kind,
                   std::vector<SourceProblem>& problems) {
  for (const auto& [place, name] : index.Duplicates()) {
    const ObjectPlace& owner = *index.Owner(name);
    problems.push_back(
        {scan.PathOf(place.file), ManifestAt(scan, list, place).line,
         absl::StrCat(kind, " ", name.ToString(), " is also in '", scan.PathOf(owner.file),
                      "' line ", ManifestAt(scan, list, owner).line,
                      ", which counts; remove one of them or rename it")});
  }
}

std::string UidOf(const std::string& kind, const ObjectName& name) {
  return absl::StrCat("file:", kind, "/", name.ToString());
}

}  // namespace

DirectoryObjects::DirectoryObjects(SecretString version_key)
    : version_key_(std::move(version_key)) {}

void DirectoryObjects::TakeIn(const DirectoryScan& scan, const std::string& file,
                              std::set<ObjectName>& touched_apis) {
  const auto found = scan.files().find(file);
  const FileContent none;
  const FileContent& content = found == scan.files().end() ? none : found->second;
  const bool is_gone = content.ticks_gone >= 0;
  apis_.Set(file, is_gone, NamesOf(content.apis), touched_apis);
  secrets_.Set(file, is_gone, NamesOf(content.secrets), touched_secrets_);
  if (content.problems.empty()) {
    files_with_problems_.erase(file);
  } else {
    files_with_problems_.insert(file);
  }
}

std::vector<SourceProblem> DirectoryObjects::Problems(const DirectoryScan& scan) const {
  std::vector<SourceProblem> problems = scan.problems();
  for (const std::string& file : files_with_problems_) {
    const std::vector<SourceProblem>& of_file = scan.files().at(file).problems;
    problems.insert(problems.end(), of_file.begin(), of_file.end());
  }
  AddDuplicates(scan, apis_, &FileContent::apis, "API", problems);
  AddDuplicates(scan, secrets_, &FileContent::secrets, "Secret", problems);
  return problems;
}

std::vector<SourceProblem> DirectoryObjects::TellApis(const DirectoryScan& scan,
                                                      const std::set<std::string>& changed,
                                                      size_t max_problems, ObjectSink& sink) {
  std::set<ObjectName> touched;
  for (const std::string& file : changed) {
    TakeIn(scan, file, touched);
  }
  std::vector<ObjectKey> gone;
  for (const ObjectName& name : touched) {
    if (apis_.Owner(name) == nullptr && told_apis_.erase(name) > 0) {
      gone.push_back({ObjectKind::kApi, name});
    }
  }
  if (!gone.empty()) {
    sink.OnGone(gone);
  }
  for (const ObjectName& name : touched) {
    if (const ObjectPlace* owner = apis_.Owner(name)) {
      TellApi(ManifestAt(scan, &FileContent::apis, *owner), scan.PathOf(owner->file), sink);
    }
  }
  std::vector<SourceProblem> problems = Problems(scan);
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
  for (const ObjectName& name : std::exchange(touched_secrets_, {})) {
    if (const auto wanted = references.find(name); wanted != references.end()) {
      TellSecret(scan, name, wanted->second, sink);
    }
  }
}

void DirectoryObjects::TellReferences(const DirectoryScan& scan, const SecretReferences& references,
                                      ObjectSink& sink) {
  std::erase_if(told_secrets_, [&](const auto& told) { return references.count(told.first) == 0; });
  for (const auto& [name, keys] : references) {
    const auto told = told_secrets_.find(name);
    const bool is_asked = told == told_secrets_.end() || told->second.keys != keys;
    if (is_asked || touched_secrets_.count(name) > 0) {
      TellSecret(scan, name, keys, sink);
    }
  }
  touched_secrets_.clear();
}

void DirectoryObjects::TellSecret(const DirectoryScan& scan, const ObjectName& name,
                                  const std::set<std::string>& keys, ObjectSink& sink) {
  const auto [told, is_new] = told_secrets_.try_emplace(name);
  const bool is_asked = is_new || told->second.keys != keys;
  told->second.keys = keys;
  const ObjectPlace* owner = secrets_.Owner(name);
  if (owner == nullptr) {
    if (is_asked || !told->second.version.empty()) {
      told->second.version.clear();
      sink.OnDeleted({ObjectKind::kSecret, name});
    }
    return;
  }
  const SecretManifest& manifest = ManifestAt(scan, &FileContent::secrets, *owner);
  SecretObject object;
  object.name = name;
  object.metadata.uid = UidOf("secret", name);
  for (const std::string& key : keys) {
    const auto value = manifest.data.find(key);
    if (value != manifest.data.end()) {
      object.data.emplace(key, value->second);
    }
  }
  object.metadata.resource_version = VersionOf(object);
  if (is_asked || told->second.version != object.metadata.resource_version) {
    told->second.version = object.metadata.resource_version;
    sink.OnSecret(std::move(object));
  }
}

}  // namespace rota::source
