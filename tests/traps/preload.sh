#!/bin/sh
# Trap: a library that is initialised before us and finalised after us allocates in both.
#   preload.sh LIBNEAP EARLY_LIBRARY PLAIN_PROGRAM
set -eu
. "$(dirname "$0")/expect.sh"

expect "neap alone" "neap" "$(LD_PRELOAD=$1 "$3" 2>&1)"
expect "neap, then the early library" "neap
freed after main" "$(LD_PRELOAD="$1 $2" "$3" 2>&1)"
expect "the early library, then neap" "neap
freed after main" "$(LD_PRELOAD="$2 $1" "$3" 2>&1)"
expect "bound lazily" "neap
freed after main" "$(LD_BIND_NOW='' LD_PRELOAD="$1 $2" "$3" 2>&1)"
expect "bound at once" "neap
freed after main" "$(LD_BIND_NOW=1 LD_PRELOAD="$1 $2" "$3" 2>&1)"
