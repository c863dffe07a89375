# neap_machine(PROCESSOR TRIPLET [EMULATOR]): what the toolchain files here have in common. TRIPLET
# is Debian's name of the compiler and of the folder with its libc; EMULATOR the program of
# qemu-user that runs what it makes, if this machine does not.
macro(neap_machine processor triplet)
    set(CMAKE_SYSTEM_NAME Linux)
    set(CMAKE_SYSTEM_PROCESSOR ${processor})
    set(CMAKE_C_COMPILER ${triplet}-gcc)
    set(CMAKE_CXX_COMPILER ${triplet}-g++)
    if(NOT "${ARGN}" STREQUAL "")
        set(CMAKE_CROSSCOMPILING_EMULATOR ${ARGN} -L /usr/${triplet})
    endif()
endmacro()
