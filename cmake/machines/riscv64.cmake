# 64-bit RISC-V.
include("${CMAKE_CURRENT_LIST_DIR}/cross.cmake")
neap_machine(riscv64 riscv64-linux-gnu qemu-riscv64)
