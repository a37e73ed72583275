#include "controller/source/directory_objects.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/hash.h"

namespace rota::source {
namespace {

using resource::ObjectName;
using resource::SecretManifest;
using resource::SpecManifest;

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
    : version_key_(std::move(version_key)),
      namespaces_{ObjectKind::kNamespace, "Namespace", "namespace", &FileContent::namespaces,
                  &ObjectSink::OnNamespace},
      gateways_{ObjectKind::kGateway, "RotaGateway", "gateway", &FileContent::gateways,
                &ObjectSink::OnGateway},
      apis_{ObjectKind::kApi, "API", "api", &FileContent::apis, &ObjectSink::OnApi} {}

void DirectoryObjects::TakeIn(const DirectoryScan& scan, const std::string& file) {
  const auto found = scan.files().find(file);
  const FileContent none;
  const FileContent& content = found == scan.files().end() ? none : found->second;
  const bool is_gone = content.ticks_gone >= 0;
  for (SpecKind* kind : {&namespaces_, &gateways_, &apis_}) {
    kind->index.Set(file, is_gone, NamesOf(content.*kind->list), kind->touched);
  }
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
  for (const SpecKind* kind : {&namespaces_, &gateways_, &apis_}) {
    AddDuplicates(scan, kind->index, kind->list, kind->name, problems);
  }
  AddDuplicates(scan, secrets_, &FileContent::secrets, "Secret", problems);
  return problems;
}

void DirectoryObjects::TellKind(const DirectoryScan& scan, SpecKind& kind, ObjectSink& sink) {
  const std::set<ObjectName> touched = std::exchange(kind.touched, {});
  std::vector<ObjectKey> gone;
  for (const ObjectName& name : touched) {
    if (kind.index.Owner(name) == nullptr && kind.told.erase(name) > 0) {
      gone.push_back({kind.kind, name});
    }
  }
  if (!gone.empty()) {
    sink.OnGone(gone);
  }
  for (const ObjectName& name : touched) {
    if (const ObjectPlace* owner = kind.index.Owner(name)) {
      TellSpec(kind, ManifestAt(scan, kind.list, *owner), scan.PathOf(owner->file), sink);
    }
  }
}

std::vector<SourceProblem> DirectoryObjects::TellSpecs(const DirectoryScan& scan,
                                                       const std::set<std::string>& changed,
                                                       size_t max_problems, ObjectSink& sink) {
  for (const std::string& file : changed) {
    TakeIn(scan, file);
  }
  TellKind(scan, namespaces_, sink);
  TellKind(scan, gateways_, sink);
  TellKind(scan, apis_, sink);
  std::vector<SourceProblem> problems = Problems(scan);
  if (problems.size() > max_problems) {
    const size_t rest = problems.size() - max_problems;
    problems.resize(max_problems);
    problems.push_back({"", 0, absl::StrCat("and ", rest, " more problems")});
  }
  return problems;
}

void DirectoryObjects::TellSpec(SpecKind& kind, const SpecManifest& manifest,
                                const std::string& file, ObjectSink& sink) {
  const auto replace = nlohmann::json::error_handler_t::replace;
  const uint64_t spec_hash = Hash64(manifest.spec.dump(-1, ' ', false, replace));
  std::string place = absl::StrCat(file, "\n", manifest.bare_apk_conf ? 1 : 0);
  for (const auto& [pointer, line] : manifest.lines) {
    absl::StrAppend(&place, "\n", pointer, ":", line);
  }
  const uint64_t place_hash = Hash64(place);
  ToldSpec& told = kind.told[manifest.name];
  if (told.spec_hash == spec_hash && told.place_hash == place_hash) {
    return;
  }
  if (told.spec_hash != spec_hash) {
    told.generation = ++last_generation_;
  }
  told.spec_hash = spec_hash;
  told.place_hash = place_hash;
  SpecObject object;
  object.name = manifest.name;
  object.metadata.uid = UidOf(kind.uid_word, manifest.name);
  object.metadata.resource_version = absl::StrCat(absl::Hex(spec_hash));
  object.metadata.generation = told.generation;
  object.spec = manifest.spec;
  object.bare_apk_conf = manifest.bare_apk_conf;
  object.file = file;
  object.lines = manifest.lines;
  (sink.*kind.tell)(std::move(object));
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
