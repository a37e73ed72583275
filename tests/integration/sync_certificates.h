#pragma once

// Certificates made on the spot with the openssl program, laid out like a mounted Secret: files
// behind a symbolic link that is swapped in one step. Test code only.

#include <cstdlib>
#include <filesystem>
#include <string>

#include "common/file.h"
#include "gtest/gtest.h"

namespace rota::tests {

class TestCertificates {
 public:
  explicit TestCertificates(std::string directory) : directory_(std::move(directory)) {
    std::filesystem::remove_all(directory_);
    std::filesystem::create_directories(directory_);
  }
  ~TestCertificates() { std::filesystem::remove_all(directory_); }

  // A certification authority; returns its certificate file.
  std::string MakeAuthority(const std::string& name) {
    Make(name, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", "");
    return File(name, ".crt");
  }
  // A certificate of `authority`; `names` as in subjectAltName ("DNS:localhost,IP:127.0.0.1").
  void MakeCertificate(const std::string& authority, const std::string& name,
                       const std::string& names) {
    Make(name, "basicConstraints=critical,CA:FALSE\nsubjectAltName=" + names,
         " -CA '" + File(authority, ".crt") + "' -CAkey '" + File(authority, ".key") + "'");
  }
  std::string File(const std::string& name, const std::string& suffix) const {
    return directory_ + "/" + name + suffix;
  }

  // <mount>/tls.crt, tls.key and ca.crt show this certificate and authority from now on.
  void Mount(const std::string& mount, const std::string& certificate,
             const std::string& authority) {
    const std::string data = directory_ + "/" + mount + "-" + std::to_string(++mounts_);
    std::filesystem::create_directories(data);
    std::filesystem::copy_file(File(certificate, ".crt"), data + "/tls.crt");
    std::filesystem::copy_file(File(certificate, ".key"), data + "/tls.key");
    std::filesystem::copy_file(File(authority, ".crt"), data + "/ca.crt");
    const std::string link = directory_ + "/" + mount;
    std::filesystem::create_directory_symlink(data, link + ".new");
    std::filesystem::rename(link + ".new", link);
  }
  std::string Mounted(const std::string& mount, const std::string& file) const {
    return directory_ + "/" + mount + "/" + file;
  }

 private:
  void Make(const std::string& name, const std::string& extensions, const std::string& issuer) {
    const std::string config = File(name, ".cnf");
    ASSERT_TRUE(WriteFileAtomically(config,
                                    "[req]\ndistinguished_name=dn\nprompt=no\n"
                                    "x509_extensions=ext\n[dn]\nCN=" +
                                        name + "\n[ext]\n" + extensions + "\n")
                    .ok());
    const std::string command =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -config "
        "'" +
        config + "' -keyout '" + File(name, ".key") + "' -out '" + File(name, ".crt") + "'" +
        issuer + " 2> '" + File(name, ".log") + "'";
    ASSERT_EQ(std::system(command.c_str()), 0) << ReadFile(File(name, ".log")).value_or("");
  }

  const std::string directory_;
  int mounts_ = 0;
};

}  // namespace rota::tests
