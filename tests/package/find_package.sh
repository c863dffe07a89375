#!/bin/bash
# Builds the outside project by find_package against the staged installation, and runs it.
# Usage: find_package.sh STAGE_FOLDER SOURCE_FOLDER WORK_FOLDER C_COMPILER CXX_COMPILER
set -euo pipefail
stage=$1 source=$2 work=$3 cc=$4 cxx=$5

rm -rf "$work"
cmake -S "$source" -B "$work" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_C_COMPILER="$cc" -DCMAKE_CXX_COMPILER="$cxx" \
    -Dneap_ROOT="$stage/opt/neap" > "$work.log"
cmake --build "$work" -- -j2 >> "$work.log" || { cat "$work.log"; exit 1; }

needs() # program pattern
{
    readelf -d "$work/$1" | grep "NEEDED.*$2"
}

for program in served_c served_cc unaware; do
    for kind in shared static all_static; do
        echo "${program}_$kind:"
        "$work/${program}_$kind"
    done
    # The kinds really differ: only the first needs libneap.so, and the last needs nothing.
    needs "${program}_shared" 'libneap\.so\.0' || exit 1
    needs "${program}_static" libneap && exit 1
    needs "${program}_all_static" . && exit 1
    nm "$work/${program}_all_static" | grep ' T neap_malloc$' > /dev/null || exit 1
done
exit 0
