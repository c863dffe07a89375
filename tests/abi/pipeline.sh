#!/bin/bash
# Pipelines that fork: shell stages and parallel xargs, then a threaded C program that builds some.
# Usage: pipeline.sh LIBRARY WORK_FOLDER FORKING_PROGRAM
source "$(dirname "$0")/lib.sh"

export forking=$1
scenario()
{
    seq 1 40000 | sed 's/$/ line/' | awk '{ print $1 % 977, $2 }' | sort -n | uniq -c | tr ' ' '_' |
        grep -v '^_*1_' | sed -n 1,300p | cksum
    seq 1 60 | xargs -P 4 -I{} sh -c 'seq 1 {} | tac | head -n 1; :' | sort -n | cksum
    find /usr/include -maxdepth 1 -name '*.h' | sort | xargs -P 2 -n 10 cat | wc -c
    "$forking"
}
compare 150 "${forking##*/}"
