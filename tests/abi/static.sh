#!/bin/bash
# A program linked statically gives the output that it gives without neap, and holds no malloc but
# neap's.
# Usage: static.sh LIBRARY WORK_FOLDER PLAIN_PROGRAM STATIC_PROGRAM
source "$(dirname "$0")/lib.sh"
plain=$1 static=$2

"$plain" > "$work/plain/output"
"$static" > "$work/neap/output"
diff "$work/plain/output" "$work/neap/output" || fail "the output differs"

readelf -d "$static" | grep NEEDED && fail "is not static"
nm "$static" > "$work/symbols"
grep ' T neap_malloc$' "$work/symbols" > /dev/null || fail "has no neap"
[ "$(grep -c ' T malloc$' "$work/symbols")" -eq 1 ] || fail "has not one malloc"
libc_names='_int_malloc|_int_free|sysmalloc'
grep -E " ($libc_names)\$" "$work/symbols" && fail "has libc's malloc too"
exit 0
