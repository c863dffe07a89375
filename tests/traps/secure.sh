#!/bin/sh
# Trap: the environment of a setuid program belongs to somebody else, and is not to be believed.
#   secure.sh SECURE_EXEC SHOW_THRESHOLD_PROGRAM
set -eu
. "$(dirname "$0")/expect.sh"

# check VARIABLE VALUE: obeyed as a rule, ignored and not even complained of in a secure process.
check() {
    expect "$1=$2" "not mapped" "$(env "$1=$2" "$program" 2>&1)"
    expect "$1=$2, secure" "mapped" "$(env "$1=$2" "$secure_exec" "$program" 2>&1)"
}

secure_exec=$1
program=$2
expect "nothing set, secure" "mapped" "$("$secure_exec" "$program" 2>&1)"
check NEAP_MMAP_THRESHOLD 4000000
check MALLOC_MMAP_THRESHOLD_ 4000000
check GLIBC_TUNABLES glibc.malloc.mmap_threshold=4000000
expect "a bad value, secure" "mapped" \
    "$(NEAP_TOP_PAD=rubbish "$secure_exec" "$program" 2>&1)"
case $(NEAP_TOP_PAD=rubbish "$program" 2>&1) in
*NEAP_TOP_PAD*) ;;
*) expect "a bad value is named" "a line with NEAP_TOP_PAD" "none" ;;
esac
