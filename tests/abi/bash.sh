#!/bin/bash
# bash: arrays, strings, recursion, here-documents, command substitution, background jobs.
source "$(dirname "$0")/lib.sh"

scenario()
{
    bash "$here/bash_script.sh"
}
compare 60 bash
