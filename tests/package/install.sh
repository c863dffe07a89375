#!/bin/bash
# Installs the build tree into a staging folder and looks whether all is there.
# Usage: install.sh BUILD_FOLDER STAGE_FOLDER LIBRARY_FOLDER_UNDER_THE_PREFIX
set -euo pipefail
build=$1 stage=$2 libdir=$3
prefix=/opt/neap

rm -rf "$stage"
DESTDIR=$stage cmake --install "$build" --prefix "$prefix" > "$stage.log"

for file in include/neap/neap.h "$libdir/libneap.so" "$libdir/libneap.so.0" "$libdir/libneap.a" \
    "$libdir/pkgconfig/neap.pc" "$libdir/cmake/neap/neap-config.cmake" \
    "$libdir/cmake/neap/neap-config-version.cmake"; do
    [ -e "$stage$prefix/$file" ] || { echo "not installed: $file" >&2; exit 1; }
done

# A packaged file that names the build or the staging folder breaks once it is moved.
if grep -rlI -e "$build" -e "$stage" "$stage$prefix"; then
    echo "the files above name the folder they were built in" >&2
    exit 1
fi
