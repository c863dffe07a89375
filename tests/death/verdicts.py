"""Commits all crimes of crimes.cc under neap at a level of hardening, and compares what became of
each with what is promised, word by word where something is said.

Usage: verdicts.py CRIMES LIBRARY LEVEL VERDICTS

VERDICTS begins with the sentences: "=", a short name, a tab, the sentence. Then there is a line for
each crime: its name and, behind tabs, the least that happens at levels 0, 1 and 2, and perhaps what
happens at levels 0 and 1 where words have 32 bits. That is "silent", "stopped", or what is said:
the sentence's short name and what lies at the address, as in "double slot 128", with * for a number
that differs; or several of these with bars between them, of which the first is the least. More is
no fault, save that a crime which is always stopped should not be listed as silent: the list says
what users can rely on. But whatever is said is one of the sentences; and one of the crime's own,
if it has any, where words have 64 bits and pages 4 KiB: elsewhere slots have other neighbours.
"""

import os
import re
import subprocess
import sys

RANK = {"silent": 0, "stopped": 1, "told": 2}
PLACES = {"slab": "somewhere in a slab of slots"}


def has_words_of_32_bits(program):
    with open(program, "rb") as file:
        return file.read(5)[4] == 1  # the class of an ELF file


def pattern_of(sentence, place):
    """What is said, but for the address; place is [], or a word and a number of bytes or *."""
    what = ""
    if place:
        kind, size = place
        size = "[0-9]+" if size == "*" else size
        what = f", {PLACES.get(kind, kind)} of {size} bytes"
    return re.compile(rf"neap: {re.escape(sentence)} \(address 0x[0-9a-f]+{what}\)")


class Promise:
    """A cell of the list."""

    def __init__(self, cell, sentences):
        choices = cell.split(" | ")
        self.least = choices[0] if choices[0] in RANK else "told"
        self.patterns = []
        for choice in choices:
            if choice not in RANK:
                name, *place = choice.split(" ")
                self.patterns.append(pattern_of(sentences[name], place))


def read_list(path, level, is_narrow):
    """The sentences, and what is promised of each crime at the level."""
    sentences, promises = {}, {}
    for line in open(path, encoding="utf-8"):
        name, *cells = line.rstrip("\n").split("\t")
        if name.startswith("="):
            sentences[name[1:].strip()] = cells[0]
        elif not name.startswith("#"):
            is_other = is_narrow and level < 2 and len(cells) > 3
            promises[name] = Promise(cells[3 if is_other else level], sentences)
    return sentences, promises


def is_one_of(said, patterns):
    return any(pattern.fullmatch(said) for pattern in patterns)


def main(crimes, library, level, verdicts):
    is_narrow = has_words_of_32_bits(crimes)
    is_usual = not is_narrow and os.sysconf("SC_PAGE_SIZE") == 4096
    sentences, promises = read_list(verdicts, int(level), is_narrow)
    anything = [pattern_of(sentence, place) for sentence in sentences.values()
                for place in ([], ["slot", "*"], ["block", "*"], ["mapping", "*"], ["slab", "*"])]
    environment = dict(os.environ, LD_PRELOAD=library, NEAP_HARDENING=level)
    output = subprocess.run([crimes], env=environment, check=True, capture_output=True,
                            text=True).stdout
    found = {name: rest for name, *rest in (line.split("\t") for line in output.splitlines())}
    faults = [f"{name} is in no list" for name in found if name not in promises]
    for name, promise in promises.items():
        verdict, said = found.get(name, ("not committed", ""))
        if RANK.get(verdict, -1) < RANK[promise.least]:
            faults.append(f"{name}: {verdict}, not {promise.least}")
        patterns = promise.patterns if promise.patterns and is_usual else anything
        if said and not is_one_of(said, patterns):
            faults.append(f"{name} says: {said}")
    print("\n".join(faults))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
