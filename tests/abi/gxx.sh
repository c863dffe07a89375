#!/bin/bash
# g++ on a C++ program full of templates: the object files must be the same, byte for byte.
source "$(dirname "$0")/lib.sh"

scenario()
{
    g++ -std=c++17 -O1 -c "$here/templates.cc" -o templates.o
    g++ templates.o -o templates
    ./templates
}
compare 6 cc1plus
