# neap_library(): libneap.so and libneap.a from the objects of all layers.
#
# Both export what cmake/exports.map names. Nothing is made as long as the entry layer, which alone
# exports, does not exist.

include(CheckLinkerFlag)

set(NEAP_EXPORTS_MAP "${PROJECT_SOURCE_DIR}/cmake/exports.map")
set(NEAP_SELDOM_SCRIPT "${PROJECT_SOURCE_DIR}/cmake/seldom.ld")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${NEAP_EXPORTS_MAP}")
if(CMAKE_SIZEOF_VOID_P EQUAL 4 OR NEAP_COVERAGE)
    file(READ "${NEAP_EXPORTS_MAP}" map)
    if(CMAKE_SIZEOF_VOID_P EQUAL 4)
        # The names of C++ say what size_t is: an unsigned long there, an unsigned int here.
        string(REGEX REPLACE "(_Zn[aw]|_Zd[al]Pv)m" "\\1j" map "${map}")
    endif()
    if(NEAP_COVERAGE)
        string(REPLACE "global:" "global:\n    neap_coverage_dump;" map "${map}")
    endif()
    set(NEAP_EXPORTS_MAP "${PROJECT_BINARY_DIR}/exports.map")
    file(WRITE "${NEAP_EXPORTS_MAP}" "${map}")
endif()

# The names in exports.map, one a line, as objcopy wants them.
function(neap_write_exported_names file)
    file(STRINGS "${NEAP_EXPORTS_MAP}" lines REGEX "^ *[A-Za-z_][A-Za-z0-9_]*;")
    set(names "")
    foreach(line IN LISTS lines)
        string(REGEX REPLACE "[ ;]" "" name "${line}")
        string(APPEND names "${name}\n")
    endforeach()
    file(WRITE "${file}" "${names}")
endfunction()

# operators.cc would have libstdc++ linked in; a C program has none.
set(CMAKE_CXX_IMPLICIT_LINK_LIBRARIES "")

# Asks the linker, and takes a warning for a no: lld warns of what it does not know, and goes on.
function(neap_check_linker option result)
    check_linker_flag(C "LINKER:--fatal-warnings,${option}" ${result})
endfunction()

# The linker may know packed relocations and the libc it links for not: musl 1.2.3, for one, would
# leave them as they are, and crash. glibc says at load time that it lacks them.
function(neap_check_packed_relocations)
    if(NEAP_IS_GLIBC)
        neap_check_linker(-z,pack-relative-relocs NEAP_HAS_PACKED_RELOCATIONS)
    endif()
endfunction()

# Not every linker can insert a section into the layout that it has by itself, or puts it where it
# is to be, or puts code next to constants; without that the library is as good, on a few pages
# more.
function(neap_check_order)
    # Only the check asserts the place: GNU's ld cannot where it optimises across files.
    set(script "${PROJECT_BINARY_DIR}/seldom_is_last.ld")
    file(READ "${NEAP_SELDOM_SCRIPT}" text)
    file(WRITE "${script}" "${text}"
        "ASSERT(ADDR(.text.seldom) > ADDR(.text), \"what is seldom called does not lie last\")\n")
    neap_check_linker("--script=${script}" NEAP_CAN_ORDER)
    neap_check_linker(-z,noseparate-code NEAP_CAN_JOIN)
endfunction()

function(neap_shared_library)
    add_library(neap SHARED ${ARGN})
    target_link_libraries(neap PRIVATE ${NEAP_ATOMIC_ARCHIVE})
    add_library(neap::neap ALIAS neap)
    set_target_properties(neap PROPERTIES
        LINKER_LANGUAGE C
        SOVERSION 0
        EXPORT_NAME shared
        LINK_DEPENDS "${NEAP_EXPORTS_MAP};${NEAP_SELDOM_SCRIPT}")
    target_include_directories(neap INTERFACE
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
    target_link_options(neap PRIVATE
        "LINKER:--version-script=${NEAP_EXPORTS_MAP}"
        # Blocks outlive any dlclose.
        LINKER:-z,nodelete
        # A call bound lazily would run the loader's resolver under our locks; and the table of
        # addresses becomes read-only, out of reach of a program that overruns its blocks.
        LINKER:-z,relro LINKER:-z,now
        LINKER:--gc-sections
        # What few programs touch goes last, so that the rest lies on few pages: base/attr.h.
        LINKER:--sort-section=name)
    if(NEAP_COVERAGE)
        target_sources(neap PRIVATE "${PROJECT_SOURCE_DIR}/tests/coverage/library.c")
        target_link_options(neap PRIVATE LINKER:--wrap=abort)
    endif()
    if(NOT NEAP_SANITIZE)
        target_link_options(neap PRIVATE LINKER:-z,defs)
    endif()
    if(NEAP_HAS_PACKED_RELOCATIONS)
        target_link_options(neap PRIVATE LINKER:-z,pack-relative-relocs)
    endif()
    if(NEAP_CAN_JOIN)
        # Two mappings less at each start of each program: a sixth of what loading neap costs `true`
        # becomes a sixteenth. What it gives up is that constants cannot be executed.
        target_link_options(neap PRIVATE LINKER:-z,noseparate-code)
    endif()
    if(NEAP_CAN_ORDER)
        target_link_options(neap PRIVATE "LINKER:--script=${NEAP_SELDOM_SCRIPT}")
    endif()
    if(NEAP_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        target_link_options(neap PRIVATE -flto=auto -O3)
    endif()
endfunction()

# cmake/static_archive.sh says what is in it.
function(neap_static_library)
    cmake_parse_arguments(PARSE_ARGV 0 arg "" "" "C;CXX")
    set(names "${PROJECT_BINARY_DIR}/exported_names.txt")
    neap_write_exported_names("${names}")
    set(archive "${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/libneap.a")
    set(script "${PROJECT_SOURCE_DIR}/cmake/static_archive.sh")
    add_custom_command(
        OUTPUT "${archive}"
        COMMAND ${CMAKE_COMMAND} -E env
            "AR=${CMAKE_AR}" "CC=${CMAKE_C_COMPILER}" "LD=${CMAKE_LINKER}"
            "NM=${CMAKE_NM}" "OBJCOPY=${CMAKE_OBJCOPY}"
            "${script}" "${archive}" "${names}" ${arg_C} ${NEAP_ATOMIC_ARCHIVE} -- ${arg_CXX}
        DEPENDS ${arg_C} ${arg_CXX} "${names}" "${script}"
        COMMAND_EXPAND_LISTS
        COMMENT "Linking C static library lib/libneap.a"
        VERBATIM)
    add_custom_target(neap_static_archive ALL DEPENDS "${archive}")

    add_library(neap_static STATIC IMPORTED GLOBAL)
    add_library(neap::static ALIAS neap_static)
    add_dependencies(neap_static neap_static_archive)
    set_target_properties(neap_static PROPERTIES IMPORTED_LOCATION "${archive}")
    target_include_directories(neap_static INTERFACE "${PROJECT_SOURCE_DIR}/include")
    # As in neap-config.cmake.in.
    target_link_options(neap_static INTERFACE LINKER:--undefined=malloc)
endfunction()

function(neap_library)
    get_property(layers GLOBAL PROPERTY NEAP_LAYERS)
    if(NOT TARGET np_entry)
        message(STATUS "src/entry is not there: no libneap")
        return()
    endif()
    neap_check_packed_relocations()
    neap_check_order()
    foreach(layer IN LISTS layers)
        if(TARGET np_${layer})
            list(APPEND c_objects $<TARGET_OBJECTS:np_${layer}>)
        endif()
        if(TARGET np_${layer}_cxx)
            list(APPEND cxx_objects $<TARGET_OBJECTS:np_${layer}_cxx>)
        endif()
    endforeach()
    neap_shared_library(${c_objects} ${cxx_objects})
    neap_static_library(C ${c_objects} CXX ${cxx_objects})
endfunction()
