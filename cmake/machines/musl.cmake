# This processor, another libc. Debian has no C++ library for it, so neap is built without the C++
# operators; those of a program's own C++ library call malloc.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR "${CMAKE_HOST_SYSTEM_PROCESSOR}")
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_CXX_COMPILER "CMAKE_CXX_COMPILER-NOTFOUND")
