#!/bin/sh
# Makes libneap.a.
# Usage: AR= CC= LD= NM= OBJCOPY= static_archive.sh ARCHIVE NAMES_FILE C_OBJECT... -- [CXX_OBJECT...]
#
# neap.o    every object written in C, so that the first name a program needs brings all of malloc,
#           and libc's own malloc.o is never pulled in beside it ("multiple definition").
# neap_cxx.o  the C++ operators. libneap.so refers to the C++ library weakly, because a C program has
#           none; a static linker, though, leaves a weak reference NULL rather than search an archive
#           for it. So here the references are strong, and only a C++ program pulls this member.
#
# Both show no names but those of NAMES_FILE, and hold machine code only: link-time bytecode may
# redirect calls of malloc before the linker has chosen whose malloc it is.
set -eu
archive=$1 names=$2
shift 2
folder=$(dirname "$archive")
mkdir -p "$folder"

c_objects=
while [ "$1" != "--" ]; do
    c_objects="$c_objects $1"
    shift
done
shift

finish_member() # object
{
    "$OBJCOPY" --wildcard "--remove-section=.gnu.lto_*" "--remove-section=.gnu.debuglto_*" \
        "--strip-symbol=__gnu_lto_*" "--keep-global-symbols=$names" "$1"
}

rm -f "$archive"
# shellcheck disable=SC2086 # one word an object
"$LD" -r -o "$folder/neap.o" $c_objects
finish_member "$folder/neap.o"
members=$folder/neap.o

if [ $# -gt 0 ]; then
    # One strong reference beside a weak one makes both strong: a table of addresses, never read.
    {
        echo '.section .data.rel.ro,"aw",@progbits'
        "$NM" -u "$@" | sed -n 's/^ *[wv] \(_Z[A-Za-z0-9_]*\|__cxa_[a-z_]*\|__gxx_[a-z0-9_]*\)$/\1/p' |
            sort -u | sed 's/.*/.dc.a &/'
        echo '.section .note.GNU-stack,"",@progbits'
    } | "$CC" -c -x assembler -o "$folder/neap_strong.o" -
    "$LD" -r -o "$folder/neap_cxx.o" "$@" "$folder/neap_strong.o"
    rm -f "$folder/neap_strong.o"
    finish_member "$folder/neap_cxx.o"
    members="$members $folder/neap_cxx.o"
fi

# shellcheck disable=SC2086 # one word a member
"$AR" qcs "$archive" $members
# shellcheck disable=SC2086
rm -f $members
