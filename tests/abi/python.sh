#!/bin/bash
# python3, every object from malloc: big lists, threads, fork, and modules written in C.
source "$(dirname "$0")/lib.sh"

export PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1
scenario()
{
    python3 -S "$here/python_script.py"
}
compare 3 python3
