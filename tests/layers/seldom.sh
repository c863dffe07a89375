#!/bin/bash
# What a small program executes and reads of the library lies in its first 64 KiB, as
# cmake/seldom.ld has it.
# Usage: seldom.sh LIBRARY READELF SMALL_PROGRAM
set -euo pipefail
library=$(realpath "$1") readelf=$2 program=$3
piece_bytes=65536

# "[Nr] Name Type Address Off Size ..."; behind what is not seldom comes .eh_frame_hdr.
sections=$("$readelf" --wide --sections "$library" | sed 's/^ *\[ *[0-9]*\] *//')
address=$(awk '$1 == ".eh_frame_hdr" { print $3 }' <<< "$sections")
seldom=$(awk '$1 == ".text.seldom" { print $3 }' <<< "$sections")
if [ -z "$address" ] || [ -z "$seldom" ]; then
    echo "no .eh_frame_hdr, or no .text.seldom" >&2
    exit 1
fi
echo "what is not seldom: $((16#$address)) bytes, at most $piece_bytes"
[ $((16#$address)) -le $piece_bytes ] || { echo "name more in cmake/seldom.ld" >&2; exit 1; }
[ $((16#$seldom)) -ge $((16#$address)) ]

# A program that calls nothing seldom has no more than that resident. Where the kernel cuts pieces
# by their addresses and not by their places in the file, the library begins with a piece in some of
# the runs only.
least=none
for _ in $(seq 60); do
    kib=$(LD_PRELOAD=$library "$program" | awk -v library="$library" '
        / r-xp / { is_ours = $6 == library }
        / (r--p|rw-p) / { is_ours = 0 }
        $1 == "Rss:" && is_ours { print $2 }')
    if [ "$least" = none ] || [ "$kib" -lt "$least" ]; then
        least=$kib
    fi
done
echo "resident of it in a small program, at least: $least KiB, at most $((piece_bytes / 1024))"
[ "$least" -le $((piece_bytes / 1024)) ]
