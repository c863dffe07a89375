#!/bin/bash
# The executable segment of a library, code with constants and tables for unwinding, has at most so
# many bytes: every process maps it, and what it touches of it lies on fewer pages if it is small.
# Usage: code_size.sh LIBRARY READELF MOST_BYTES
set -euo pipefail
library=$1 readelf=$2 most_bytes=$3

# "LOAD Offset VirtAddr PhysAddr FileSiz MemSiz Flg Align", where the flags may be two words.
bytes=$("$readelf" --wide --segments "$library" | awk '$1 == "LOAD" && $8 == "E" { print $6 }')
[ "$(wc -w <<< "$bytes")" = 1 ] || { echo "not one executable segment: $bytes" >&2; exit 1; }
echo "executable segment: $((bytes)) bytes, at most $most_bytes"
[ $((bytes)) -le "$most_bytes" ]
