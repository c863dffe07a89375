#!/usr/bin/env python3
"""Runs bench/micro under every allocator in turn and writes a table and JSON.

Times are of the processor, for one operation: the lowest of the rounds, since nothing but a
disturbance makes them longer.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

# The source tree is not written to.
sys.dont_write_bytecode = True
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
for folder in ("experiments", "suite"):
    sys.path.append(os.path.join(TOP, "bench", folder))

from allocators import Missing, find
from measure import Failed, Progress, describe
from report import geometric_mean
from tables import markdown, number, plain

ALLOCATORS = "glibc,jemalloc,tcmalloc,mimalloc,neap"
FIGURES = {"cpu_time": "CPU time of an operation, in ns", "instructions": "Instructions",
           "cycles": "Cycles"}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("--build", metavar="DIR", default=os.path.join(TOP, "build", "release"),
                        help="where bin/micro and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(TOP, "build", "micro"),
                        help="where the results go (build/micro)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--filter", metavar="REGEX", default=".", help="which benchmarks (all)")
    parser.add_argument("--rounds", type=int, metavar="N", help="interleaved rounds (5)")
    parser.add_argument("--quick", action="store_true", help="one short round")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = 0.002 if options.quick else 0.05
    return options


def run_once(program, allocator, options):
    """(context, benchmarks) as Google Benchmark reports them."""
    done = subprocess.run(
        [program, f"--benchmark_min_time={options.seconds}",
         f"--benchmark_filter={options.filter}", "--benchmark_format=json"],
        env=allocator.environment(), capture_output=True, text=True, check=False)
    if done.returncode != 0 or not done.stdout:
        raise Failed(f"micro on {allocator.name}: {done.stderr[-500:]}")
    report = json.loads(done.stdout)
    return report["context"], report["benchmarks"]


def measure(options, folder):
    program = os.path.join(options.build, "bin", "micro")
    if not os.path.exists(program):
        raise Missing(f"{program} is not built: tools/install-packages --bench, then\n"
                      "  cmake --preset release -DNEAP_MICRO=ON && cmake --build --preset release")
    allocators = find(options.allocators.split(","), TOP, options.build)
    # Copies, so that a build meanwhile changes nothing.
    program = shutil.copy(program, folder)
    for allocator in allocators:
        if allocator.key == "neap":
            allocator.preloaded = shutil.copy(os.path.realpath(allocator.preloaded), folder)
    results = {"about": describe("bench/micro/run.py", allocators, 0, options.rounds), "runs": []}
    progress = Progress(options.rounds * len(allocators))
    for round_number in range(options.rounds):
        shift = round_number % len(allocators)
        for allocator in allocators[shift:] + allocators[:shift]:
            progress.step(f"round {round_number + 1}: {allocator.name}")
            context, benchmarks = run_once(program, allocator, options)
            results["about"]["counters"] = context["counters"]
            results["runs"] += [
                {"name": b["name"], "allocator": allocator.key,
                 **{figure: b[figure] for figure in FIGURES if figure in b}}
                for b in benchmarks]
    progress.end()
    return results


def lowest(results, figure):
    """{name: {allocator: lowest of the rounds}}, in the order of measuring."""
    found = {}
    for run in results["runs"]:
        if figure in run:
            of_name = found.setdefault(run["name"], {})
            of_name[run["allocator"]] = min(run[figure], of_name.get(run["allocator"], run[figure]))
    return found


def rows_of(results, figure):
    """A row a benchmark; below, the means of each operation's ratios to the best."""
    keys = [(a["key"], a["name"]) for a in results["about"]["allocators"]]
    rows, ratios = [], {}
    for name, values in lowest(results, figure).items():
        best = min(values.values())
        operation = re.sub(r"/\d+", "", name, count=1)
        rows.append([name] + [number(values[key], 1) for key, _ in keys])
        if best > 0:
            ratios.setdefault(operation, []).append([values[key] / best for key, _ in keys])
    for operation, table in ratios.items():
        rows.append([f"{operation}: times the best"] +
                    [number(geometric_mean(column), 2) for column in zip(*table)])
    return ["operation"] + [name for _, name in keys], rows


def sections(results):
    return [(title, rows_of(results, figure)) for figure, title in FIGURES.items()
            if lowest(results, figure)]


def save(results, folder):
    os.makedirs(folder, exist_ok=True)
    about = results["about"]
    text = (f"# Single operations\n\nMeasured {about['date']}, {about['rounds']} interleaved "
            f"rounds, on {about['machine']['processor']}, "
            f"{about['machine']['processor_count']} processors. Counters: {about['counters']}.\n")
    for title, (head, rows) in sections(results):
        text += f"\n## {title}\n\n{markdown(head, rows)}\n"
    paths = [os.path.join(folder, name) for name in ("results.json", "results.md")]
    for path, content in zip(paths, (json.dumps(results, indent=1) + "\n", text)):
        with open(path, "w", encoding="utf-8") as file:
            file.write(content)
    return paths


def main(arguments):
    options = parse(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="neap-micro-") as folder:
            results = measure(options, folder)
    except Missing as missing:
        print(f"run.py: {missing}", file=sys.stderr)
        return 2
    except (Failed, OSError) as failed:
        print(f"run.py: {failed}", file=sys.stderr)
        return 1
    paths = save(results, options.out)
    for title, (head, rows) in sections(results):
        print(f"\n{title}\n\n{plain(head, rows)}")
    print(f"\nCounters: {results['about']['counters']}\n\nWritten:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
