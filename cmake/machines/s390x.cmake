# IBM Z: 64 bits, big-endian.
include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")
neap_machine(s390x s390x-linux-gnu qemu-s390x)
