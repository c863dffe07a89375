#!/bin/bash
# perl: hashes, strings, regular expressions, sorting, closures, fork.
source "$(dirname "$0")/lib.sh"

export PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0
scenario()
{
    perl "$here/perl_script.pl"
}
compare 3 perl
