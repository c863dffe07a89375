#!/bin/bash
# Builds the outside programs by pkg-config against the staged installation, and runs them.
# Usage: pkg_config.sh STAGE_FOLDER SOURCE_FOLDER WORK_FOLDER LIBRARY_FOLDER C_COMPILER CXX_COMPILER
set -euo pipefail
stage=$1 source=$2 work=$3 libdir=$stage/opt/neap/$4 cc=$5 cxx=$6

rm -rf "$work"
mkdir -p "$work"
export PKG_CONFIG_PATH=$libdir/pkgconfig
read -ra flags <<< "$(pkg-config --cflags neap)"
read -ra libraries <<< "$(pkg-config --libs neap)"
read -ra static_libraries <<< "$(pkg-config --static --libs neap)"

build_and_run() # name compiler source
{
    "$2" "${flags[@]}" "$source/$3" -o "$work/$1" -Wl,--as-needed "${libraries[@]}"
    "$2" "${flags[@]}" "$source/$3" -o "$work/$1_all_static" -static "${static_libraries[@]}"
    readelf -d "$work/$1" | grep 'NEEDED.*libneap\.so\.0' > /dev/null
    echo "$1:"
    LD_LIBRARY_PATH=$libdir "$work/$1"
    echo "$1_all_static:"
    "$work/$1_all_static"
}

build_and_run served_c "$cc" served_c.c
build_and_run served_cc "$cxx" served_cc.cc
build_and_run unaware "$cc" unaware.c
nm "$work/unaware_all_static" | grep ' T neap_malloc$' > /dev/null
