#!/bin/sh
# Trap: a library that is initialised before us and finalised after us allocates in both.
#   preload.sh LIBNEAP EARLY_LIBRARY PLAIN_PROGRAM
set -eu
. "$(dirname "$0")/expect.sh"

# run LIBRARIES PROGRAM: its lines, sorted; which comes first depends on who flushes stdout when.
run() {
    lines=$(LD_PRELOAD=$1 "$2" 2>&1) || lines="$lines (failed)"
    printf '%s\n' "$lines" | sort
}

both=$(printf 'freed after main\nneap')
expect "neap alone" "neap" "$(run "$1" "$3")"
expect "neap, then the early library" "$both" "$(run "$1 $2" "$3")"
expect "the early library, then neap" "$both" "$(run "$2 $1" "$3")"
export LD_BIND_NOW=1
expect "bound at once" "$both" "$(run "$1 $2" "$3")"
