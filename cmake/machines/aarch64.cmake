# 64-bit ARM.
include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")
neap_machine(aarch64 aarch64-linux-gnu qemu-aarch64)
