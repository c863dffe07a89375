#!/bin/sh
# Trap: gcc makes a call of calloc out of malloc and memset, also inside calloc; and a call of our
# own malloc by its public name can be answered by somebody else's. The library calls no allocator
# by a name of libc: no relocation in it names one, but for one that tells whose calloc is found.
#   no_calls_of_malloc.sh LIBNEAP_SO LIBNEAP_A
set -eu
. "$(dirname "$0")/expect.sh"

names='malloc|free|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|valloc|pvalloc'

# relocated FILE: the names of functions and data that the relocations of the file are against. One
# function only looks where calloc is; its section is passed over.
relocated() {
    readelf --relocs --wide "$1" |
        awk '/^Relocation section/ { passed = $3 ~ /see_who_serves_libc/ } !passed { print $5 }' |
        sed 's/@.*//' | sort -u
}

# allocators FILE: those of them that are names of allocators.
allocators() {
    relocated "$1" | grep -Ex "$names" | tr '\n' ' '
}

# At least one name of libc must be seen, or this would look in the wrong column.
seen=$(relocated "$1" | grep -Exc 'mmap|mmap64|sbrk|abort')
[ "$seen" -gt 0 ] || expect "relocations can be read" "some" "$seen"
expect "the shared library names" "calloc " "$(allocators "$1")"
expect "the archive calls" "" "$(allocators "$2")"
