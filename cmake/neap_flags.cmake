# The flags of every C and C++ file, and those that only the layers need.
#
#   np_flags        the language, the warnings; tests and tools use it too
#   np_layer_flags  what a malloc needs on top

set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(CMAKE_C_FLAGS_DEBUG "-O1 -g")
set(CMAKE_CXX_FLAGS_DEBUG "-O1 -g")
set(CMAKE_C_FLAGS_RELEASE "-O3 -g")
set(CMAKE_CXX_FLAGS_RELEASE "-O3 -g")

if(NEAP_SANITIZE)
    add_compile_options(-fsanitize=${NEAP_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${NEAP_SANITIZE})
endif()

if(NEAP_COVERAGE)
    # Threads count together.
    add_compile_options(--coverage -fprofile-update=atomic)
    add_link_options(--coverage)
endif()

if(NEAP_SANITIZE STREQUAL "thread" AND CMAKE_C_COMPILER_ID STREQUAL "GNU")
    # It does not follow fences and says so. Ours order atomics only, which it sees by themselves.
    add_compile_options(-Wno-tsan)
endif()

find_package(Threads REQUIRED)

add_library(np_flags INTERFACE)
target_link_libraries(np_flags INTERFACE ${NEAP_ATOMIC_ARCHIVE})
target_compile_definitions(np_flags INTERFACE _GNU_SOURCE)
target_compile_options(np_flags INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion
    # C only: in C++ every struct mallinfo "shadows" the function mallinfo.
    $<$<COMPILE_LANGUAGE:C>:-Wshadow>
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes>
    $<$<COMPILE_LANGUAGE:C>:-Wmissing-prototypes>
    $<$<BOOL:${NEAP_WERROR}>:-Werror>)

add_library(np_layer_flags INTERFACE)
target_link_libraries(np_layer_flags INTERFACE np_flags)
target_compile_definitions(np_layer_flags INTERFACE
    NP_DEBUG_LEVEL=${NEAP_AUDIT_LEVEL}
    NP_INTERPOSE=$<BOOL:${NEAP_INTERPOSE}>)
target_compile_options(np_layer_flags INTERFACE
    -fPIC
    -fvisibility=hidden
    # So that the link leaves out what only tests call: the audits; and finds what seldom.ld names.
    -ffunction-sections -fdata-sections
    # Padding before what is jumped to is 4 KiB of the library, before loops and functions, and the
    # parts of functions that were split off with tables of their own, another 1.5. Nothing that was
    # measured is faster for it.
    $<$<AND:$<C_COMPILER_ID:GNU>,$<CONFIG:Release>>:-fno-align-jumps;-fno-align-loops>
    $<$<AND:$<C_COMPILER_ID:GNU>,$<CONFIG:Release>>:-falign-functions=8>
    $<$<AND:$<C_COMPILER_ID:GNU>,$<CONFIG:Release>>:-fno-reorder-blocks-and-partition>
    # One load finds a thread's heap; the default model calls __tls_get_addr, which may call malloc.
    -ftls-model=initial-exec
    # The compiler would turn the malloc and memset inside our calloc into a call of calloc.
    -fno-builtin-malloc -fno-builtin-calloc -fno-builtin-realloc -fno-builtin-free
    # Calls of libc go through the table that the loader fills at start, not through its resolver.
    -fno-plt
    # operators.cc must not need libstdc++: a C program has none.
    $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
