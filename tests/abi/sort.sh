#!/bin/bash
# coreutils sort on a large file: in memory with two threads, and through temporary files.
source "$(dirname "$0")/lib.sh"

export input=$work/input
awk 'BEGIN {
    x = 4711
    for (i = 0; i < 300000; i++) {
        x = (x * 16807) % 2147483647
        printf "%08x %d %s\n", x, x % 5000, substr("abcdefghijklmnopqrstuvwxyz", 1 + x % 20, x % 7)
    }
}' > "$input"

scenario()
{
    sort --parallel=2 -S 200M "$input" -o by_line
    sort -S 2M -T . -k2,2n -k1,1 "$input" -o by_number
    sort -u -k2,2 "$input" -o unique
    sort -m by_line by_line | uniq -c | sort -R --random-source="$input" | tail -n 1000 > shuffled
    cut -d' ' -f3 "$input" | sort | uniq -c | sort -rn
}
compare 9 sort
rm -rf "$input" "$work/plain" "$work/neap"
