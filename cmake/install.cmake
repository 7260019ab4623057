# The programs find each other beside themselves, and ONNX Runtime in ../lib.
include(GNUInstallDirs)
install(TARGETS tidemill tidemill-serve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${TIDEMILL_ORT_DIR}/lib/libonnxruntime.so DESTINATION ${CMAKE_INSTALL_LIBDIR})
