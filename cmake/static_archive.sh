#!/bin/sh
# Makes libneap.a.
# Usage: AR= CC= LD= NM= OBJCOPY= static_archive.sh ARCHIVE NAMES_FILE C_OBJECT... -- CXX_OBJECT...
#        An archive among the C objects gives what they need of it.
#
# neap.o      Every object written in C, so that the first name a program needs brings all of
#             malloc, and libc's own malloc.o is never pulled in beside it ("multiple definition").
# neap_cxx.o  The C++ operators. libneap.so refers to the C++ library weakly, because a C program
#             has none; a static linker, though, leaves a weak reference NULL rather than search an
#             archive for it. So here the references are strong, and only a C++ program pulls this.
#
# Both show no names but those of NAMES_FILE, except hidden ones that begin with neap_np_, by which
# neap_cxx.o reaches into neap.o. Both hold machine code only: link-time bytecode may redirect calls
# of malloc before the linker has chosen whose malloc it is.
set -eu
archive=$1 names=$2
shift 2
folder=$(dirname "$archive")/static_members
mkdir -p "$folder"

c_objects=
while [ "$1" != "--" ]; do
    c_objects="$c_objects $1"
    shift
done
shift

# shellcheck disable=SC2086 # one word an object
"$LD" -r -o "$folder/neap.o" $c_objects
members=$folder/neap.o

if [ $# -gt 0 ]; then
    # One strong reference beside a weak one makes both strong: a table of addresses, never read.
    {
        echo '.section .data.rel.ro,"aw",@progbits'
        "$NM" -u "$@" |
            sed -n 's/^ *[wv] \(_Z[A-Za-z0-9_]*\|__cxa_[a-z_]*\|__gxx_[a-z0-9_]*\)$/.dc.a \1/p' |
            sort -u
        echo '.section .note.GNU-stack,"",@progbits'
    } | "$CC" -c -x assembler -o "$folder/strong.o" -
    "$LD" -r -o "$folder/neap_cxx.o" "$@" "$folder/strong.o"
    members="$members $folder/neap_cxx.o"
fi

# shellcheck disable=SC2086 # one word a member
"$NM" -u $members | sed -n 's/^ *U \(np_[a-z0-9_]*\)$/\1 neap_\1/p' > "$folder/renamed"
{
    cat "$names"
    cut -d ' ' -f 2 "$folder/renamed"
    # What compilers add, with a copy in every object, of which the linker keeps one for the program
    # and drops the others: all have to find that one by its name. First calls of 32-bit x86; then
    # what refers to the handling of exceptions, and ends the process where one may not pass.
    # shellcheck disable=SC2086
    "$NM" $members | sed -n -e 's/.* T \(__x86\.get_pc_thunk\.[a-z]*\)$/\1/p' \
        -e 's/.* [VW] \(DW\.ref\.[A-Za-z0-9_]*\|__clang_call_terminate\)$/\1/p'
} > "$folder/kept"

for member in $members; do
    "$OBJCOPY" --wildcard "--remove-section=.gnu.lto_*" "--remove-section=.gnu.debuglto_*" \
        "--strip-symbol=__gnu_lto_*" "--redefine-syms=$folder/renamed" "$member"
    "$OBJCOPY" "--keep-global-symbols=$folder/kept" "$member"
done

rm -f "$archive"
# shellcheck disable=SC2086
"$AR" qcs "$archive" $members
rm -rf "$folder"
