"""Counts what the fast path of a function costs, in a library as it was built.

Reads the function with objdump and takes all its ways from entry to ret. A jump that leaves the
function, or a call, is the slow path: it is not followed, and what leads there alone does not
count. The longest way that is left counts, and so do all its instructions. Conditional moves are
no branches.

Usage: count.py OBJDUMP LIBRARY FUNCTION=INSTRUCTIONS/BRANCHES...

Fails if a function takes more than that, or if a way of it goes round in a loop, changes memory by
a locked instruction or asks the system.
"""

import re
import subprocess
import sys

LINE = re.compile(r"^ +([0-9a-f]+):\t(.*)$")
PREFIXES = {"lock", "rep", "repz", "repnz", "bnd", "notrack", "cs", "ds", "data16"}


class Refused(Exception):
    """Something that has no place on a fast path, or a function that cannot be counted."""


class Instruction:
    def __init__(self, address, text):
        words = text.split("#")[0].split()
        self.address = address
        self.text = " ".join(words)
        self.is_locked = words[0] == "lock"
        while words[0] in PREFIXES and len(words) > 1:
            words.pop(0)
        self.name = words[0]
        self.operands = words[1] if len(words) > 1 else ""

    def is_conditional(self):
        return self.name[0] == "j" and not self.name.startswith("jmp") or \
            self.name.startswith("loop")

    def target(self):
        """The address that a jump goes to, or None if a register or memory says it."""
        return int(self.operands, 16) if re.fullmatch(r"[0-9a-f]+", self.operands) else None

    def misplaced(self):
        """Why it may not be there, or None."""
        if self.is_locked or self.name.startswith("xchg") and "(" in self.operands:
            return "changes memory by a locked instruction"
        if self.name in ("syscall", "sysenter", "int"):
            return "asks the system"
        return None


def read_function(objdump, library, name):
    output = subprocess.run(
        [objdump, "--disassemble=" + name, "--no-show-raw-insn", "--wide", library],
        capture_output=True, text=True, check=True).stdout
    found = [Instruction(int(match.group(1), 16), match.group(2))
             for match in map(LINE.match, output.splitlines()) if match]
    if not found:
        raise Refused(f"{name} is not in {library}")
    return found


def ways_of(function, name):
    """Every way from entry to ret, as a list of instructions."""
    place_of = {instruction.address: place for place, instruction in enumerate(function)}
    ways, unfinished = [], [(0, [])]
    while unfinished:
        place, way = unfinished.pop()
        if place is None or place >= len(function):
            continue
        instruction = function[place]
        if instruction in way:
            raise Refused(f"{name} goes round in a loop at {instruction.address:x}")
        way = way + [instruction]
        if instruction.name.startswith("ret"):
            ways.append(way)
        elif instruction.name.startswith("jmp"):
            unfinished.append((place_of.get(instruction.target()), way))
        elif not instruction.name.startswith("call"):
            unfinished.append((place + 1, way))
            if instruction.is_conditional():
                unfinished.append((place_of.get(instruction.target()), way))
    if not ways:
        raise Refused(f"{name} has no way to its end without a call")
    return ways


def count(objdump, library, name):
    """(instructions, conditional branches) of the longest way."""
    ways = ways_of(read_function(objdump, library, name), name)
    for instruction in (instruction for way in ways for instruction in way):
        why = instruction.misplaced()
        if why:
            raise Refused(f"{name} {why}: {instruction.text}")
    branch_counts = [sum(i.is_conditional() for i in way) for way in ways]
    return max(map(len, ways)), max(branch_counts)


def main(objdump, library, *budgets):
    is_within = bool(budgets)
    for budget in budgets:
        name, limits = budget.split("=")
        allowed = tuple(int(limit) for limit in limits.split("/"))
        try:
            counted = count(objdump, library, name)
        except Refused as refused:
            print(refused)
            is_within = False
            continue
        print(f"{name}: {counted[0]} instructions and {counted[1]} conditional branches, "
              f"at most {allowed[0]} and {allowed[1]}")
        is_within = is_within and counted[0] <= allowed[0] and counted[1] <= allowed[1]
    return 0 if is_within else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
