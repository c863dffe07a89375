# neap_install(): what `cmake --install` puts in place.
#
#   lib/libneap.so*, lib/libneap.a
#   include/neap/*.h
#   lib/pkgconfig/neap.pc
#   lib/cmake/neap/     find_package(neap): neap::neap is the shared library, neap::static the other
#
# All paths inside the package are relative to where it lies, so that it may be moved or staged.

include(CMakePackageConfigHelpers)

function(neap_install)
    install(DIRECTORY "${PROJECT_SOURCE_DIR}/include/neap"
        DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h")
    if(NOT TARGET neap)
        return()
    endif()

    set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/neap")
    install(TARGETS neap EXPORT neap_targets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(FILES "${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/libneap.a"
        DESTINATION "${CMAKE_INSTALL_LIBDIR}")
    install(EXPORT neap_targets FILE neap-targets.cmake NAMESPACE neap::
        DESTINATION "${package_folder}")

    configure_package_config_file(
        "${PROJECT_SOURCE_DIR}/cmake/neap-config.cmake.in"
        "${PROJECT_BINARY_DIR}/neap-config.cmake"
        INSTALL_DESTINATION "${package_folder}"
        PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
    write_basic_package_version_file("${PROJECT_BINARY_DIR}/neap-config-version.cmake"
        COMPATIBILITY SameMinorVersion)
    install(FILES
        "${PROJECT_BINARY_DIR}/neap-config.cmake"
        "${PROJECT_BINARY_DIR}/neap-config-version.cmake"
        DESTINATION "${package_folder}")

    # From the folder of neap.pc up to the prefix.
    file(RELATIVE_PATH NEAP_PC_PREFIX
        "/prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/prefix")
    configure_file("${PROJECT_SOURCE_DIR}/cmake/neap.pc.in" "${PROJECT_BINARY_DIR}/neap.pc" @ONLY)
    install(FILES "${PROJECT_BINARY_DIR}/neap.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")
endfunction()
