#include "controller/compile/api_body.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>

#include "common/hash.h"

namespace rota::compile {

std::shared_ptr<const ResourceBody> ApiBody(const rota::sync::v1::Api& api) {
  auto body = std::make_shared<ResourceBody>();
  {
    google::protobuf::io::StringOutputStream stream(&body->bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    api.SerializeToCodedStream(&coded);
  }
  body->hash = Hash64(body->bytes);
  return body;
}

}  // namespace rota::compile
