#!/usr/bin/env python3
"""Runs the workloads under every allocator and writes tables, JSON and a chart."""

import argparse
import json
import os
import shlex
import sys
import tempfile

# The source tree is not written to.
sys.dont_write_bytecode = True

import runs
import chart
import page
import programs
import report

from allocators import Missing, find
from measure import Failed
from tables import plain

DOCUMENT = os.path.join(runs.TOP, "docs", "suite.md")
PICTURES = os.path.join(runs.TOP, "docs", "img")
CHART_NAME = "suite"
ALLOCATORS = "glibc,jemalloc,tcmalloc,mimalloc,neap"


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__,
        epilog="Exit status: 0, 1 if a measurement failed, 2 for a mistake in the options or "
               "something missing.")
    parser.add_argument("--build", metavar="DIR",
                        default=os.path.join(runs.TOP, "build", "release"),
                        help="where bin/workloads and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR",
                        default=os.path.join(runs.TOP, "build", "suite"),
                        help="where the results go (build/suite)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--workloads", metavar="LIST",
                        help="which, separated by commas (all; real programs where installed)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="interleaved rounds, of which medians are shown (5)")
    parser.add_argument("--percent", type=int, metavar="N",
                        help="share of the usual number of operations (100)")
    parser.add_argument("--quick", action="store_true",
                        help="one round at 5 percent where not said otherwise, nothing counted")
    parser.add_argument("--no-counts", action="store_true",
                        help="do not have valgrind count instructions where the machine does not")
    parser.add_argument("--docs", action="store_true",
                        help="also write docs/suite.md and its chart")
    parser.add_argument("--from-json", metavar="FILE",
                        help="measure nothing: take the results of an earlier run")
    parser.add_argument("--list", action="store_true",
                        help="measure nothing: name the workloads, and the programs not installed")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"),
                        help="measure nothing: two earlier results, one against the other")
    options = parser.parse_args(arguments)
    if options.list:
        return options
    if options.docs and (options.quick or options.workloads):
        parser.error("--docs takes full results")
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.percent is None:
        options.percent = 5 if options.quick else 100
    if options.rounds < 1 or not 1 <= options.percent <= 100:
        parser.error("--rounds starts at 1, --percent goes from 1 to 100")
    return options


def read_results(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def write_file(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def measure_now(options, arguments):
    allocators = find(options.allocators.split(","), runs.TOP, options.build)
    wanted = options.workloads.split(",") if options.workloads else None
    if programs.missing():
        print(f"run.py: not installed, and so left out: {', '.join(programs.missing())}; "
              "tools/install-packages --bench installs them", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="neap-suite-") as folder:
        bench = runs.Bench(options.build, folder, allocators, options.percent, wanted)
        unknown = set(wanted or []) - {w.name for w in bench.workloads}
        if unknown:
            raise Missing(f"no workload here is called {', '.join(sorted(unknown))}")
        command = shlex.join(["bench/suite/run.py"] + arguments)
        return runs.measure_all(command, bench, options.rounds,
                                not (options.quick or options.no_counts))


def list_workloads(options):
    with tempfile.TemporaryDirectory(prefix="neap-suite-") as folder:
        synthetic = runs.Bench(options.build, folder, [], 1, []).synthetic()
    for workload in synthetic + programs.PROGRAMS:
        is_missing = workload.name in programs.missing()
        print(f"{workload.name:16} {workload.help}{' (not installed)' if is_missing else ''}")


def save(results, options):
    os.makedirs(options.out, exist_ok=True)
    paths = [write_file(os.path.join(options.out, "results.json"),
                        json.dumps(results, indent=1) + "\n"),
             write_file(os.path.join(options.out, "results.md"), page.report_markdown(results,
                                                                          CHART_NAME + ".svg"))]
    if "neap" in dict(report.allocators_of(results)):
        paths += chart.draw_ratios(results, options.out, CHART_NAME)
    return paths


def write_document(results):
    write_file(DOCUMENT, page.report_markdown(results, os.path.join("img", CHART_NAME + ".svg")))
    chart.draw_ratios(results, PICTURES, CHART_NAME)


def print_report(results):
    for title, _, (head, rows) in page.sections(results):
        print(f"\n{title}\n")
        print(plain(head, rows).replace("**", "  "))
    print(f"\n{report.spread_text(results)}\n")
    for sentence in report.findings(results):
        print(f"- {sentence.replace('**', '')}")


def main(arguments):
    options = parse(arguments)
    try:
        if options.list:
            list_workloads(options)
            return 0
        if options.compare:
            print(page.compare_text(*map(read_results, options.compare)))
            return 0
        results = (read_results(options.from_json) if options.from_json
                   else measure_now(options, arguments))
        paths = save(results, options)
        print_report(results)
        if options.docs:
            write_document(results)
    except Missing as missing:
        print(f"run.py: {missing}", file=sys.stderr)
        return 2
    except (Failed, OSError, RuntimeError) as failed:
        print(f"run.py: {failed}", file=sys.stderr)
        return 1
    if results["failures"]:
        print("\n" + "\n".join(f"run.py: {text}" for text in results["failures"]),
              file=sys.stderr)
    print("\nWritten:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return 1 if results["failures"] else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
