# 32-bit x86. A 64-bit kernel runs its programs; they find their loader and libc where the cross
# compiler has them, since the usual places belong to an i386 system.
include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")
neap_machine(i686 i686-linux-gnu)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-Wl,--dynamic-linker=/usr/i686-linux-gnu/lib/ld-linux.so.2 \
-Wl,--disable-new-dtags,-rpath,/usr/i686-linux-gnu/lib")
