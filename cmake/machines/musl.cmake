# This processor, another libc. Debian has no C++ library for it, so neap is built without the C++
# operators; those of a program's own C++ library call malloc.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR "${CMAKE_HOST_SYSTEM_PROCESSOR}")
set(CMAKE_C_COMPILER musl-gcc)
set(CMAKE_CXX_COMPILER "CMAKE_CXX_COMPILER-NOTFOUND")

# musl-gcc looks nowhere else than in musl's own folders; the kernel's headers are beside glibc's.
set(neap_kernel_headers "${CMAKE_BINARY_DIR}/kernel_headers")
file(MAKE_DIRECTORY "${neap_kernel_headers}")
foreach(folder linux asm-generic x86_64-linux-gnu/asm)
    get_filename_component(name "${folder}" NAME)
    file(CREATE_LINK "/usr/include/${folder}" "${neap_kernel_headers}/${name}" SYMBOLIC)
endforeach()
set(CMAKE_C_FLAGS_INIT "-isystem ${neap_kernel_headers}")
