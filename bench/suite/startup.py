#!/usr/bin/env python3
"""Measures what small programs pay for an allocator: memory of programs that sleep, time and faults
of programs that end at once, a shell loop of short commands, and the size of the library.

Medians of interleaved rounds; the programs' memory is also shown as what it is above that under
glibc.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

# The source tree is not written to.
sys.dont_write_bytecode = True

import runs  # puts bench/experiments on the path

from allocators import Missing, find, output_of
from measure import Failed, Progress, describe
from tables import markdown, number, plain

ALLOCATORS = "glibc,jemalloc,tcmalloc,mimalloc,neap"
KIB = 1024
SETTLE_SECONDS = 20
# What neap is meant to keep to: the first in the median of the programs that are not ours.
RSS_ANON_GOAL_KIB, TEXT_GOAL_KIB = 64, 128
# Ours, which shows what the first block costs, and is no program that anybody runs.
IDLE = "idle"


def sleeping_programs(idle):
    """Name and command of programs that read their input, which never comes; then our own."""
    found = [("sleep", ["sleep", "1000"]), ("cat", ["cat"]), ("sort", ["sort"]),
             ("awk", ["awk", "{print $1}"]), ("sed", ["sed", "s/a/b/"]), ("grep", ["grep", "x"]),
             ("sh", ["sh", "-c", "read line"]), ("bash", ["bash", "-c", "read line"]),
             ("perl", ["perl", "-e", "<STDIN>"]),
             ("python3", ["/usr/bin/python3", "-c", "input()"]),
             ("lua", ["lua5.4", "-e", "io.read()"]), ("jq", ["jq", "."]),
             ("sqlite3", ["sqlite3"]), ("bc", ["bc"]), ("make", ["make", "-f", "-"]),
             ("tar", ["tar", "xf", "-"]), ("git", ["git", "hash-object", "--stdin"]),
             ("gzip", ["gzip", "-c"]), ("xz", ["xz", "-c"]),
             ("find", ["find", "-files0-from", "-"]), ("diff", ["diff", "-", "/etc/passwd"]),
             ("tail", ["tail", "-f", "/etc/passwd"]), ("xargs", ["xargs"]),
             ("date", ["date", "-f", "-"]),
             (IDLE + ", no block", [idle, "0"]), (IDLE + ", 1 block", [idle, "1"]),
             (IDLE + ", 100 blocks", [idle, "100"])]
    return [(name, command) for name, command in found if shutil.which(command[0])]


SHELL_LOOP = "i=0; while [ $i -lt %d ]; do %s; i=$((i + 1)); done"


def ending_programs(loop_count):
    """Name and command of programs that end at once, and of a shell that starts many of them."""
    true = shutil.which("true")
    return [("true", [true]), ("ls", ["ls", "/"]), ("perl -e 1", ["perl", "-e", "1"]),
            (f"sh: {loop_count} x true", ["sh", "-c", SHELL_LOOP % (loop_count, true)])]


def parse(arguments):
    parser = argparse.ArgumentParser(prog="startup.py", description=__doc__)
    parser.add_argument("--build", metavar="DIR",
                        default=os.path.join(runs.TOP, "build", "release"),
                        help="where bin/idle and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(runs.TOP, "build", "startup"),
                        help="where the results go (build/startup)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds (20)")
    parser.add_argument("--quick", action="store_true", help="three rounds, a loop of 50 commands")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (3 if options.quick else 20)
    options.loop_count = 50 if options.quick else 1000
    return options


# Programs that sleep.

def status_of(process, field):
    with open(f"/proc/{process}/status", encoding="ascii") as file:
        found = re.search(rf"^{field}:\s+(\S+)", file.read(), re.MULTILINE)
    if not found:
        raise Failed(f"/proc/{process}/status has no {field}")
    return found.group(1)


def settled_rss_anon(process):
    """In KiB, once it sleeps and has not changed for three looks."""
    end = time.monotonic() + SETTLE_SECONDS
    seen = []
    while time.monotonic() < end:
        if status_of(process, "State") != "S":
            seen = []
        else:
            seen.append(int(status_of(process, "RssAnon")))
        if len(seen) >= 3 and len(set(seen[-3:])) == 1:
            return seen[-1]
        time.sleep(0.02)
    raise Failed("a program does not come to rest")


def measure_sleeper(command, allocator):
    process = subprocess.Popen(command, env=allocator.environment(), stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(0.03)
        if process.poll() is not None:
            raise Failed(f"{command[0]} under {allocator.name} has ended")
        return settled_rss_anon(process.pid)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


# Programs that end.

def measure_ending(stand, command, allocator):
    report_path = os.path.join(stand, "report.json")
    changes = dict(allocator.extra)
    if allocator.preloaded:
        changes["LD_PRELOAD"] = allocator.preloaded
    done = subprocess.run([os.path.join(stand, "measured"), report_path,
                           *(f"{k}={v}" for k, v in changes.items()), *command],
                          env=runs.plain_environment(), stdout=subprocess.DEVNULL, check=False)
    with open(report_path, encoding="utf-8") as file:
        report = json.load(file)
    if done.returncode != 0 or report["exit_status"] != 0:
        raise Failed(f"{command} under {allocator.name} fails")
    return {"milliseconds": report["seconds"] * 1000,
            "cpu_milliseconds": (report["user_seconds"] + report["system_seconds"]) * 1000,
            "faults": report.get("page_faults", report["minor_faults"]),
            "peak_rss_kib": report["peak_rss_bytes"] // KIB}


# The library.

def library_sizes(path):
    """Bytes that are code, read-only, written to; relocations: as its program headers say."""
    sizes = {"code": 0, "read-only": 0, "written": 0}
    for line in output_of(["readelf", "--wide", "--segments", path]).splitlines():
        words = line.split()
        if words[:1] == ["LOAD"]:
            flags = "".join(words[6:-1])
            kind = "code" if "E" in flags else "written" if "W" in flags else "read-only"
            sizes[kind] += int(words[5], 16)
    count = re.findall(r"contains (\d+) entr", output_of(["readelf", "--wide", "--relocs", path]))
    if not sizes["code"]:
        raise Failed(f"readelf does not say how large {path} is")
    return {**sizes, "relocations": sum(map(int, count))}


def copy_programs(options, folder):
    for name in ("measured", "idle"):
        path = os.path.join(options.build, "bin", name)
        if not os.path.exists(path):
            raise Missing(f"{path} is not built: run\n"
                          "  cmake --preset release && cmake --build --preset release")
        shutil.copy(path, folder)


def measure(options, folder):
    copy_programs(options, folder)
    allocators = find(options.allocators.split(","), runs.TOP, options.build)
    results = {"about": describe("bench/suite/startup.py", allocators, 0, options.rounds),
               "sleeping": [], "ending": [],
               "libraries": {a.key: library_sizes(a.preloaded) for a in allocators if a.preloaded}}
    for allocator in allocators:
        if allocator.key == "neap":
            allocator.preloaded = shutil.copy(os.path.realpath(allocator.preloaded), folder)
    sleeping = sleeping_programs(os.path.join(folder, "idle"))
    ending = ending_programs(options.loop_count)
    progress = Progress(options.rounds * len(allocators) * (len(sleeping) + len(ending)))
    for round_number in range(options.rounds):
        shift = round_number % len(allocators)
        turn = allocators[shift:] + allocators[:shift]
        for name, command in sleeping:
            for allocator in turn:
                progress.step(f"round {round_number + 1}: {name} on {allocator.name}")
                results["sleeping"].append({"program": name, "allocator": allocator.key,
                                            "rss_anon_kib": measure_sleeper(command, allocator)})
        for name, command in ending:
            for allocator in turn:
                progress.step(f"round {round_number + 1}: {name} on {allocator.name}")
                results["ending"].append({"program": name, "allocator": allocator.key,
                                          **measure_ending(folder, command, allocator)})
    progress.end()
    return results


# Tables.

def median_of(results, kind, program, key, figure):
    return statistics.median(entry[figure] for entry in results[kind]
                             if entry["program"] == program and entry["allocator"] == key)


def least_of(results, kind, program, key, figure):
    """For times, to which other work on the machine can only add."""
    return min(entry[figure] for entry in results[kind]
               if entry["program"] == program and entry["allocator"] == key)


def programs_of(results, kind):
    return list(dict.fromkeys(entry["program"] for entry in results[kind]))


def keys_of(results):
    return [(a["key"], a["name"]) for a in results["about"]["allocators"]]


def sleeping_rows(results):
    """RssAnon in KiB, and above glibc's."""
    keys = keys_of(results)
    rows = []
    for program in programs_of(results, "sleeping"):
        values = {key: median_of(results, "sleeping", program, key, "rss_anon_kib")
                  for key, _ in keys}
        rows.append([program] + [
            number(values[key], 0) +
            (f" ({values[key] - values['glibc']:+.0f})" if "glibc" in values and key != "glibc"
             else "") for key, _ in keys])
    return ["program"] + [name for _, name in keys], rows


def ending_rows(results):
    keys = keys_of(results)
    rows = []
    for program in programs_of(results, "ending"):
        row = [program]
        for key, _ in keys:
            values = [median_of(results, "ending", program, key, figure)
                      for figure in ("milliseconds", "faults", "peak_rss_kib")]
            cpu = least_of(results, "ending", program, key, "cpu_milliseconds")
            row.append(f"{number(values[0], 2)} ms, {number(cpu, 2)} of a processor, "
                       f"{number(values[1], 0)} faults, {number(values[2], 0)} KiB")
        rows.append(row)
    return ["program"] + [name for _, name in keys], rows


def library_rows(results):
    names = dict(keys_of(results))
    return (["library", "code, KiB", "read-only, KiB", "written, KiB", "relocations"],
            [[names[key]] + [number(sizes[kind] / KIB, 1)
                             for kind in ("code", "read-only", "written")] +
             [str(sizes["relocations"])] for key, sizes in results["libraries"].items()])


def verdicts(results):
    """Of neap, against what it is meant to keep to."""
    keys = dict(keys_of(results))
    if "neap" not in keys or "glibc" not in keys:
        return []
    above = {program: median_of(results, "sleeping", program, "neap", "rss_anon_kib") -
             median_of(results, "sleeping", program, "glibc", "rss_anon_kib")
             for program in programs_of(results, "sleeping") if not program.startswith(IDLE)}
    worst = max(above, key=above.get)
    code = results["libraries"]["neap"]["code"] / KIB
    slower = {figure: {program: least_of(results, "ending", program, "neap", figure) /
                       least_of(results, "ending", program, "glibc", figure)
                       for program in programs_of(results, "ending")}
              for figure in ("milliseconds", "cpu_milliseconds")}
    return [f"RssAnon above glibc's: {statistics.median(above.values()):.0f} KiB in the median of "
            f"{len(above)} programs, at most {above[worst]:.0f} ({worst}); the goal is "
            f"{RSS_ANON_GOAL_KIB} in the median.",
            f"The library's code: {code:.1f} KiB; the goal is {TEXT_GOAL_KIB}.",
            "Least time, times glibc's (and of processors): " +
            ", ".join(f"{program} {ratio:.2f} ({slower['cpu_milliseconds'][program]:.2f})"
                      for program, ratio in slower["milliseconds"].items()) +
            "; the goal is 1."]


def sections(results):
    return [("Private memory (RssAnon) of programs that sleep, in KiB (above glibc's)",
             sleeping_rows(results)),
            ("Programs that end: time, least time of processors, page faults, peak RSS",
             ending_rows(results)),
            ("The libraries", library_rows(results))]


def report_text(results):
    about = results["about"]
    parts = ["# What small programs pay",
             f"Measured {about['date']}, medians of {about['rounds']} interleaved rounds, on "
             f"{about['machine']['processor']}, {about['machine']['processor_count']} processors, "
             f"Linux {about['machine']['kernel']}."]
    parts.append("\n".join(f"- {text}" for text in verdicts(results)))
    for title, (head, rows) in sections(results):
        parts += [f"## {title}", markdown(head, rows)]
    return "\n\n".join(part for part in parts if part) + "\n"


def main(arguments):
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="neap-startup-") as folder:
            results = measure(options, folder)
    except Missing as missing:
        print(f"startup.py: {missing}", file=sys.stderr)
        return 2
    except (Failed, OSError) as failed:
        print(f"startup.py: {failed}", file=sys.stderr)
        return 1
    os.makedirs(options.out, exist_ok=True)
    for name, text in (("results.json", json.dumps(results, indent=1) + "\n"),
                       ("results.md", report_text(results))):
        with open(os.path.join(options.out, name), "w", encoding="utf-8") as file:
            file.write(text)
    for title, (head, rows) in sections(results):
        print(f"\n{title}\n\n{plain(head, rows)}")
    print()
    for text in verdicts(results):
        print(f"- {text}")
    print(f"\nWritten: {os.path.relpath(options.out)}/results.json and results.md")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
