#pragma once

// Certificates made on the spot, as files laid out like a mounted Secret: behind a symbolic link
// that is swapped in one step. Test code only.

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/file.h"
#include "gtest/gtest.h"
#include "tests/support/certificates.h"

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
    Write(name, authorities_[name] = testing::MakeAuthority(name));
    return File(name, ".crt");
  }
  // A certificate of `authority`; `names` as testing::MakeCertificate wants them.
  void MakeCertificate(const std::string& authority, const std::string& name,
                       const std::vector<std::string>& names) {
    Write(name, testing::MakeCertificate(authorities_.at(authority), name, "", names));
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
  void Write(const std::string& name, const testing::KeyPair& pair) const {
    ASSERT_TRUE(WriteFileAtomically(File(name, ".crt"), pair.certificate).ok());
    ASSERT_TRUE(WriteFileAtomically(File(name, ".key"), pair.key).ok());
  }

  const std::string directory_;
  std::map<std::string, testing::KeyPair> authorities_;
  int mounts_ = 0;
};

}  // namespace rota::tests
