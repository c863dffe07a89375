# 32-bit ARM, hard float.
include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")
neap_machine(armv7l arm-linux-gnueabihf qemu-arm)
