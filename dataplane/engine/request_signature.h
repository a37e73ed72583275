#pragma once

// What a request to AWS is signed with, made from the bytes that are about to go out: the last
// thing before they do. Thread-compatible, as `keys` is.

#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "common/clock.h"
#include "dataplane/engine/message_writer.h"
#include "dataplane/provider/header_field.h"
#include "dataplane/provider/sigv4.h"

namespace rota::engine {

// The headers to be added (UpstreamRequest::signature); none when the endpoint's credential is of
// another kind. `body`: its pieces.
std::vector<provider::HeaderField> SignatureOf(const UpstreamRequest& request,
                                               absl::Span<const std::string_view> body,
                                               const Clock& clock, provider::SigningKeyCache& keys);

}  // namespace rota::engine
