# Tests are programs, one a file, each with its own place in ctest.
#
# neap_test(NAME group.name SOURCES file... [LAYERS layer...] [LIBRARIES target...]
#           [TIMEOUT seconds])
#     A cmocka program, linked with the objects of the layers it names and no others: a call of
#     anything else is "undefined reference". The layer "os_fake" stands for tests/unit/os_fake.c,
#     which takes the place of os.
#
# neap_unit_tests(layer)
#     Each tests/unit/<layer>/<file>_test.c becomes the test <layer>.<file>, linked with its layer
#     and what that needs, on the fake os if the layer stands on os.

find_package(PkgConfig REQUIRED)
pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)

if(NEAP_COVERAGE)
    add_library(np_coverage OBJECT "${PROJECT_SOURCE_DIR}/tests/coverage/exit.c")
endif()

set(NEAP_OS_FAKE_SOURCE "${PROJECT_SOURCE_DIR}/tests/unit/os_fake.c")
add_library(np_os_fake_headers INTERFACE)
target_compile_options(np_os_fake_headers
    INTERFACE "SHELL:-iquote ${PROJECT_SOURCE_DIR}/tests/unit")
if(EXISTS "${NEAP_OS_FAKE_SOURCE}")
    add_library(np_os_fake OBJECT "${NEAP_OS_FAKE_SOURCE}")
    target_link_libraries(np_os_fake
        PRIVATE np_layer_flags np_os_fake_headers np_os_headers np_base_headers)
endif()

function(neap_test)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "NAME;TIMEOUT" "SOURCES;LAYERS;LIBRARIES")
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 300) # a hang is found; a busy machine and a sanitizer are let pass
    endif()
    if(CMAKE_CROSSCOMPILING_EMULATOR)
        math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 10")
    endif()
    string(REPLACE "." "_" target "test_${arg_NAME}")
    add_executable(${target} ${arg_SOURCES})
    foreach(layer IN LISTS arg_LAYERS)
        target_link_libraries(${target} PRIVATE np_${layer}_headers)
        if(TARGET np_${layer})
            target_sources(${target} PRIVATE $<TARGET_OBJECTS:np_${layer}>)
        endif()
        if(layer STREQUAL "os_fake")
            target_link_libraries(${target} PRIVATE np_os_headers)
        endif()
    endforeach()
    target_compile_definitions(${target} PRIVATE NP_DEBUG_LEVEL=${NEAP_AUDIT_LEVEL})
    target_link_libraries(${target}
        PRIVATE np_flags ${arg_LIBRARIES} PkgConfig::CMOCKA Threads::Threads)
    if(NEAP_COVERAGE)
        target_sources(${target} PRIVATE $<TARGET_OBJECTS:np_coverage>)
        target_link_options(${target} PRIVATE LINKER:--wrap=_exit LINKER:--wrap=abort)
    endif()
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/tests")
    add_test(NAME ${arg_NAME} COMMAND ${target})
    set_tests_properties(${arg_NAME} PROPERTIES TIMEOUT ${arg_TIMEOUT} SKIP_RETURN_CODE 77)
endfunction()

function(neap_unit_tests layer)
    file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/tests/unit/${layer}/*_test.c")
    if(NOT NEAP_IS_GLIBC)
        # Compares the numbers of mallopt with glibc's.
        list(FILTER sources EXCLUDE REGEX "/tune/tune_test\\.c$")
    endif()
    if(NOT sources)
        return()
    endif()
    neap_layer_closure(layers ${layer})
    if(NOT layer STREQUAL "os" AND "os" IN_LIST layers)
        list(TRANSFORM layers REPLACE "^os$" "os_fake")
    endif()
    foreach(source IN LISTS sources)
        get_filename_component(file "${source}" NAME_WE)
        string(REGEX REPLACE "_test$" "" file "${file}")
        neap_test(NAME ${layer}.${file} SOURCES "${source}" LAYERS ${layers})
    endforeach()
endfunction()
