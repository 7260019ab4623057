# The training loop and its checkpoints.
target_sources(tidemill_nn PRIVATE fit.cpp checkpoint.cpp)
tidemill_test(nn_fit_test SOURCES fit_test.cpp fit_net_test.cpp checkpoint_test.cpp LIBS tidemill_nn)
tidemill_fuzz(checkpoint_fuzz SOURCE checkpoint_fuzz.cpp LIBS tidemill_nn
              CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/corpus/checkpoint)
