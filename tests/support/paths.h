#pragma once

// Where the sources are, for tests that read test data. In a translation unit of its own: no other
// object depends on where the checkout lies, so that the compiler cache serves every checkout.

#include <string>

namespace rota::test {

// The root of the checkout.
std::string SourceDir();

}  // namespace rota::test
