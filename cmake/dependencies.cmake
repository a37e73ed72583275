# The libraries that Rota is built on, as imported targets. Names on the left are ours where Debian's
# package has no CMake target of its own.
option(ROTA_STATIC_GRPC "Link gRPC, protobuf, abseil and yaml-cpp from their static archives" OFF)

set(CMAKE_THREAD_PREFER_PTHREAD ON)
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(absl REQUIRED)
find_package(fmt REQUIRED)
find_package(spdlog REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(prometheus-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(Boost 1.81 REQUIRED)

# httplib's ABI depends on the defines that its pkg-config file names.
pkg_check_modules(HTTPLIB REQUIRED IMPORTED_TARGET cpp-httplib)
add_library(rota_httplib INTERFACE)
target_link_libraries(rota_httplib INTERFACE PkgConfig::HTTPLIB)

find_program(ROTA_PROTOC protoc REQUIRED)
find_program(ROTA_GRPC_PLUGIN grpc_cpp_plugin REQUIRED)

add_library(rota_protobuf INTERFACE)
add_library(rota_grpc INTERFACE)
add_library(rota_yaml INTERFACE)
if(ROTA_STATIC_GRPC)
  # OpenSSL stays shared: Debian's cpp-httplib links the shared one, and two copies in one process
  # is a trap. zlib is shared for the same reason.
  pkg_check_modules(GRPC_STATIC REQUIRED grpc++)
  set(grpc_archives)
  set(grpc_shared)
  foreach(name IN LISTS GRPC_STATIC_STATIC_LIBRARIES)
    if(name MATCHES "^(ssl|crypto|z|dl|m|rt|pthread|systemd|cap)$")
      list(APPEND grpc_shared ${name})
    elseif(EXISTS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/lib${name}.a)
      list(APPEND grpc_archives /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/lib${name}.a)
    endif()
  endforeach()
  list(REMOVE_DUPLICATES grpc_archives)
  set(lib /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE})
  target_link_libraries(rota_protobuf INTERFACE ${lib}/libprotobuf.a Threads::Threads ZLIB::ZLIB)
  target_link_libraries(rota_grpc INTERFACE -Wl,--start-group ${grpc_archives} -Wl,--end-group
    rota_protobuf OpenSSL::SSL OpenSSL::Crypto ZLIB::ZLIB ${CMAKE_DL_LIBS} Threads::Threads)
  target_link_libraries(rota_yaml INTERFACE ${lib}/libyaml-cpp.a)
  # Debian's abseil targets name the shared libraries; gRPC's archives pull in the static ones. One
  # process must not hold two copies. (mold, unlike bfd, does not mind the order of archives.)
  find_program(ROTA_MOLD mold REQUIRED)
  get_directory_property(imported IMPORTED_TARGETS)
  foreach(target IN LISTS imported)
    if(target MATCHES "^absl::(.*)$" AND EXISTS ${lib}/libabsl_${CMAKE_MATCH_1}.a)
      set_target_properties(${target} PROPERTIES
        IMPORTED_LOCATION_NONE ${lib}/libabsl_${CMAKE_MATCH_1}.a
        IMPORTED_LOCATION ${lib}/libabsl_${CMAKE_MATCH_1}.a)
    endif()
  endforeach()
else()
  find_library(PROTOBUF_SHARED protobuf REQUIRED)
  pkg_check_modules(GRPCPP REQUIRED IMPORTED_TARGET grpc++)
  pkg_check_modules(YAMLCPP REQUIRED IMPORTED_TARGET yaml-cpp)
  target_link_libraries(rota_protobuf INTERFACE ${PROTOBUF_SHARED} Threads::Threads)
  target_link_libraries(rota_grpc INTERFACE PkgConfig::GRPCPP rota_protobuf)
  target_link_libraries(rota_yaml INTERFACE PkgConfig::YAMLCPP)
endif()
