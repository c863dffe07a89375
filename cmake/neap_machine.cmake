# What the machine and its libc have, and what not. neap is built without what they lack.
#
#   NEAP_HAS_OPERATORS    the C++ operators; without them those of the C++ library call malloc
#   NEAP_IS_GLIBC         mallopt and the other names that only glibc declares
#   NEAP_ATOMIC_ARCHIVE   empty, or gcc's library for what the machine has no instructions for
#   NEAP_SMALLEST         how the compiler is asked for small code

include(CheckCCompilerFlag)
include(CheckCSourceCompiles)
include(CheckCXXSourceCompiles)
include(CheckSymbolExists)

check_symbol_exists(__GLIBC__ features.h NEAP_IS_GLIBC)

# gcc from version 12 on, and clang.
check_c_compiler_flag(-Oz NEAP_KNOWS_OZ)
set(NEAP_SMALLEST $<IF:$<BOOL:${NEAP_KNOWS_OZ}>,-Oz,-Os>)

# src/entry/operators.cc refers to the C++ library weakly. The assembler of 32-bit ARM cannot refer
# so to the function that every catch needs.
set(NEAP_HAS_OPERATORS OFF)
if(CMAKE_CXX_COMPILER)
    set(CMAKE_TRY_COMPILE_TARGET_TYPE STATIC_LIBRARY)
    check_cxx_source_compiles([[
        __asm__(".weak __gxx_personality_v0");
        void call();
        bool try_call() { try { call(); } catch (...) { return false; } return true; }]]
        NEAP_CAN_REFER_WEAKLY)
    unset(CMAKE_TRY_COMPILE_TARGET_TYPE)
    set(NEAP_HAS_OPERATORS ${NEAP_CAN_REFER_WEAKLY})
endif()

# Before version 13 gcc calls a library for atomic bytes on RISC-V. Its archive is linked in, so
# that a program needs no other library than libc.
set(NEAP_ATOMIC_ARCHIVE "")
check_c_source_compiles([[
    #include <stdatomic.h>
    static _Atomic unsigned char byte;
    int main(int count, char **words) { return atomic_exchange(&byte, count) + !words; }]]
    NEAP_HAS_ATOMIC_BYTES)
if(NOT NEAP_HAS_ATOMIC_BYTES)
    execute_process(COMMAND ${CMAKE_C_COMPILER} -print-file-name=libatomic.a
        OUTPUT_VARIABLE NEAP_ATOMIC_ARCHIVE OUTPUT_STRIP_TRAILING_WHITESPACE)
endif()
