#!/usr/bin/env python3
"""Runs the workloads under every allocator and writes tables, JSON and a chart."""

import argparse
import json
import os
import re
import shlex
import sys
import tempfile

# The source tree is not written to.
sys.dont_write_bytecode = True

import runs
import chart
import report

from allocators import Missing, find
from measure import Failed

DOCUMENT = os.path.join(runs.TOP, "docs", "measuring.md")
PICTURES = os.path.join(runs.TOP, "docs", "img")
CHART_NAME = "workloads"
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
                        default=os.path.join(runs.TOP, "build", "workloads"),
                        help="where the results go (build/workloads)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--workloads", metavar="LIST",
                        help="which, separated by commas (all; real programs where installed)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="interleaved rounds, of which medians are shown (5)")
    parser.add_argument("--percent", type=int, metavar="N",
                        help="share of the usual number of operations (100)")
    parser.add_argument("--quick", action="store_true",
                        help="one round at 10 percent where not said otherwise, nothing counted")
    parser.add_argument("--docs", action="store_true",
                        help="also fill in the tables of docs/measuring.md and its chart")
    parser.add_argument("--from-json", metavar="FILE",
                        help="measure nothing: take the results of an earlier run")
    parser.add_argument("--compare", nargs=2, metavar=("OLD", "NEW"),
                        help="measure nothing: two earlier results, one against the other")
    options = parser.parse_args(arguments)
    if options.docs and (options.quick or options.workloads):
        parser.error("--docs takes full results")
    if options.rounds is None:
        options.rounds = 1 if options.quick else 5
    if options.percent is None:
        options.percent = 10 if options.quick else 100
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
    with tempfile.TemporaryDirectory(prefix="neap-workloads-") as folder:
        bench = runs.Bench(options.build, folder, allocators, options.percent, wanted)
        unknown = set(wanted or []) - {w.name for w in bench.workloads}
        if unknown:
            raise Missing(f"no workload here is called {', '.join(sorted(unknown))}")
        command = shlex.join(["bench/workloads/run.py"] + arguments)
        return runs.measure_all(command, bench, options.rounds, not options.quick)


def save(results, options):
    os.makedirs(options.out, exist_ok=True)
    paths = [write_file(os.path.join(options.out, "results.json"),
                        json.dumps(results, indent=1) + "\n"),
             write_file(os.path.join(options.out, "results.md"), report.report_markdown(results))]
    if "neap" in dict(report.allocators_of(results)):
        paths += chart.draw_ratios(results, options.out, CHART_NAME)
    return paths


def document_blocks(results):
    """What stands between the markers of docs/measuring.md."""
    blocks = {"about": report.about_text(results),
              "workloads": report.markdown(*report.workload_rows(results)),
              "findings": "\n".join(f"- {text}" for text in report.findings(results))}
    blocks.update({name: report.markdown(*rows) for _, name, rows in report.sections(results)})
    return blocks


def fill_document(results):
    """Replaces every generated block; one that has no text, or no place, is an error."""
    with open(DOCUMENT, encoding="utf-8") as file:
        text = file.read()
    blocks = document_blocks(results)
    pattern = re.compile(r"(<!-- begin generated: ([a-z-]+) -->\n).*?(<!-- end generated -->)",
                         re.DOTALL)
    places = [match.group(2) for match in pattern.finditer(text)]
    if sorted(places) != sorted(blocks):
        raise Failed(f"{DOCUMENT} has places for {', '.join(sorted(places))}; "
                     f"the results fill {', '.join(sorted(blocks))}")
    write_file(DOCUMENT, pattern.sub(lambda match: match.group(1) + blocks[match.group(2)] + "\n"
                                     + match.group(3), text))
    chart.draw_ratios(results, PICTURES, CHART_NAME)


def print_report(results):
    for title, _, (head, rows) in report.sections(results):
        print(f"\n{title}\n")
        print(report.plain(head, rows).replace("**", "  "))
    print(f"\n{report.spread_text(results)}\n")
    for sentence in report.findings(results):
        print(f"- {sentence.replace('**', '')}")


def main(arguments):
    options = parse(arguments)
    try:
        if options.compare:
            print(report.compare_text(*map(read_results, options.compare)))
            return 0
        results = (read_results(options.from_json) if options.from_json
                   else measure_now(options, arguments))
        paths = save(results, options)
        print_report(results)
        if options.docs:
            fill_document(results)
    except Missing as missing:
        print(f"run.py: {missing}", file=sys.stderr)
        return 2
    except (Failed, OSError, RuntimeError) as failed:
        print(f"run.py: {failed}", file=sys.stderr)
        return 1
    print("\nWritten:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
