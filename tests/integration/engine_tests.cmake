# The engine on real sockets, in one process with its upstreams and clients.
set(engine_tests ${CMAKE_CURRENT_LIST_DIR})
rota_library(NAME engine_test_support
  SRCS ${engine_tests}/engine_test_support.cc ${engine_tests}/engine_test_certificates.cc
  DEPS rota::engine rota::proto rota::test_certificates GTest::gtest)
foreach(name proxy input failover stream tls framing translate upstream_framing fault waiting early_answer)
  rota_test(NAME engine_${name}_test SRCS ${engine_tests}/engine_${name}_test.cc
    DEPS rota::engine_test_support LABEL integration)
endforeach()
target_link_libraries(engine_failover_test PRIVATE rota::coded_text)
rota_test(NAME engine_usage_test SRCS ${engine_tests}/engine_usage_test.cc
  DEPS rota::engine_test_support rota::gzip_text LABEL integration)

# Token services of clouds, with the same upstream and certificates.
rota_test(NAME cloud_fetch_test SRCS ${engine_tests}/cloud_fetch_test.cc
  DEPS rota::cloud rota::engine_test_support LABEL integration)
