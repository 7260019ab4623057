# The programs find each other beside themselves, and ONNX Runtime in ../lib.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(TARGETS tidemill tidemill-serve RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES ${TIDEMILL_ORT_DIR}/lib/libonnxruntime.so DESTINATION ${CMAKE_INSTALL_LIBDIR})

# find_package(Tidemill) gives Tidemill::tidemill, the SDK. `cmake --install build/release --component sdk` installs it alone.
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/Tidemill)
install(TARGETS tidemill_package EXPORT TidemillTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sdk
        INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/tidemill DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk)
install(EXPORT TidemillTargets NAMESPACE Tidemill:: DESTINATION ${package_dir} COMPONENT sdk)
configure_package_config_file(cmake/TidemillConfig.cmake.in ${CMAKE_BINARY_DIR}/package/TidemillConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/package/TidemillConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/package/TidemillConfig.cmake ${CMAKE_BINARY_DIR}/package/TidemillConfigVersion.cmake
        DESTINATION ${package_dir} COMPONENT sdk)
