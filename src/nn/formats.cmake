# File formats of a trained model, a library of its own: it needs protobuf, the trainer does not.
add_library(tidemill_nn_formats STATIC export_onnx.cpp onnx_graph.cpp pth.cpp safetensors.cpp tensorboard.cpp)
target_link_libraries(tidemill_nn_formats PUBLIC tidemill_settings tidemill_base PRIVATE tidemill_proto ZLIB::ZLIB)
target_precompile_headers(tidemill_nn_formats REUSE_FROM tidemill_base)

tidemill_test(nn_formats_test SOURCES formats_test.cpp safetensors_test.cpp LIBS tidemill_nn_formats)
tidemill_fuzz(safetensors_fuzz SOURCE safetensors_fuzz.cpp LIBS tidemill_nn_formats
              CORPUS ${CMAKE_CURRENT_SOURCE_DIR}/corpus/safetensors)
