#The engine on real sockets, in one process with its upstreams and clients.
set(engine_tests ${CMAKE_CURRENT_LIST_DIR}) rota_library(
    NAME engine_test_support SRCS ${engine_tests} / engine_test_support.cc ${engine_tests} /
    engine_test_certificates.cc DEPS rota::engine rota::proto GTest::gtest)
    rota_test(NAME engine_proxy_test SRCS ${engine_tests} /
              engine_proxy_test.cc DEPS rota::engine_test_support LABEL integration)
        rota_test(NAME engine_input_test SRCS ${engine_tests} /
                  engine_input_test.cc DEPS rota::engine_test_support LABEL integration)
            rota_test(NAME engine_failover_test SRCS ${engine_tests} /
                      engine_failover_test.cc DEPS rota::engine_test_support LABEL integration)
                rota_test(NAME engine_stream_test SRCS ${engine_tests} /
                          engine_stream_test.cc DEPS rota::engine_test_support LABEL integration)
                    rota_test(NAME engine_tls_test SRCS ${engine_tests} /
                              engine_tls_test.cc DEPS rota::engine_test_support LABEL integration)
