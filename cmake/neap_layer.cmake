# neap_layer(NAME [COLD] [DEPENDS layer...])
#
# Makes of src/NAME/*.c the object library np_NAME (of *.cc, np_NAME_cxx), and np_NAME_headers,
# through which others include its headers. The layer is compiled with the include folders of itself
# and of the layers it declares, not of those that they declare in turn: an include of any other
# layer is "no such file". A layer without source files has headers only. What is COLD is compiled
# to be small: it is called seldom, or waits for the kernel. The global property NEAP_LAYERS has the
# names of all layers, bottom up, NEAP_LAYER_<name>_DEPENDS what each declares.

function(neap_layer name)
    cmake_parse_arguments(PARSE_ARGV 1 arg "COLD" "" "DEPENDS")
    set(folder "${PROJECT_SOURCE_DIR}/src/${name}")
    get_property(layers_below GLOBAL PROPERTY NEAP_LAYERS)
    foreach(dependency IN LISTS arg_DEPENDS)
        if(NOT dependency IN_LIST layers_below)
            message(FATAL_ERROR "${name} stands on ${dependency}, which is not below it")
        endif()
    endforeach()
    set_property(GLOBAL APPEND PROPERTY NEAP_LAYERS ${name})
    set_property(GLOBAL PROPERTY NEAP_LAYER_${name}_DEPENDS "${arg_DEPENDS}")

    add_library(np_${name}_headers INTERFACE)
    # -iquote and not -I: a header of ours never stands in for one of libc with the same name.
    target_compile_options(np_${name}_headers INTERFACE "SHELL:-iquote ${folder}")

    file(GLOB sources CONFIGURE_DEPENDS "${folder}/*.c")
    set(cxx_sources "")
    if(NEAP_HAS_OPERATORS)
        file(GLOB cxx_sources CONFIGURE_DEPENDS "${folder}/*.cc")
    endif()
    if(NOT NEAP_INTERPOSE)
        # The three files that define names of libc and C++; all else is neap_.
        list(FILTER sources EXCLUDE REGEX "/entry/interpose.*\\.c$")
        list(FILTER cxx_sources EXCLUDE REGEX "/entry/operators\\.cc$")
    endif()
    if(NOT NEAP_IS_GLIBC)
        list(FILTER sources EXCLUDE REGEX "/entry/interpose_glibc\\.c$")
    endif()
    neap_layer_objects(np_${name} "${arg_DEPENDS}" ${name} "${sources}")
    neap_layer_objects(np_${name}_cxx "${arg_DEPENDS}" ${name} "${cxx_sources}")
    if(arg_COLD AND TARGET np_${name})
        target_compile_options(np_${name} PRIVATE $<$<CONFIG:Release>:${NEAP_SMALLEST}>)
    endif()
endfunction()

function(neap_layer_objects target dependencies name sources)
    if(NOT sources)
        return()
    endif()
    add_library(${target} OBJECT ${sources})
    list(TRANSFORM dependencies PREPEND np_)
    list(TRANSFORM dependencies APPEND _headers)
    target_link_libraries(${target} PRIVATE np_layer_flags np_${name}_headers ${dependencies})
    if(name STREQUAL "entry")
        target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}/include")
    endif()
    if(NEAP_LTO AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
        # Fat objects: libneap.so is linked from the bytecode, libneap.a from the machine code.
        # Not the C++: its assembler lines that make references weak would be lost.
        target_compile_options(${target} PRIVATE
            $<$<COMPILE_LANGUAGE:C>:-flto=auto> $<$<COMPILE_LANGUAGE:C>:-ffat-lto-objects>)
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

# neap_write_layers(FILE): a line "name: dependency..." for each layer, for tests/layers.
function(neap_write_layers file)
    get_property(layers GLOBAL PROPERTY NEAP_LAYERS)
    set(text "")
    foreach(layer IN LISTS layers)
        get_property(below GLOBAL PROPERTY NEAP_LAYER_${layer}_DEPENDS)
        list(JOIN below " " below)
        string(APPEND text "${layer}: ${below}\n")
    endforeach()
    file(WRITE "${file}" "${text}")
endfunction()
