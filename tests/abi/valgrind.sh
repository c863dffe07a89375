#!/bin/bash
# valgrind's memcheck with neap preloaded: first as users run it, where valgrind puts its own malloc
# in the place of any and must still find a leak and a stray read; then told to leave malloc alone,
# so that neap itself runs on valgrind's processor.
# Usage: valgrind.sh LIBRARY WORK_FOLDER FAULTY_PROGRAM SOUND_PROGRAM
source "$(dirname "$0")/lib.sh"
faulty=$1 sound=$2

# Leaves out what differs between runs: process ids and addresses.
findings()
{
    grep -E 'Invalid read|definitely lost|ERROR SUMMARY' "$1" |
        sed 's/^==[0-9]*== //; s/ at 0x[0-9A-F]*//; s/in loss record [0-9]* of [0-9]*//'
}

valgrind --leak-check=full "$faulty" > "$work/plain/output" 2> "$work/plain/errors"
LD_PRELOAD=$library valgrind --leak-check=full "$faulty" \
    > "$work/neap/output" 2> "$work/neap/errors" || fail "$(cat "$work/neap/errors")"
findings "$work/plain/errors" > "$work/plain/findings"
findings "$work/neap/errors" > "$work/neap/findings"
cat "$work/neap/findings"
wanted='Invalid read of size 4|lost: 1,111 bytes|SUMMARY: 2 errors'
[ "$(grep -cE "$wanted" "$work/plain/findings")" -eq 3 ] ||
    fail "valgrind does not find the two faults even without neap"
diff "$work/plain/output" "$work/neap/output" || fail "the output differs"
diff "$work/plain/findings" "$work/neap/findings" || fail "the findings differ"

"$sound" > "$work/plain/output"
preloaded valgrind --soname-synonyms=somalloc=nouserintercepts --error-exitcode=9 "$sound" \
    > "$work/neap/output" 2> "$work/neap/errors" || fail "$(cat "$work/neap/errors")"
diff "$work/plain/output" "$work/neap/output" || fail "the output differs under valgrind"
require_served 1 "${sound##*/}"
