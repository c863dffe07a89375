# shellcheck shell=bash
# Sourced by the tests beside it. Each runs a real program twice, without neap and with libneap.so
# preloaded, in two folders of their own, and the two folders must end up the same.
#
# Usage of each test: NAME.sh LIBRARY WORK_FOLDER [more]
#
# A test defines scenario(), which works in the folder it is started in and leaves there only what
# must be the same both times, and then calls
#
#   compare PROCESSES PROGRAM
#
# That neap really served is read from the loader: it writes for each process which malloc it bound.
# At least so many PROCESSES must have been started, with timeout and the scenario's shell as the
# first two; PROGRAM is the name of one of them; and not one may have bound libc's.

set -euo pipefail
library=$1
work=$2
here=$(cd "$(dirname "$0")" && pwd)
shift 2

export LC_ALL=C TZ=UTC PYTHONHASHSEED=0
unset LD_PRELOAD LD_LIBRARY_PATH DEBUGINFOD_URLS
while read -r variable; do
    unset "$variable"
done < <(compgen -e | grep -E '^(NEAP_|MALLOC_|GLIBC_TUNABLES|GIT_)' || true)

rm -rf "$work"
mkdir -p "$work/plain" "$work/neap" "$work/bindings"
work=$(cd "$work" && pwd)

# A copy, so that a build in the meantime does not pull it from under a running program.
cp "$library" "$work/libneap.so.0"
library=$work/libneap.so.0

fail()
{
    echo "$*" >&2
    exit 1
}

malloc_names='malloc|free|calloc|realloc|memalign|aligned_alloc|posix_memalign|malloc_usable_size'

# preloaded COMMAND...: with neap, and with the loader's notes in $work/bindings.
preloaded()
{
    LD_PRELOAD=$library LD_DEBUG=bindings LD_DEBUG_OUTPUT=$work/bindings/process "$@"
}

# The loader's notes say that at least $1 processes ran, one of the program $2, and that neap served
# every one.
require_served()
{
    local notes count
    count=$(find "$work/bindings" -type f | wc -l)
    [ "$count" -ge "$1" ] || fail "only $count of $1 processes ran with neap"
    grep -rqE "binding file ([^ ]*/)?$2 \[0\] to " "$work/bindings" || fail "$2 never ran with neap"
    notes=$(grep -rL "to $library \[0\]: normal symbol .malloc'" "$work/bindings" || true)
    [ -z "$notes" ] || fail "not served by neap:" "$(xargs head -v -n 3 <<< "$notes")"
    # A child that execs nothing writes into its parent's file, at times in the middle of a line.
    notes=$(grep -rhE "to [^ ]*/libc\.so\.6 \[0\]: normal symbol .($malloc_names)'" \
        "$work/bindings" || true)
    [ -z "$notes" ] || fail "bound to libc's malloc:" "$(head -n 3 <<< "$notes")"
    echo "$count processes served by neap"
    rm -rf "$work/bindings"
}

# Ends a program that hangs together with all that it started; ctest would end only this script.
limited=(timeout --kill-after=5 400)

compare()
{
    declare -fx scenario
    export here
    # shellcheck disable=SC2016 # for the shell that is started
    local shell=("${limited[@]}" bash -c 'set -euo pipefail; cd "$1"; scenario' scenario)
    local status=0
    cd "$work/plain"
    "${shell[@]}" "$PWD" > output 2> errors || status=$?
    [ "$status" -eq 0 ] || fail "fails without neap too: $status" "$(tail -n 20 errors)"
    cd "$work/neap"
    preloaded "${shell[@]}" "$PWD" > output 2> errors || status=$?
    [ "$status" -eq 0 ] || fail "fails with neap: $status" "$(tail -n 20 errors)"
    cd "$work"
    diff -r "$work/plain" "$work/neap" | head -n 40
    [ "${PIPESTATUS[0]}" -eq 0 ] || fail "the results differ"
    [ -s "$work/plain/output" ] || fail "there was nothing to compare"
    require_served "$1" "$2"
}
