# rota_library, rota_program, rota_test, rota_benchmark: the only ways a target is made here.
option(ROTA_WERROR "Treat warnings as errors" OFF)
set(ROTA_SANITIZE "" CACHE STRING "'address' (with undefined), 'thread' or 'fuzzer' (clang)")

find_program(ROTA_CCACHE ccache)
if(ROTA_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${ROTA_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${ROTA_CCACHE})
endif()
find_program(ROTA_MOLD mold)

execute_process(COMMAND git -C ${PROJECT_SOURCE_DIR} rev-parse --short=12 HEAD
  OUTPUT_VARIABLE ROTA_COMMIT OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT ROTA_COMMIT)
  set(ROTA_COMMIT unknown)
endif()

# Options of our own code, warnings included.
add_library(rota_options INTERFACE)
target_compile_features(rota_options INTERFACE cxx_std_20)
target_include_directories(rota_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(rota_options INTERFACE $<$<CXX_COMPILER_ID:GNU>:-fcoroutines> -Wall -Wextra -Wpedantic -Wconversion
  -Wshadow -Wnon-virtual-dtor -Wold-style-cast $<$<BOOL:${ROTA_WERROR}>:-Werror>)
target_link_libraries(rota_options INTERFACE Threads::Threads)
if(ROTA_SANITIZE STREQUAL "address")
  # No vptr check: a Beast translation unit would take 152 s instead of 36 s.
  add_compile_options(-fsanitize=address,undefined -fno-sanitize=vptr -fno-sanitize-recover=undefined
    -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(ROTA_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread)
  add_link_options(-fsanitize=thread)
elseif(ROTA_SANITIZE STREQUAL "fuzzer")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=address,undefined)
elseif(ROTA_SANITIZE)
  message(FATAL_ERROR "ROTA_SANITIZE is '${ROTA_SANITIZE}'; use 'address', 'thread' or 'fuzzer'")
endif()

# rota_library(NAME rotation SRCS a.cc DEPS rota::common [SYSTEM_DEPS lib...])
# Makes the static library rota_<NAME> with the alias rota::<NAME>. Headers need no listing.
function(rota_library)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  add_library(rota_${arg_NAME} STATIC ${arg_SRCS})
  add_library(rota::${arg_NAME} ALIAS rota_${arg_NAME})
  target_link_libraries(rota_${arg_NAME} PUBLIC rota_options ${arg_DEPS})
endfunction()

# What is shipped, a program of a release build, is linked by bfd, which keeps the code that only the start needs apart and
# packs relocations (glibc 2.36): 1 MiB less of an idle data plane is resident. It has to be told to keep a library that only
# another library asks for. The rest is linked by mold, in no time.
function(rota_link target)
  cmake_parse_arguments(arg "SHIPPED" "" "" ${ARGN})
  if(arg_SHIPPED AND CMAKE_BUILD_TYPE STREQUAL "Release")
    target_link_options(${target} PRIVATE -fuse-ld=bfd -Wl,--no-as-needed,-z,pack-relative-relocs)
  elseif(ROTA_MOLD)
    target_link_options(${target} PRIVATE -fuse-ld=mold)
  endif()
endfunction()

# rota_program(NAME rota-dataplane SRCS main.cc DEPS rota::engine)
function(rota_program)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE rota_options ${arg_DEPS})
  rota_link(${arg_NAME} SHIPPED)
endfunction()

# rota_test(NAME rotation_test SRCS rotation_test.cc DEPS rota::rotation LABEL unit|integration [NO_TSAN])
# NO_TSAN: links gRPC, which is not instrumented (docs/decisions). Such a test runs under ASan instead.
function(rota_test)
  cmake_parse_arguments(arg "NO_TSAN" "NAME;LABEL;TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(arg_NO_TSAN AND ROTA_SANITIZE STREQUAL "thread")
    return()
  endif()
  if(NOT arg_LABEL)
    set(arg_LABEL unit)
  endif()
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  add_executable(${arg_NAME} ${arg_SRCS})
  target_link_libraries(${arg_NAME} PRIVATE rota_options ${arg_DEPS} rota_test_paths GTest::gmock
    GTest::gtest_main)
  rota_link(${arg_NAME})
  add_test(NAME ${arg_NAME} COMMAND ${arg_NAME} WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  set_tests_properties(${arg_NAME} PROPERTIES LABELS ${arg_LABEL} TIMEOUT ${arg_TIMEOUT})
endfunction()

# rota_benchmark(NAME rotation_benchmark SRCS rotation_benchmark.cc DEPS rota::rotation)
# Built, never run by ctest: figures come from bench/run.
function(rota_benchmark)
  cmake_parse_arguments(arg "" "NAME" "SRCS;DEPS" ${ARGN})
  if(NOT ROTA_SANITIZE)
    rota_program(NAME ${arg_NAME} SRCS ${arg_SRCS} DEPS ${arg_DEPS} benchmark::benchmark)
  endif()
endfunction()
