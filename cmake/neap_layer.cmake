# neap_layer(NAME [DEPENDS layer...])
#
# Makes of src/NAME/*.c (and *.cc) the object library np_NAME, and np_NAME_headers, through which
# others include its headers. The layer is compiled with the include folders of itself and of the
# layers it declares, not of those that they declare in turn: an include of any other layer is
# "no such file". A layer without source files has headers only. The global property NEAP_LAYERS
# has the names of all layers, bottom up, and NEAP_LAYER_<name>_DEPENDS what each declares.

function(neap_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "DEPENDS")
    set(folder "${PROJECT_SOURCE_DIR}/src/${name}")
    set_property(GLOBAL APPEND PROPERTY NEAP_LAYERS ${name})
    set_property(GLOBAL PROPERTY NEAP_LAYER_${name}_DEPENDS "${arg_DEPENDS}")

    add_library(np_${name}_headers INTERFACE)
    # -iquote and not -I: a header of ours never stands in for one of libc with the same name.
    target_compile_options(np_${name}_headers INTERFACE "SHELL:-iquote ${folder}")

    file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.c" "${folder}/*.cc")
    if(NOT NEAP_INTERPOSE)
        # The two files that define names of libc and C++; all else is neap_.
        list(FILTER sources EXCLUDE REGEX "/entry/(interpose\\.c|operators\\.cc)$")
    endif()
    if(NOT sources)
        return()
    endif()

    add_library(np_${name} OBJECT ${sources})
    list(TRANSFORM arg_DEPENDS PREPEND np_ OUTPUT_VARIABLE dependencies)
    list(TRANSFORM dependencies APPEND _headers)
    target_link_libraries(np_${name} PRIVATE np_layer_flags np_${name}_headers ${dependencies})
    if(name STREQUAL "entry")
        target_include_directories(np_${name} PRIVATE "${PROJECT_SOURCE_DIR}/include")
    endif()
    if(NEAP_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # Fat objects: libneap.so is linked from the bytecode, libneap.a from the machine code.
        target_compile_options(np_${name} PRIVATE -flto=auto -ffat-lto-objects)
    endif()
endfunction()

# neap_layer_closure(OUT layer...): the layers named, all that they need, bottom up.
function(neap_layer_closure out)
    set(wanted ${ARGN})
    set(queue ${ARGN})
    while(queue)
        list(POP_FRONT queue layer)
        get_property(below GLOBAL PROPERTY NEAP_LAYER_${layer}_DEPENDS)
        foreach(dependency IN LISTS below)
            if(NOT dependency IN_LIST wanted)
                list(APPEND wanted ${dependency})
                list(APPEND queue ${dependency})
            endif()
        endforeach()
    endwhile()
    get_property(layers GLOBAL PROPERTY NEAP_LAYERS)
    set(result "")
    foreach(layer IN LISTS layers)
        if(layer IN_LIST wanted)
            list(APPEND result ${layer})
        endif()
    endforeach()
    set(${out} ${result} PARENT_SCOPE)
endfunction()
