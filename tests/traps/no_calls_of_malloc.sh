#!/bin/sh
# Trap: gcc makes a call of calloc out of malloc and memset, also inside calloc; and a call of our own
# malloc by its public name can be answered by somebody else's. The library calls no allocator by a name
# of libc: no relocation in it names one.
#   no_calls_of_malloc.sh LIBNEAP_SO LIBNEAP_A
set -eu
. "$(dirname "$0")/expect.sh"

names='malloc|free|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|valloc|pvalloc'

# relocations FILE: those against a name of an allocator. Unwinding tables name no functions.
relocations() {
    readelf --relocs --wide "$1" | awk '{ print $5 }' | grep -Ex "($names)(@.*)?" | sort -u | tr '\n' ' '
}

# At least one name of libc must be seen, or this would look in the wrong column.
seen=$(readelf --relocs --wide "$1" | awk '{ print $5 }' | grep -Ec '^(mmap|mmap64|sbrk|abort)(@.*)?$')
[ "$seen" -gt 0 ] || expect "relocations can be read" "some" "$seen"
expect "the shared library calls" "" "$(relocations "$1")"
expect "the archive calls" "" "$(relocations "$2")"
