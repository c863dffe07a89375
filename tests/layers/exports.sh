#!/bin/bash
# libneap.so and libneap.a export exactly the names in exports.map, and every function that neap.h
# declares is among them.
# Usage: exports.sh LIBRARY_FOLDER EXPORTS_MAP HEADER NM
set -euo pipefail
libraries=$1 map=$2 header=$3 nm=$4

wanted=$(sed -n 's/^ *\([A-Za-z_][A-Za-z0-9_]*\);.*/\1/p' "$map" | sort)
[ -n "$wanted" ]

status=0
compare() # file nm_option...
{
    local file=$1
    shift
    local found
    found=$("$nm" --defined-only --format=posix "$@" "$libraries/$file" |
        awk 'NF > 2 { print $1 }' | sort)
    if ! diff <(echo "$wanted") <(echo "$found"); then
        echo "$file: < in exports.map alone, > in the library alone" >&2
        status=1
    fi
}

declared=$(sed -n 's/^NEAP_API .*\(neap_[a-z0-9_]*\)(.*/\1/p' "$header" | sort)
[ -n "$declared" ]
missing=$(comm -23 <(echo "$declared") <(echo "$wanted"))
if [ -n "$missing" ]; then
    echo "declared in neap.h and not exported: $missing" >&2
    status=1
fi

compare libneap.so --dynamic
compare libneap.a --extern-only
echo "$(wc -w <<< "$wanted") names"
exit $status
