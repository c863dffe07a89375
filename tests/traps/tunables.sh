#!/bin/sh
# Trap: GLIBC_TUNABLES holds settings for all of glibc. Those of other components pass silently,
# ours are obeyed beside them.
#   tunables.sh SHOW_THRESHOLD_PROGRAM
set -eu
. "$(dirname "$0")/expect.sh"

with() {
    GLIBC_TUNABLES=$1 "$2" 2>&1
}

expect "no setting" "mapped" "$("$1" 2>&1)"
expect "others' settings" "mapped" \
    "$(with glibc.pthread.rseq=1:glibc.rtld.nns=4:glibc.cpu.hwcap_mask=0:glibc.mem.tagging=0 "$1")"
expect "ours among others'" "not mapped" \
    "$(with glibc.pthread.rseq=1:glibc.malloc.mmap_threshold=4000000:glibc.rtld.nns=4 "$1")"
expect "what neap has no use for" "mapped" \
    "$(with glibc.malloc.tcache_count=0:glibc.malloc.tcache_max=64:glibc.malloc.check=0 "$1")"
expect "names that do not exist, elsewhere" "mapped" "$(with glibc.nothing.at_all=1 "$1")"
