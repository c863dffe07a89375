"""Commits all crimes of crimes.cc under neap at a level of hardening, and compares what became of
each with what is promised.

Usage: verdicts.py CRIMES LIBRARY LEVEL VERDICTS

VERDICTS has a line for each crime: its name, a tab, and the least that happens at levels 1 and 2:
silent, stopped or told; and perhaps what happens at level 1 where words have 32 bits. More is no
fault, save that a crime which is always stopped should not be listed as silent: the list says what
users can rely on.
"""

import os
import subprocess
import sys

RANK = {"silent": 0, "stopped": 1, "told": 2}


def has_words_of_32_bits(program):
    with open(program, "rb") as file:
        return file.read(5)[4] == 1  # the class of an ELF file


def main(crimes, library, level, verdicts):
    promised = {}
    for line in open(verdicts, encoding="utf-8"):
        if not line.startswith("#"):
            name, first, second, *narrow = line.rstrip("\n").split("\t")
            promised[name] = second if level == "2" else first
            if narrow and level == "1" and has_words_of_32_bits(crimes):
                promised[name] = narrow[0]
    environment = dict(os.environ, LD_PRELOAD=library, NEAP_HARDENING=level)
    output = subprocess.run([crimes], env=environment, check=True, capture_output=True,
                            text=True).stdout
    found = dict(line.split("\t")[:2] for line in output.splitlines())
    faults = [f"{name}: {found.get(name)}, not {least}" for name, least in promised.items()
              if RANK.get(found.get(name), -1) < RANK[least]]
    faults += [f"{name} is in no list" for name in found if name not in promised]
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
