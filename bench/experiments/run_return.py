#!/usr/bin/env python3
"""Runs the scenarios of `return` under every allocator, holds neap to its bounds, and writes
tables, JSON and charts."""

import argparse
import json
import os
import shlex
import sys

# The source tree is not written to.
sys.dont_write_bytecode = True

import document
import measure
import return_charts
import return_measure
import return_tables
import tables
from allocators import find
from return_bounds import SCENARIOS
from run import DOCUMENT, PICTURES, TOP, finish

ALLOCATORS = ("neap,glibc,jemalloc,tcmalloc,mimalloc,"
              "glibc-trim0,jemalloc-decay0,jemalloc-thread")
QUICK_SCALE = 8


def parse(arguments):
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        prog="run_return.py", description=__doc__,
        epilog="Exit status: 0 if neap is within its bounds, 1 if it is not or a measurement "
               "failed, 2 for a mistake in the options or something missing.")
    parser.add_argument("--build", metavar="DIR", default=os.path.join(TOP, "build", "release"),
                        help="where bin/return and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR", default=os.path.join(TOP, "build", "return"),
                        help="where the results go (build/return)")
    parser.add_argument("--allocators", metavar="LIST", default=ALLOCATORS,
                        help=f"which, separated by commas ({ALLOCATORS})")
    parser.add_argument("--scenarios", metavar="LIST", default=",".join(names),
                        help="which, separated by commas (all)")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="rounds of all plays; the worst is held against the bound (3)")
    parser.add_argument("--time-rounds", type=int, metavar="N",
                        help="interleaved rounds of neap's two settings; medians are compared "
                             f"({return_measure.TIME_ROUND_COUNT})")
    parser.add_argument("--idle", type=float, metavar="SECONDS",
                        help="idle after the last free (10)")
    parser.add_argument("--scale", type=int, metavar="N", help="divide all sizes by N (1)")
    parser.add_argument("--quick", action="store_true",
                        help=f"one round, 1 s of idleness, scale {QUICK_SCALE} where not said "
                             "otherwise")
    parser.add_argument("--docs", action="store_true",
                        help="also fill in the tables of docs/experiments.md and its charts")
    parser.add_argument("--from-json", metavar="FILE",
                        help="measure nothing: take the results of an earlier run")
    options = parser.parse_args(arguments)
    check(parser, options, names)
    return options


def check(parser, options, names):
    quick = options.quick
    if options.rounds is None:
        options.rounds = 1 if quick else 3
    if options.time_rounds is None:
        options.time_rounds = return_measure.TIME_ROUND_COUNT
    if options.idle is None:
        options.idle = 1 if quick else 10
    if options.scale is None:
        options.scale = QUICK_SCALE if quick else 1
    options.scenarios = options.scenarios.split(",")
    unknown = [name for name in options.scenarios if name not in names]
    if unknown:
        parser.error(f"--scenarios: '{unknown[0]}' is none of {', '.join(names)}")
    if min(options.rounds, options.time_rounds, options.scale) < 1 or options.idle < 0:
        parser.error("--rounds, --time-rounds and --scale start at 1, --idle at 0")
    if options.docs and (quick or options.scale > 1 or options.scenarios != names):
        parser.error("--docs takes full results")


def measure_now(options, arguments):
    allocators = find(options.allocators.split(","), TOP, options.build)
    runner = return_measure.ReturnRunner(options.build, allocators, options.scale, options.idle,
                                         options.scenarios)
    command = shlex.join(["bench/experiments/run_return.py"] + arguments)
    about = measure.describe(command, allocators, None, options.rounds)
    about.update(scale=options.scale, idle_seconds=options.idle,
                 time_rounds=options.time_rounds)
    return return_measure.measure(runner, about, options.rounds, options.time_rounds)


def report_markdown(results):
    parts = ["# Results of the return experiment", return_tables.about_text(results)]
    parts.append("\n".join(f"- {f.text}" for f in return_tables.findings(results)))
    parts += ["## The scenarios", tables.markdown(*return_tables.scenario_rows(results))]
    for title, (head, rows) in return_tables.sections(results):
        parts += [f"## {title}", tables.markdown(head, rows)]
    return "\n\n".join(parts) + "\n"


def print_report(results):
    for title, (head, rows) in return_tables.sections(results):
        print(f"\n{title}\n")
        print(tables.plain(head, rows))
    print()
    for finding in return_tables.findings(results):
        print(f"{'-' if finding.holds else '!'} {finding.text}")


def save(results, folder):
    os.makedirs(folder, exist_ok=True)
    paths = [document.write_file(os.path.join(folder, "results.json"),
                                 json.dumps(results, indent=1) + "\n")]
    paths.append(document.write_file(os.path.join(folder, "results.md"),
                                     report_markdown(results)))
    return paths + return_charts.draw(results, folder)


def document_blocks(results):
    """What stands between the markers of docs/experiments.md that begin with return."""
    return {
        "return-about": return_tables.about_text(results),
        "return-findings": "\n".join(f"- {f.text}" for f in return_tables.findings(results)),
        "return-scenarios": tables.markdown(*return_tables.scenario_rows(results)),
        "return-kept": tables.markdown(*return_tables.default_rows(results)),
        "return-tuned": tables.markdown(*return_tables.tuned_rows(results)),
        "return-variants": tables.markdown(*return_tables.variant_rows(results)),
        "return-ratios": tables.markdown(*return_tables.time_rows(results)),
        "return-seconds": tables.markdown(*return_tables.seconds_rows(results)),
    }


def fill_document(results):
    document.fill(DOCUMENT, document_blocks(results), lambda name: name.startswith("return"))
    return_charts.draw(results, PICTURES)


def main(arguments):
    options = parse(arguments)

    def report(results):
        paths = save(results, options.out)
        print_report(results)
        if options.docs:
            fill_document(results)
        return paths

    return finish("run_return.py", options, lambda: measure_now(options, arguments), report,
                  return_tables.findings)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
