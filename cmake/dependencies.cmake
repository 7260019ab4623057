# Libraries, each found once here and used by the folder that owns it (layers.txt).
# Debian packages: scripts/bootstrap installs them. ONNX Runtime is not in Debian:
# bootstrap unpacks it into .deps/onnxruntime.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(yaml-cpp REQUIRED)
# Static: the model server then needs no library in its image but the C and C++ ones.
set(OPENSSL_USE_STATIC_LIBS TRUE)
find_package(OpenSSL REQUIRED)
find_package(SQLite3 REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(LIBDEFLATE REQUIRED IMPORTED_TARGET libdeflate)
# Not by pkg-config: its -pthread keeps the precompiled header from being used.
find_library(RE2_LIBRARY re2 REQUIRED)

# Only the headers: the library is loaded when it is needed (src/db/libpq.h).
find_path(TIDEMILL_LIBPQ_HEADERS libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
add_library(PostgreSQL::Headers INTERFACE IMPORTED)
target_include_directories(PostgreSQL::Headers INTERFACE ${TIDEMILL_LIBPQ_HEADERS})

set(TIDEMILL_DEPS_DIR ${CMAKE_SOURCE_DIR}/.deps CACHE PATH "Where scripts/bootstrap unpacks what Debian lacks")
set(TIDEMILL_ORT_DIR ${TIDEMILL_DEPS_DIR}/onnxruntime)
if(NOT EXISTS ${TIDEMILL_ORT_DIR}/include/onnxruntime_c_api.h)
  message(FATAL_ERROR "ONNX Runtime is not in ${TIDEMILL_ORT_DIR}. Run scripts/bootstrap first.")
endif()
