#!/bin/bash
# A program linked with libneap.so gives the output that it gives without, and neap serves it.
# Usage: linked.sh LIBRARY WORK_FOLDER PLAIN_PROGRAM LINKED_PROGRAM
source "$(dirname "$0")/lib.sh"
plain=$1 linked=$2

"$plain" > "$work/plain/output"
readelf -d "$linked" | grep 'NEEDED.*libneap\.so\.0' > /dev/null || fail "not linked with neap"
LD_LIBRARY_PATH=$work LD_DEBUG=bindings LD_DEBUG_OUTPUT=$work/bindings/process "$linked" \
    > "$work/neap/output" &
process=$!
wait "$process" || fail "fails with neap: $?"
diff "$work/plain/output" "$work/neap/output" || fail "the output differs"
# Its children are programs that are not linked with neap.
find "$work/bindings" -type f ! -name "process.$process" -delete
require_served 1 "${linked##*/}"

LD_PRELOAD=$library "$plain" > "$work/neap/output"
diff "$work/plain/output" "$work/neap/output" || fail "the output differs when preloaded"
