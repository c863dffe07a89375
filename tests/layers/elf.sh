#!/bin/bash
# libneap.so is what every process can load: it needs libc alone, has no executable stack and no
# writable code, reaches thread-local memory without a call, is bound at start and never unloaded.
# Usage: elf.sh LIBRARY READELF
set -euo pipefail
library=$1 readelf=$2
dynamic=$("$readelf" --wide --dynamic "$library")
segments=$("$readelf" --wide --segments "$library")
symbols=$("$readelf" --wide --dyn-syms "$library")
status=0

complain()
{
    echo "$1" >&2
    status=1
}

needed=$(sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' <<< "$dynamic" | grep -v '^ld-linux' || true)
[ "$needed" = "libc.so.6" ] || complain "needs: $needed"
grep 'SONAME.*libneap\.so\.0\]' > /dev/null <<< "$dynamic" || complain "wrong SONAME"
grep TEXTREL <<< "$dynamic" && complain "has relocations in its code"
grep 'NOW' > /dev/null <<< "$dynamic" || complain "is bound lazily"
grep 'NODELETE' > /dev/null <<< "$dynamic" || complain "can be unloaded"
grep 'GNU_RELRO' > /dev/null <<< "$segments" || complain "its table of addresses stays writable"
grep 'GNU_STACK' > /dev/null <<< "$segments" || complain "does not say that its stack is not code"
grep -E 'GNU_STACK.* RWE ' <<< "$segments" && complain "wants an executable stack"
grep -E 'LOAD.* RWE ' <<< "$segments" && complain "has a segment both writable and executable"
grep '__tls_get_addr' <<< "$symbols" && complain "reaches thread-local memory by a call"
grep 'STATIC_TLS' > /dev/null <<< "$dynamic" || complain "has no thread-local memory of its own"

# Static thread-local memory is scarce: the loader keeps 1664 bytes spare for all that comes late.
tls=$(awk '$1 == "TLS" { print $6 }' <<< "$segments")
[ $((tls)) -le 512 ] || complain "takes $((tls)) bytes of static thread-local memory"
echo "thread-local memory: $((tls)) bytes"
exit $status
