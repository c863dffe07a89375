#!/usr/bin/env python3
"""Measures what an operation costs as the heap, the number of blocks, of threads and of arenas
grows, under every allocator in turn; writes a table, JSON and a chart of curves.

Times are of the processor, for one operation: the lowest of the rounds. Points for which the
machine has not enough memory are left out and named.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

# The source tree is not written to.
sys.dont_write_bytecode = True

import runs  # puts bench/experiments on the path

from allocators import Missing, find
from charts import WIDTH, data_block, draw, machine_text, quoted
from chart import STYLES, Sheet
from measure import Failed, Progress, describe
from tables import markdown, number, plain

ALLOCATORS = "glibc,jemalloc,tcmalloc,mimalloc,neap"
MIB = 1 << 20
RESERVE_BYTES = 1 << 30     # what the machine keeps for itself
TIMEOUT_SECONDS = 600


class Curve:
    """One kind of growth: its points, and how much memory a point may take."""

    def __init__(self, kind, title, unit, points, quick_points, bytes_of, divisor=1):
        self.kind = kind
        self.title = title
        self.unit = unit
        self.points = points
        self.quick_points = quick_points
        self.bytes_of = bytes_of
        self.divisor = divisor      # of a point, for showing it


CURVES = [
    # A half for what allocators add to the blocks, and the table of pointers.
    Curve("heap", "Live heap of mixed sizes", "MiB", [MIB << n for n in range(14)],
          [MIB, 8 * MIB, 64 * MIB], lambda live_bytes: live_bytes * 3 // 2, MIB),
    Curve("objects", "Live blocks of 48 bytes", "blocks",
          [1000, 10000, 100000, 1000000, 10000000, 100000000], [1000, 10000, 100000],
          lambda count: count * 104),
    Curve("threads", "Threads", "threads", [1 << n for n in range(9)], [1, 4, 32],
          lambda count: count * 16 * MIB),
    Curve("arenas", "Arenas, with sixteen threads and blocks of 20 to 100 KiB",
          "arenas at most", [1, 2, 4, 8, 16, 32], [1, 4], lambda count: 1 << 30),
]
# The variable that limits arenas is glibc's, and neap knows it; others have none like it.
WITH_ARENAS = ("glibc", "neap")


def parse(arguments):
    parser = argparse.ArgumentParser(prog="scaling.py", description=__doc__)
    parser.add_argument("--build", metavar="DIR",
                        default=os.path.join(runs.TOP, "build", "release"),
                        help="where bin/scaling and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(runs.TOP, "build", "scaling"),
                        help="where the results go (build/scaling)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--curves", metavar="LIST", default=",".join(c.kind for c in CURVES),
                        help="which, separated by commas (heap,objects,threads,arenas)")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds (3)")
    parser.add_argument("--quick", action="store_true",
                        help="a few small points, one round, a tenth of the operations")
    parser.add_argument("--docs", action="store_true",
                        help="also write the chart into docs/img, as scaling.svg and .png")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 3)
    unknown = set(options.curves.split(",")) - {c.kind for c in CURVES}
    if unknown:
        parser.error(f"no curve is called {', '.join(sorted(unknown))}")
    return options


def available_bytes():
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    raise Failed("/proc/meminfo does not say how much memory is available")


class Stand:
    """The programs, copied, so that a build meanwhile changes nothing."""

    def __init__(self, options, folder):
        self.folder = folder
        self.percent = 10 if options.quick else 100
        self.allocators = find(options.allocators.split(","), runs.TOP, options.build)
        self.program = self.copied(os.path.join(options.build, "bin", "scaling"))
        self.measured = self.copied(os.path.join(options.build, "bin", "measured"))
        for allocator in self.allocators:
            if allocator.key == "neap":
                allocator.preloaded = self.copied(os.path.realpath(allocator.preloaded))

    def copied(self, path):
        if not os.path.exists(path):
            raise Missing(f"{path} is not built: run\n"
                          "  cmake --preset release && cmake --build --preset release")
        return shutil.copy(path, self.folder)

    def run(self, curve, point, allocator):
        """What scaling prints, and the peak of resident memory."""
        changes = dict(allocator.extra)
        if allocator.preloaded:
            changes["LD_PRELOAD"] = allocator.preloaded
        if curve.kind == "arenas":
            changes["MALLOC_ARENA_MAX"] = str(point)
        report_path = os.path.join(self.folder, "report.json")
        done = subprocess.run(
            [self.measured, report_path, *(f"{k}={v}" for k, v in changes.items()),
             self.program, curve.kind, str(point), str(self.percent)],
            env=runs.plain_environment(), capture_output=True, text=True,
            timeout=TIMEOUT_SECONDS, check=False)
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
        if report["exit_status"] != 0:
            raise Failed(f"scaling {curve.kind} {point} under {allocator.name}: "
                         f"{done.stderr[-300:]} signal {report['signal']}")
        costs = json.loads(done.stdout)
        if allocator.key not in WITH_ARENAS:
            del costs["arena_count"]
        return {**costs, "peak_rss_bytes": report["peak_rss_bytes"]}


def measure(options, stand):
    curves = [c for c in CURVES if c.kind in options.curves.split(",")]
    jobs, skipped = [], []
    for curve in curves:
        for point in curve.quick_points if options.quick else curve.points:
            if curve.bytes_of(point) + RESERVE_BYTES > available_bytes():
                skipped.append(f"{curve.kind} {point}")
            else:
                jobs.append((curve, point))
    results = {"about": describe("bench/suite/scaling.py", stand.allocators, 0, options.rounds),
               "percent": stand.percent, "skipped": skipped, "points": []}
    progress = Progress(options.rounds * len(jobs) * len(stand.allocators))
    for round_number in range(options.rounds):
        for curve, point in jobs:
            shift = round_number % len(stand.allocators)
            for allocator in stand.allocators[shift:] + stand.allocators[:shift]:
                progress.step(f"round {round_number + 1}: {curve.kind} {point // curve.divisor} "
                              f"{curve.unit} on {allocator.name}")
                if curve.kind == "arenas" and allocator.key not in WITH_ARENAS:
                    continue
                results["points"].append({
                    "curve": curve.kind, "point": point, "allocator": allocator.key,
                    **stand.run(curve, point, allocator)})
    progress.end()
    return results


def lowest(results, kind, point, key, figure):
    values = [p[figure] for p in results["points"]
              if (p["curve"], p["point"], p["allocator"]) == (kind, point, key) and figure in p]
    return min(values, default=None)


def points_of(results, kind):
    return sorted({p["point"] for p in results["points"] if p["curve"] == kind})


def allocators_of(results, kind):
    """Those that the curve has, with their names."""
    present = {p["allocator"] for p in results["points"] if p["curve"] == kind}
    return [(a["key"], a["name"]) for a in results["about"]["allocators"] if a["key"] in present]


def cell(results, kind, point, key):
    """Nanoseconds of an operation, of making a block and of freeing it; peak RSS."""
    values = [lowest(results, kind, point, key, figure)
              for figure in ("operation_ns", "build_ns", "free_ns")]
    peak = lowest(results, kind, point, key, "peak_rss_bytes") / MIB
    text = " / ".join(number(value, 0) for value in values)
    arena_count = lowest(results, kind, point, key, "arena_count")
    arenas = f", {arena_count} arenas" if arena_count and kind in ("threads", "arenas") else ""
    return f"{text}; {number(peak, 1)} MiB{arenas}"


def rows_of(results, curve):
    """A row a point; the last one says how much more the last point costs than the first."""
    keys = allocators_of(results, curve.kind)
    points = points_of(results, curve.kind)
    has_touch = curve.kind in ("heap", "objects")
    rows = []
    for point in points:
        row = [f"{point // curve.divisor:,}"]
        if has_touch:
            row.append(number(min(lowest(results, curve.kind, point, key, "touch_ns")
                                  for key, _ in keys), 0))
        rows.append(row + [cell(results, curve.kind, point, key) for key, _ in keys])
    growth = [lowest(results, curve.kind, points[-1], key, "operation_ns") /
              lowest(results, curve.kind, points[0], key, "operation_ns") for key, _ in keys]
    rows.append(["last / first"] + ["-"] * has_touch + [number(ratio, 1) for ratio in growth])
    return ([curve.unit] + ["a write, ns"] * has_touch + [name for _, name in keys]), rows


def curves_of(results):
    return [curve for curve in CURVES if points_of(results, curve.kind)]


def report_text(results):
    about = results["about"]
    parts = ["# How cost grows",
             f"Measured {about['date']}, the lowest of {about['rounds']} interleaved rounds, on "
             f"{about['machine']['processor']}, {about['machine']['processor_count']} processors, "
             f"{about['machine']['memory_bytes'] / 2**30:.0f} GiB; "
             f"{results['percent']} % of the operations. Cells: processor time in ns of an "
             "operation (free one block at random, malloc another) / of making a block / of "
             "freeing it at the end; peak RSS."]
    if results["skipped"]:
        parts.append(f"Left out for want of memory: {', '.join(results['skipped'])}.")
    for curve in curves_of(results):
        parts += [f"## {curve.title}", markdown(*rows_of(results, curve))]
    return "\n\n".join(parts) + "\n"


# The chart: a panel a curve, a line an allocator.

PANEL_HEIGHT = 300


def panel(results, curve, place):
    left, top = place % 2, place // 2
    height = sheet_height(results)
    keys = [key for key, _ in allocators_of(results, curve.kind) if key in STYLES]
    upper = 1 - (70 + top * PANEL_HEIGHT + 30) / height
    lower = 1 - (70 + (top + 1) * PANEL_HEIGHT - 55) / height
    blocks = [data_block(f"d_{curve.kind}_{key}",
                         [(point / curve.divisor,
                           lowest(results, curve.kind, point, key, "operation_ns"))
                          for point in points_of(results, curve.kind)]) for key in keys]
    lines = [f"set lmargin at screen {0.07 + 0.495 * left}",
             f"set rmargin at screen {0.475 + 0.495 * left}",
             f"set tmargin at screen {upper}", f"set bmargin at screen {lower}",
             f"set title {quoted(curve.title)} font ',12.5' noenhanced offset 0,-0.5",
             f"set xlabel {quoted(curve.unit)} font ',11' offset 0,0.5",
             "plot " + ", \\\n  ".join(
                 f"$d_{curve.kind}_{key} using 1:2 with linespoints {STYLES[key][1]}"
                 for key in keys), "unset label"]
    return blocks, lines


def sheet_height(results):
    return 70 + (len(curves_of(results)) + 1) // 2 * PANEL_HEIGHT + 40


def draw_curves(results, folder):
    height = sheet_height(results)
    title = "Processor time of free and malloc, in ns, as what there is grows"
    panels = [panel(results, curve, place) for place, curve in enumerate(curves_of(results))]
    lines = [block for blocks, _ in panels for block in blocks]
    lines += ["set multiplot", "unset key", "set logscale x", "set yrange [0:*]",
              "set format x '%g'", "set border 3 lc '#666666'", "set tics nomirror font ',11'",
              "set grid x y lc '#d4d4d4' lw 1",
              f"set label 1 {quoted(title)} at screen 0.01,{1 - 24 / height} font ',14.5' "
              "noenhanced front",
              f"set label 2 {quoted('The lowest of the rounds. ' + machine_text(results['about']))}"
              f" at screen 0.01,{1 - 48 / height} font ',11.5' textcolor '#444444' "
              "noenhanced front"]
    x = 90
    for index, (key, name) in enumerate(allocators_of(results, curves_of(results)[0].kind), 10):
        if key in STYLES:
            lines.append(f"set label {index} {quoted(name)} at screen {x / WIDTH},{18 / height} "
                         f"point {STYLES[key][1]} offset 1.2,0 font ',12' noenhanced front")
            x += 66 + 8 * len(name)
    for _, panel_lines in panels:
        lines += panel_lines
    return draw(Sheet(height, title), "\n".join(lines + ["unset multiplot", ""]), folder,
                "scaling")


def save(results, options):
    os.makedirs(options.out, exist_ok=True)
    paths = [os.path.join(options.out, name) for name in ("results.json", "results.md")]
    for path, text in zip(paths, (json.dumps(results, indent=1) + "\n", report_text(results))):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    paths += draw_curves(results, options.out)
    if options.docs:
        paths += draw_curves(results, os.path.join(runs.TOP, "docs", "img"))
    return paths


def main(arguments):
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="neap-scaling-") as folder:
            results = measure(options, Stand(options, folder))
        paths = save(results, options)
    except Missing as missing:
        print(f"scaling.py: {missing}", file=sys.stderr)
        return 2
    except (Failed, OSError, RuntimeError, subprocess.TimeoutExpired) as failed:
        print(f"scaling.py: {failed}", file=sys.stderr)
        return 1
    for curve in curves_of(results):
        print(f"\n{curve.title}: ns of an operation / of making / of freeing a block; peak RSS\n")
        print(plain(*rows_of(results, curve)))
    if results["skipped"]:
        print(f"\nLeft out for want of memory: {', '.join(results['skipped'])}")
    print("\nWritten:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
