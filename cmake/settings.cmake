# One place for the language level, warnings, sanitizers and build speed.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
# -O2, not -O3: GCC 12 reports false -Wrestrict positives on plain strings at -O3.
# Kernels that gain from -O3 say so themselves (src/nn).
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
# What the sanitizers and fuzz targets are built with: lines for their reports, and a third of -O2 -g's compile time.
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # ccache accepts precompiled headers only with these relaxations.
  set(launcher ${CMAKE_COMMAND} -E env
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${CCACHE_PROGRAM})
  set(CMAKE_C_COMPILER_LAUNCHER ${launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${launcher})
endif()

find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

# What our own code is compiled with; libraries come in as SYSTEM.
add_library(tidemill_settings INTERFACE)
target_include_directories(tidemill_settings INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(tidemill_settings INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Wno-missing-field-initializers -ffunction-sections -fdata-sections
  # ccache needs -fpch-preprocess; GCC 12 sees uninitialised members in std::optional where there are none.
  "$<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess;-Wno-maybe-uninitialized>")
target_link_options(tidemill_settings INTERFACE -Wl,--gc-sections)
if(TIDEMILL_WERROR)
  target_compile_options(tidemill_settings INTERFACE -Werror)
endif()
if(TIDEMILL_SANITIZE)
  add_compile_options(-fsanitize=${TIDEMILL_SANITIZE} -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TIDEMILL_SANITIZE})
endif()
if(TIDEMILL_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
target_compile_definitions(tidemill_settings INTERFACE TIDEMILL_VERSION="${PROJECT_VERSION}")
