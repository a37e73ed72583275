#pragma once

// Who a TLS server has to be: the name or the address that its certificate must hold (RFC 6125),
// and the name that it is asked for in the clear (SNI, RFC 6066 section 3: names only).
//
// Thread-safe (no state). False: out of memory, and nothing is verified; use no such connection.

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <string>

#include "common/address.h"

namespace rota {

inline bool ExpectServerName(X509_VERIFY_PARAM* parameters, const std::string& host) {
  X509_VERIFY_PARAM_set_hostflags(parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const int set = IsAddress(host) ? X509_VERIFY_PARAM_set1_ip_asc(parameters, host.c_str())
                                  : X509_VERIFY_PARAM_set1_host(parameters, host.c_str(), 0);
  return set == 1;
}

// Of a client's connection, before its handshake.
inline bool ExpectServer(SSL* ssl, const std::string& host) {
  // The macro for this casts in a way that our warnings refuse.
  return ExpectServerName(SSL_get0_param(ssl), host) &&
         (IsAddress(host) || SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                                      const_cast<char*>(host.c_str())) == 1);
}

}  // namespace rota
