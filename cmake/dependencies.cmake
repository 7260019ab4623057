# Libraries, each found once here and used by the folder that owns it (layers.txt).
# Debian packages: scripts/bootstrap installs them. ONNX Runtime is not in Debian:
# bootstrap unpacks it into .deps/onnxruntime.
#
# Static wherever Debian has an archive: half of the time that a command took was the loader's, for the symbols of
# twenty shared libraries; and the model server needs no library in its image but the C and C++ ones.
set(OPENSSL_USE_STATIC_LIBS TRUE)
set(ZLIB_USE_STATIC_LIBS TRUE)
find_package(Threads REQUIRED)
find_package(tl-expected REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(ZLIB REQUIRED)
find_package(Boost 1.81 REQUIRED)
find_package(GTest REQUIRED)
find_package(PkgConfig REQUIRED)

# tidemill_archive(<target> <library> ...): a library of Debian's as lib<library>.a, with those that it uses.
function(tidemill_archive target)
  add_library(${target} INTERFACE)
  foreach(library ${ARGN})
    find_library(${library}_archive NAMES lib${library}.a REQUIRED)
    mark_as_advanced(${library}_archive)
    target_link_libraries(${target} INTERFACE ${${library}_archive})
  endforeach()
endfunction()
tidemill_archive(tidemill_deflate deflate)
tidemill_archive(tidemill_libarchive archive nettle lzma bz2 zstd z)
tidemill_archive(tidemill_png png16 z)
tidemill_archive(tidemill_re2 re2)
tidemill_archive(tidemill_sqlite sqlite3)
tidemill_archive(tidemill_yaml yaml-cpp)
target_link_libraries(tidemill_png INTERFACE m)
target_link_libraries(tidemill_sqlite INTERFACE m ${CMAKE_DL_LIBS} Threads::Threads)

# fmt, of which Debian has no archive: its few functions that are not inline.
find_package(fmt REQUIRED)
file(CONFIGURE OUTPUT ${CMAKE_BINARY_DIR}/generated/fmt.cpp @ONLY CONTENT [[
#include <fmt/format-inl.h>
FMT_BEGIN_NAMESPACE
namespace detail {
template FMT_API auto dragonbox::to_decimal(float) noexcept -> dragonbox::decimal_fp<float>;
template FMT_API auto dragonbox::to_decimal(double) noexcept -> dragonbox::decimal_fp<double>;
template FMT_API auto thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template FMT_API auto decimal_point_impl(locale_ref) -> char;
template FMT_API void buffer<char>::append(const char*, const char*);
template FMT_API void vformat_to(buffer<char>&, string_view, basic_format_args<FMT_BUFFER_CONTEXT(char)>, locale_ref);
}
FMT_END_NAMESPACE
]])
add_library(tidemill_fmt STATIC ${CMAKE_BINARY_DIR}/generated/fmt.cpp)
target_compile_options(tidemill_fmt PRIVATE -w -ffunction-sections -fdata-sections)

# Only the headers: the library is loaded when it is needed (src/db/libpq.h).
find_path(TIDEMILL_LIBPQ_HEADERS libpq-fe.h PATH_SUFFIXES postgresql REQUIRED)
add_library(PostgreSQL::Headers INTERFACE IMPORTED)
target_include_directories(PostgreSQL::Headers INTERFACE ${TIDEMILL_LIBPQ_HEADERS})

set(TIDEMILL_DEPS_DIR ${CMAKE_SOURCE_DIR}/.deps CACHE PATH "Where scripts/bootstrap unpacks what Debian lacks")
set(TIDEMILL_ORT_DIR ${TIDEMILL_DEPS_DIR}/onnxruntime)
if(NOT EXISTS ${TIDEMILL_ORT_DIR}/include/onnxruntime_c_api.h)
  message(FATAL_ERROR "ONNX Runtime is not in ${TIDEMILL_ORT_DIR}. Run scripts/bootstrap first.")
endif()
