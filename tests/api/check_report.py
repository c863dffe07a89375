"""Runs report_dump in all its states and checks malloc_info or malloc_stats against glibc's shape
and against mallinfo2. Or runs reports_at_once, whose threads call both at the same time, and checks
that each answer is whole and its figures go together.

Usage: check_report.py info|stats|at_once PROGRAM neap|glibc
neap may say more than glibc does; glibc may not.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET

STATES = ["empty", "small", "mixed", "threads", "freed"]


def check(condition, what):
    if not condition:
        sys.exit("check_report.py: " + what)


def number(element, name):
    text = element.get(name)
    check(text is not None and text.isdigit(), f"<{element.tag}> has no number {name}: {text}")
    return int(text)


def only(parent, tag, kind):
    found = [child for child in parent.findall(tag) if child.get("type") == kind]
    check(len(found) == 1, f'{len(found)} of <{tag} type="{kind}"> in <{parent.tag}>')
    return found[0]


def sizes_of(heap):
    """Checks <sizes>; answers the count and the bytes it adds up to."""
    sizes = heap.findall("sizes")
    check(len(sizes) == 1, f"{len(sizes)} <sizes> in a heap")
    count, total, last = 0, 0, -1
    for size in sizes[0]:
        check(size.tag in ("size", "unsorted"), f"<{size.tag}> in <sizes>")
        low, high = number(size, "from"), number(size, "to")
        check(low <= high, f"from {low} to {high}")
        if size.tag == "size":
            check(low > last, f"size from {low} after {last}")
            last = high
        check(low * number(size, "count") <= number(size, "total"), "total below count * from")
        check(number(size, "total") <= high * number(size, "count"), "total above count * to")
        count += number(size, "count")
        total += number(size, "total")
    return count, total


TOTALS = [("total", "fast", ("count", "size")), ("total", "rest", ("count", "size")),
          ("system", "current", ("size",)), ("system", "max", ("size",)),
          ("aspace", "total", ("size",)), ("aspace", "mprotect", ("size",))]


def figures_of(element):
    return {(tag, kind, name): number(only(element, tag, kind), name)
            for tag, kind, names in TOTALS for name in names}


def check_places(element, own):
    """neap's own elements: every byte of an arena is live, free and resident, or cold."""
    live, cold = element.findall("live"), element.findall("cold")
    check(len(live) == 1 and len(cold) == 1, f"{len(live)} of <live>, {len(cold)} of <cold>")
    places = (number(live[0], "size") + number(cold[0], "size") +
              own["total", "fast", "size"] + own["total", "rest", "size"])
    check(places == own["system", "current", "size"], f"places come to {places}: {own}")


def check_heaps(text, is_neap):
    """What the answer says for itself; answers its root and its totals."""
    root = ET.fromstring(text)
    check(root.tag == "malloc" and root.get("version") == "1", "the root is not malloc version 1")
    heaps = root.findall("heap")
    check(len(heaps) >= 1, "no heap")
    check([heap.get("nr") for heap in heaps] == [str(i) for i in range(len(heaps))],
          "heaps are not numbered from 0")
    totals = figures_of(root)
    sums = dict.fromkeys(totals, 0)
    for heap in heaps:
        own = figures_of(heap)
        count, size = sizes_of(heap)
        check(own["system", "current", "size"] <= own["system", "max", "size"], "current above max")
        # The top is in the totals and in no size, as in glibc.
        in_totals = [own["total", kind, "count"] for kind in ("fast", "rest")]
        check(count <= sum(in_totals), f"sizes count {count} pieces, totals {in_totals}")
        in_totals = [own["total", kind, "size"] for kind in ("fast", "rest")]
        check(size <= sum(in_totals), f"sizes add up to {size} bytes, totals {in_totals}")
        if is_neap:
            check_places(heap, own)
        for key, value in own.items():
            sums[key] += value
    check(sums == totals, f"the heaps add up to {sums}, the totals are {totals}")
    if is_neap:
        check_places(root, totals)
    return root, totals


def check_info(text, figures, is_neap):
    root, totals = check_heaps(text, is_neap)
    mapped = only(root, "total", "mmap")
    check(number(mapped, "count") == figures["hblks"], "mmap count is not hblks")
    check(number(mapped, "size") == figures["hblkhd"], "mmap size is not hblkhd")
    check(totals["system", "current", "size"] == figures["arena"], "system current is not arena")
    free = totals["total", "fast", "size"] + totals["total", "rest", "size"]
    check(abs(free - figures["fordblks"]) <= 65536, f"{free} free, fordblks {figures['fordblks']}")


def check_stats(text, figures, is_neap):
    lines = text.splitlines()
    arenas, at = [], 0
    while at < len(lines) and lines[at] == f"Arena {len(arenas)}:":
        arenas.append((bytes_in(lines[at + 1], "system"), bytes_in(lines[at + 2], "in use")))
        at += 3
    check(len(arenas) >= 1, f"no arena: {lines[:3]}")
    check(lines[at] == "Total (incl. mmap):", f"no total: {lines[at]}")
    system, in_use = bytes_in(lines[at + 1], "system"), bytes_in(lines[at + 2], "in use")
    check(re.fullmatch(r"max mmap regions = +\d+", lines[at + 3]), lines[at + 3])
    check(re.fullmatch(r"max mmap bytes   = +\d+", lines[at + 4]), lines[at + 4])
    check(len(lines) == at + 5 or is_neap, "more lines than glibc's")
    check(len(lines[at + 3]) >= len("max mmap regions = ") + 10, "regions are not padded to 10")
    mapped = figures["hblkhd"]
    check(system == sum(arena[0] for arena in arenas) + mapped, "system bytes do not add up")
    check(in_use == sum(arena[1] for arena in arenas) + mapped, "in use bytes do not add up")
    check(system == figures["arena"] + mapped, "system bytes are not mallinfo2's")
    check(in_use == figures["uordblks"] + mapped, "in use bytes are not mallinfo2's")
    check(int(lines[at + 3].split("=")[1]) >= figures["hblks"], "max mmap regions")
    check(int(lines[at + 4].split("=")[1]) >= mapped, "max mmap bytes")


def bytes_in(line, what):
    match = re.fullmatch(f"{what} bytes +=( *)([0-9]+)", line)
    check(match, f"not a line of {what} bytes: {line}")
    check(line.index("=") == 17, f"the = stands elsewhere: {line}")
    check(len(line) >= 29, f"the number is not padded to 10: {line}")
    return int(match[2])


BYTES = r"system bytes     = *(\d+)\nin use bytes     = *(\d+)\n"
MOST = r"max mmap regions = *\d+\nmax mmap bytes   = *\d+\n"
PIECE = re.compile(rf"(?:Arena (\d+):\n{BYTES}|Total \(incl. mmap\):\n{BYTES}{MOST})")


def check_pieces(text, calls):
    """neap writes the lines of an arena, and those of the total, in one piece: those of other calls
    may stand between two pieces, none within one. (In glibc some do now and then.)"""
    arenas, totals, at = [], 0, 0
    while at < len(text):
        piece = PIECE.match(text, at)
        check(piece, f"not a whole piece: {text[at:at + 200]!r}")
        at = piece.end()
        system, in_use = [int(number) for number in piece.groups()[1:] if number is not None]
        check(in_use <= system, f"more in use than there is: {piece[0]!r}")
        if piece[1] is None:
            totals += 1
            continue
        index = int(piece[1])
        check(index <= len(arenas), f"arena {index} before {len(arenas)}")
        if index == len(arenas):
            arenas.append(0)
        arenas[index] += 1
    check(totals == calls, f"{totals} totals of {calls} calls")
    check(arenas[0] == calls, f"arena 0 comes {arenas[0]} times in {calls} calls")
    # Arenas are added meanwhile, and none goes.
    check(arenas == sorted(arenas, reverse=True), f"arenas come {arenas} times")


def check_at_once(program, is_neap):
    done = run_program([program])
    reports = done.stdout.split("</malloc>\n")
    calls = int(reports.pop())
    check(len(reports) == calls, f"{len(reports)} reports of {calls} calls")
    for report in reports:
        check_heaps(report + "</malloc>", is_neap)
    check_pieces(done.stderr, calls)
    print(f"{calls} calls of both: as expected")


def run_program(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, timeout=60)
    check(done.returncode == 0, f"{command}: {done.returncode} {done.stderr[-2000:]}")
    return done


def run(kind, program, state):
    done = run_program([program, kind, state])
    report, _, last = done.stdout.rstrip("\n").rpartition("\n")
    names = ["arena", "uordblks", "fordblks", "hblks", "hblkhd", "live_count", "live_bytes"]
    figures = dict(zip(names, map(int, last.split())))
    check(len(figures) == len(names), f"the last line is {last}")
    if kind == "info":
        check(done.stderr == "", f"on stderr: {done.stderr}")
        return report, figures
    check(report == "", f"malloc_stats wrote to standard output: {report}")
    return done.stderr, figures


def main():
    kind, program, whose = sys.argv[1:]
    is_neap = whose == "neap"
    if kind == "at_once":
        check_at_once(program, is_neap)
        return
    for state in STATES:
        text, figures = run(kind, program, state)
        in_use = figures["uordblks"] + figures["hblkhd"]
        check(in_use >= figures["live_bytes"], f"{state}: {in_use} in use, live {figures}")
        if kind == "info":
            check_info(text, figures, is_neap)
        else:
            check_stats(text, figures, is_neap)
        print(f"{kind} {state}: as expected")


main()
