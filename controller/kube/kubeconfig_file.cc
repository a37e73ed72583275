#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/file.h"
#include "common/status_macros.h"
#include "controller/kube/config.h"
#include "controller/kube/server_url.h"

namespace rota::kube {
namespace {

constexpr size_t kMaxKubeconfigBytes = size_t{4} << 20;

// One named entry of a kubeconfig and the folder that its relative paths start from.
struct Entry {
  std::string file;
  std::string folder;
  std::string what;  // "user \"admin\"", for messages
  YAML::Node value;
};

absl::Status Bad(const Entry& entry, std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("kubeconfig ", entry.file, ", ", entry.what, ": ", std::string(why)));
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string Text(const YAML::Node& map, const char* key) {
  const YAML::Node value = map[key];
  return value.IsDefined() && value.IsScalar() ? value.Scalar() : std::string();
}

bool Truth(const YAML::Node& map, const char* key) {
  const YAML::Node value = map[key];
  return value.IsDefined() && value.IsScalar() && value.as<bool>(false);
}

std::string Path(const Entry& entry, const std::string& path) {
  return path.empty() || path.front() == '/' ? path : absl::StrCat(entry.folder, "/", path);
}

absl::StatusOr<std::string> Base64(const Entry& entry, const char* key) {
  const std::string text = Text(entry.value, key);
  std::string decoded;
  if (!text.empty() && (!absl::Base64Unescape(text, &decoded) || decoded.empty())) {
    return Bad(entry, absl::StrCat(key, " is not base64"));
  }
  return decoded;
}

// The list `section` of the first file that has an entry `name`.
absl::StatusOr<Entry> Find(const std::vector<std::pair<std::string, YAML::Node>>& files,
                           const char* section, const char* member, const std::string& name) {
  for (const auto& [file, document] : files) {
    const YAML::Node list = document[section];
    if (!list.IsDefined() || !list.IsSequence()) {
      continue;
    }
    for (const YAML::Node& item : list) {
      if (item.IsMap() && Text(item, "name") == name && item[member].IsDefined()) {
        Entry entry{file, FolderOf(file), absl::StrCat(member, " \"", name, "\""), item[member]};
        if (entry.value.IsNull()) {
          entry.value = YAML::Node(YAML::NodeType::Map);
        }
        if (!entry.value.IsMap()) {
          return Bad(entry, "it is not a mapping");
        }
        return entry;
      }
    }
  }
  return absl::InvalidArgumentError(absl::StrCat("kubeconfig ", files.front().first, ": no ",
                                                 member, " named \"", name, "\" under ", section));
}

absl::Status ReadCluster(const Entry& entry, ClientConfig& config) {
  if (!Text(entry.value, "proxy-url").empty()) {
    return Bad(entry, "proxy-url is not supported; connect to the API server directly");
  }
  absl::StatusOr<ServerUrl> url = ParseServerUrl(Text(entry.value, "server"));
  if (!url.ok()) {
    return Bad(entry, std::string(url.status().message()));
  }
  config.tls = url->tls;
  config.host = url->host;
  config.port = url->port;
  config.path_prefix = url->path_prefix;
  config.tls_server_name = Text(entry.value, "tls-server-name");
  config.insecure_skip_tls_verify = Truth(entry.value, "insecure-skip-tls-verify");
  ASSIGN_OR_RETURN(config.ca_data, Base64(entry, "certificate-authority-data"));
  if (config.ca_data.empty()) {
    config.ca_file = Path(entry, Text(entry.value, "certificate-authority"));
  }
  if (config.insecure_skip_tls_verify && !(config.ca_data.empty() && config.ca_file.empty())) {
    return Bad(entry, "certificate-authority and insecure-skip-tls-verify exclude each other");
  }
  return absl::OkStatus();
}

absl::Status ReadExec(const Entry& entry, const YAML::Node& node, ClientConfig& config) {
  ExecPlugin exec;
  exec.api_version = Text(node, "apiVersion");
  if (exec.api_version != "client.authentication.k8s.io/v1" &&
      exec.api_version != "client.authentication.k8s.io/v1beta1") {
    return Bad(entry,
               absl::StrCat("exec.apiVersion is \"", exec.api_version,
                            "\"; supported are client.authentication.k8s.io/v1 and v1beta1"));
  }
  exec.command = Text(node, "command");
  if (exec.command.empty()) {
    return Bad(entry, "exec.command is missing");
  }
  // Like a shell: a name is looked up in PATH, a path with a slash starts at the kubeconfig's
  // folder.
  if (exec.command.find('/') != std::string::npos) {
    exec.command = Path(entry, exec.command);
  }
  const std::string interactive = Text(node, "interactiveMode");
  if (interactive == "Always") {
    return Bad(entry, "exec.interactiveMode is Always; a server process has no terminal");
  }
  if (exec.api_version.ends_with("/v1") && interactive.empty()) {
    return Bad(entry, "exec.interactiveMode is missing; v1 requires Never or IfAvailable");
  }
  exec.install_hint = Text(node, "installHint");
  exec.provide_cluster_info = Truth(node, "provideClusterInfo");
  const YAML::Node args = node["args"];
  if (args.IsDefined() && args.IsSequence()) {
    for (const YAML::Node& arg : args) {
      exec.args.push_back(arg.as<std::string>(""));
    }
  }
  const YAML::Node env = node["env"];
  if (env.IsDefined() && env.IsSequence()) {
    for (const YAML::Node& pair : env) {
      if (!pair.IsMap() || Text(pair, "name").empty()) {
        return Bad(entry, "exec.env must be a list of {name, value}");
      }
      exec.env.emplace_back(Text(pair, "name"), Text(pair, "value"));
    }
  }
  config.exec = std::move(exec);
  return absl::OkStatus();
}

absl::Status ReadUser(const Entry& entry, ClientConfig& config) {
  const YAML::Node& user = entry.value;
  if (user["auth-provider"].IsDefined()) {
    return Bad(entry, "auth-provider is not supported (it was removed from Kubernetes); use exec");
  }
  if (!Text(user, "username").empty() || !Text(user, "password").empty()) {
    return Bad(entry,
               "username and password are not supported (the API server has not accepted them "
               "since 1.19); use a token, a client certificate or exec");
  }
  for (const char* key : {"as", "as-uid", "as-groups", "as-user-extra"}) {
    if (user[key].IsDefined()) {
      return Bad(entry, absl::StrCat(key,
                                     " (impersonation) is not supported; use a credential of "
                                     "the account itself"));
    }
  }
  config.token = SecretString(Text(user, "token"));
  config.token_file = Path(entry, Text(user, "tokenFile"));
  ASSIGN_OR_RETURN(config.client_certificate_data, Base64(entry, "client-certificate-data"));
  ASSIGN_OR_RETURN(std::string key, Base64(entry, "client-key-data"));
  config.client_key_data = SecretString(key);
  WipeString(key);
  if (config.client_certificate_data.empty()) {
    config.client_certificate_file = Path(entry, Text(user, "client-certificate"));
  }
  if (config.client_key_data.empty()) {
    config.client_key_file = Path(entry, Text(user, "client-key"));
  }
  const bool has_certificate =
      !config.client_certificate_data.empty() || !config.client_certificate_file.empty();
  const bool has_key = !config.client_key_data.empty() || !config.client_key_file.empty();
  if (has_certificate != has_key) {
    return Bad(entry, has_certificate ? "client-certificate without client-key"
                                      : "client-key without client-certificate");
  }
  const YAML::Node exec = user["exec"];
  if (exec.IsDefined() && exec.IsMap()) {
    return ReadExec(entry, exec, config);
  }
  return absl::OkStatus();
}

absl::StatusOr<ClientConfig> Assemble(
    const std::vector<std::pair<std::string, YAML::Node>>& files) {
  std::string current;
  for (const auto& [file, document] : files) {
    current = Text(document, "current-context");
    if (!current.empty()) {
      break;
    }
  }
  if (current.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("kubeconfig ", files.front().first,
                     ": current-context is not set; run kubectl config use-context NAME"));
  }
  ASSIGN_OR_RETURN(const Entry context, Find(files, "contexts", "context", current));
  ClientConfig config;
  config.origin = absl::StrCat("kubeconfig ", context.file, ", context ", current);
  ASSIGN_OR_RETURN(const Entry cluster,
                   Find(files, "clusters", "cluster", Text(context.value, "cluster")));
  RETURN_IF_ERROR(ReadCluster(cluster, config));
  if (const std::string name = Text(context.value, "user"); !name.empty()) {
    ASSIGN_OR_RETURN(const Entry user, Find(files, "users", "user", name));
    RETURN_IF_ERROR(ReadUser(user, config));
    if (!config.tls && config.has_credential()) {
      return Bad(user, absl::StrCat("it has a credential and the server is ", config.server(),
                                    "; a credential is never sent over plain http, use https"));
    }
  }
  if (const std::string ns = Text(context.value, "namespace"); !ns.empty()) {
    config.default_namespace = ns;
  }
  return config;
}

}  // namespace

absl::StatusOr<ClientConfig> LoadKubeconfig(const std::vector<std::string>& paths) {
  std::vector<std::pair<std::string, YAML::Node>> files;
  std::string current = "";
  try {
    for (const std::string& path : paths) {
      current = path;
      absl::StatusOr<std::string> text = ReadFile(path, kMaxKubeconfigBytes);
      if (absl::IsNotFound(text.status())) {
        continue;
      }
      RETURN_IF_ERROR(text.status());
      YAML::Node document = YAML::Load(*text);
      WipeString(*text);
      if (!document.IsMap()) {
        return absl::InvalidArgumentError(
            absl::StrCat("kubeconfig ", path, ": it is not a YAML mapping"));
      }
      files.emplace_back(path, document);
    }
    if (files.empty()) {
      return absl::NotFoundError(absl::StrCat("no kubeconfig at ", absl::StrJoin(paths, ", "),
                                              "; the file does not exist"));
    }
    return Assemble(files);
  } catch (const YAML::Exception& error) {
    // Only the place: the parser's text may quote the line, and lines hold credentials.
    return absl::InvalidArgumentError(absl::StrCat("kubeconfig ", current, ", line ",
                                                   error.mark.line + 1, ": it is not valid YAML"));
  }
}

}  // namespace rota::kube
