#!/bin/bash
# libneap.so and libneap.a export exactly the names in exports.map, and every function that neap.h
# declares is among them.
# Usage: exports.sh LIBRARY_FOLDER EXPORTS_MAP HEADER READELF
set -euo pipefail
libraries=$1 map=$2 header=$3 readelf=$4

wanted=$(sed -n 's/^ *\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' "$map" | sort)
[ -n "$wanted" ]

status=0
compare() # what names
{
    if ! diff <(echo "$wanted") <(sort <<< "$2"); then
        echo "$1: < in exports.map alone, > in the library alone" >&2
        status=1
    fi
}

# "Num: Value Size Type Bind Visibility Section Name"; prints the names that others may link with.
defined_symbols() # visibility
{
    awk -v visibility="$1" '$5 ~ /GLOBAL|WEAK/ && $7 != "UND" && $6 ~ visibility { print $8 }'
}

declared=$(sed -n 's/^NEAP_API .*\(neap_[a-z0-9_]*\)(.*/\1/p' "$header" | sort)
[ -n "$declared" ]
missing=$(comm -23 <(echo "$declared") <(echo "$wanted"))
if [ -n "$missing" ]; then
    echo "declared in neap.h and not exported: $missing" >&2
    status=1
fi

shared=$("$readelf" --wide --dyn-syms "$libraries/libneap.so")
compare libneap.so "$(defined_symbols . <<< "$shared")"

static=$("$readelf" --wide --symbols "$libraries/libneap.a")
compare libneap.a "$(defined_symbols DEFAULT <<< "$static")"
strange=$(defined_symbols 'HIDDEN|INTERNAL|PROTECTED' <<< "$static" |
    grep -Ev '^(neap_np_|__x86\.|DW\.ref\.|__clang_call_terminate$)' || true)
if [ -n "$strange" ]; then
    echo "libneap.a: names that a program may define itself: $strange" >&2
    status=1
fi

# Of a group that other objects have as well the linker keeps one, perhaps not the one in libneap.a:
# were its name local here, libneap.a would refer to what has been dropped.
shared_groups=$("$readelf" --wide --section-groups "$libraries/libneap.a" |
    sed -n 's/^COMDAT group section .* \[\([^] ]*\)\] contains .*/\1/p' | sort -u)
lost=$(comm -23 <(echo "$shared_groups") <(defined_symbols . <<< "$static" | sort -u))
if [ -n "$lost" ]; then
    echo "libneap.a: names of groups that other objects cannot find: $lost" >&2
    status=1
fi

echo "$(wc -w <<< "$wanted") names"
exit $status
