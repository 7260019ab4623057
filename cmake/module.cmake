# tidemill_module(<folder> SOURCES ... [HEADERS ...] [DEPS ...] [LIBS ...] [TESTS ...])
#   One folder under src/ is one static library tidemill_<folder>.
#   DEPS  other folders it may use; LIBS third-party targets, private to this folder's sources
#   TESTS test sources that lie beside the code: one GoogleTest program <folder>_test
#   DATABASES  the tests run on SQLite and, a second time, on PostgreSQL (tests/test_database.h)
function(tidemill_module name)
  cmake_parse_arguments(M "DATABASES" "" "SOURCES;DEPS;LIBS;PUBLIC_LIBS;TESTS;TEST_LIBS" ${ARGN})
  set(target tidemill_${name})
  add_library(${target} STATIC ${M_SOURCES})
  list(TRANSFORM M_DEPS PREPEND tidemill_)
  target_link_libraries(${target} PUBLIC tidemill_settings ${M_DEPS} ${M_PUBLIC_LIBS} PRIVATE ${M_LIBS})
  if(name STREQUAL base)
    target_precompile_headers(${target} PRIVATE ${CMAKE_SOURCE_DIR}/cmake/pch.h)
  else()
    target_precompile_headers(${target} REUSE_FROM tidemill_base)
  endif()
  if(M_TESTS)
    tidemill_test(${name}_test SOURCES ${M_TESTS} LIBS ${target} ${M_LIBS} ${M_TEST_LIBS})
  endif()
  if(M_DATABASES)
    target_link_libraries(${name}_test PRIVATE tidemill_test_database)
    add_test(NAME ${name}_test_postgres COMMAND ${name}_test --gtest_filter=-Sqlite*)
    set_tests_properties(${name}_test_postgres PROPERTIES TIMEOUT 300 LABELS unit
                         ENVIRONMENT TIDEMILL_TEST_DATABASE=postgres)
  endif()
endfunction()

# All that ctest runs under the labels unit and fuzz, with the programs these tests start.
add_custom_target(checks)
# The fuzz targets alone.
add_custom_target(fuzzers)

# tidemill_test(<name> SOURCES ... LIBS ...): a GoogleTest program run by ctest.
function(tidemill_test name)
  cmake_parse_arguments(T "" "TIMEOUT" "SOURCES;LIBS;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE ${T_LIBS} tidemill_settings GTest::gmock GTest::gtest GTest::gtest_main)
  target_precompile_headers(${name} REUSE_FROM tidemill_base)
  target_compile_definitions(${name} PRIVATE TIDEMILL_SOURCE_DIR="${CMAKE_SOURCE_DIR}" TIDEMILL_BINARY_DIR="${CMAKE_BINARY_DIR}")
  add_dependencies(checks ${name})
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300 LABELS "unit;${T_LABELS}")
endfunction()

# tidemill_fuzz(<name> SOURCE ... LIBS ... [CORPUS dir]): a libFuzzer target where the fuzz preset is
# used; everywhere else the same source is a test that replays its corpus.
function(tidemill_fuzz name)
  cmake_parse_arguments(F "" "SOURCE;CORPUS" "LIBS" ${ARGN})
  add_executable(${name} ${F_SOURCE})
  target_link_libraries(${name} PRIVATE ${F_LIBS} tidemill_settings)
  add_dependencies(checks ${name})
  add_dependencies(fuzzers ${name})
  if(TIDEMILL_FUZZ)
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
  else()
    target_sources(${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests/fuzz_replay.cpp)
    add_test(NAME ${name} COMMAND ${name} ${F_CORPUS})
    set_tests_properties(${name} PROPERTIES LABELS "fuzz" TIMEOUT 120)
  endif()
endfunction()
