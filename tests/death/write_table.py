"""Writes the table of docs/hardening.md: of the crimes of crimes.cc, how many each allocator stops.

Usage: write_table.py CRIMES NEAP [NAME=LIBRARY...]

Prints Markdown: for each class of crimes its count, and for each allocator `stopped / told`.
"""

import os
import subprocess
import sys


def totals(crimes, **settings):
    environment = dict(os.environ, **settings)
    output = subprocess.run([crimes, "--totals"], env=environment, check=True,
                            capture_output=True, text=True).stdout
    return [line.split("\t") for line in output.splitlines()]


def main(crimes, neap, *others):
    columns = {"glibc": totals(crimes, LD_PRELOAD="")}
    for other in others:
        name, library = other.split("=")
        columns[name] = totals(crimes, LD_PRELOAD=library)
    for level in "012":
        columns["neap, " + level] = totals(crimes, LD_PRELOAD=neap, NEAP_HARDENING=level)
    print("| crimes | of them | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 2) + "|")
    for row in range(len(columns["glibc"])):
        name, count = columns["glibc"][row][:2]
        cells = [f"{column[row][2]} / {column[row][3]}" for column in columns.values()]
        print(f"| {name} | {count} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
