# The training loop and its checkpoints.
target_sources(tidemill_nn PRIVATE fit.cpp checkpoint.cpp)
tidemill_test(nn_fit_test SOURCES fit_test.cpp fit_net_test.cpp checkpoint_test.cpp LIBS tidemill_nn)
tidemill_fuzz(checkpoint_fuzz SOURCE checkpoint_fuzz.cpp LIBS tidemill_nn
              CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/corpus/checkpoint)

# The step as it is planned on a processor without AVX-512, where oneDNN's own layouts are reordered around it.
add_test(NAME nn_avx2_test COMMAND nn_test --gtest_filter=TrainerTest.GradientsMatch*:TrainerTest.Continues*)
set_tests_properties(nn_avx2_test PROPERTIES ENVIRONMENT ONEDNN_MAX_CPU_ISA=AVX2 TIMEOUT 300 LABELS unit)
