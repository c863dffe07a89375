#!/usr/bin/env python3
"""Runs retention and oom under every allocator and writes tables, JSON and charts."""

import argparse
import json
import os
import shlex
import sys

# The source tree is not written to.
sys.dont_write_bytecode = True

import charts
import document
import measure
import tables
from allocators import ALL, Missing, find
from document import write_file

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(TOP, "docs", "experiments.md")
PICTURES = os.path.join(TOP, "docs", "img")


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="run.py", description=__doc__,
        epilog="Exit status: 0 if what neap promises was seen, 1 if it was not or a measurement "
               "failed, 2 for a mistake in the options or something missing.")
    parser.add_argument("--build", metavar="DIR", default=os.path.join(TOP, "build", "release"),
                        help="where bin/retention and lib/libneap.so are (build/release)")
    parser.add_argument("--out", metavar="DIR",
                        help="where the results go (build/experiments)")
    parser.add_argument("--allocators", metavar="LIST", default=",".join(ALL),
                        help=f"which, separated by commas ({','.join(ALL)})")
    parser.add_argument("--rounds", type=int, metavar="N",
                        help="interleaved rounds of the table; medians are shown (3)")
    parser.add_argument("--total", type=int, metavar="MIB",
                        help="MiB in all blocks of one run (512)")
    parser.add_argument("--quick", action="store_true",
                        help="one round and 64 MiB where not said otherwise")
    parser.add_argument("--demo", action="store_true",
                        help="only the table and one chart, for neap, glibc and jemalloc")
    parser.add_argument("--docs", action="store_true",
                        help="also fill in the tables of docs/experiments.md and its charts")
    parser.add_argument("--from-json", metavar="FILE",
                        help="measure nothing: take the results of an earlier run")
    options = parser.parse_args(arguments)
    if options.docs and (options.demo or options.quick):
        parser.error("--docs takes full results")
    options.rounds = options.rounds or (1 if options.quick else 3)
    options.total = options.total or (64 if options.quick else 512)
    options.out = options.out or os.path.join(TOP, "build",
                                              "demo" if options.demo else "experiments")
    if options.rounds < 1 or options.total < 1:
        parser.error("--rounds and --total start at 1")
    return options


def command_text(arguments):
    """The command as someone would type it in the top folder."""
    return shlex.join(["bench/experiments/run.py"] + arguments)


def measure_now(options, arguments):
    keys = ["glibc", "jemalloc", "neap"] if options.demo else options.allocators.split(",")
    allocators = find(keys, TOP, options.build)
    runner = measure.Runner(options.build, allocators, options.total * measure.MIB)
    about = measure.describe(command_text(arguments), allocators, runner.total_bytes,
                             options.rounds)
    if options.demo:
        return measure.measure_demo(runner, about, options.rounds)
    return measure.measure_all(runner, about, options.rounds,
                               [100, 500] if options.quick else measure.SIZES)


def sections(results):
    """Title and (head, rows) of every table that these results have."""
    total = results["about"]["total_bytes"] // measure.MIB
    found = [
        (f"MiB resident above the start after the last free, of those at the peak ({total} MiB "
         "in blocks of each size)", tables.kept_rows(results)),
        ("Seconds for the whole run: allocate, fill, free (CPU seconds)",
         tables.time_rows(results)),
    ]
    if "thresholds" in results:
        found.append(("Sizes at which retention changes, found by bisection",
                      tables.threshold_rows(results)))
    if "cases" in results:
        found.append(("Blocks of 500 bytes under other conditions: MiB kept, of those at the peak",
                      tables.condition_rows(results)))
        found.append(("mallopt: resident MiB, and blocks mapped", tables.mallopt_rows(results)))
    if results.get("oom"):
        found.append(("Two processes in a memory cgroup with room for one and a half",
                      tables.oom_rows(results)))
    return found


def all_findings(results):
    found = tables.findings(results)
    if results.get("oom"):
        found += tables.oom_finding(results)
    return found


def report_markdown(results):
    parts = ["# Results of the experiments", tables.about_text(results)]
    parts.append("\n".join(f"- {finding.text}" for finding in all_findings(results)))
    for title, (head, rows) in sections(results):
        parts += [f"## {title}", tables.markdown(head, rows)]
    return "\n\n".join(parts) + "\n"


def print_report(results):
    for title, (head, rows) in sections(results):
        print(f"\n{title}\n")
        print(tables.plain(head, rows))
    if "oom_skipped" in results:
        print(f"\nThe two-process experiment was left out. {results['oom_skipped']}")
    print()
    for finding in all_findings(results):
        print(f"{'-' if finding.holds else '!'} {finding.text}")


def draw_charts(results, folder):
    keys = [a["key"] for a in results["about"]["allocators"]]
    paths = []
    for size in sorted({t["life"]["size_bytes"] for t in results["traces"]}):
        paths += charts.over_time(results, size, keys, folder, f"rss-{size}")
    if "sweep" in results:
        pair = [key for key in ("glibc", "neap") if key in keys]
        paths += charts.over_time(results, 100, pair, folder, "rss-100-pair")
        paths += charts.by_size(results, folder, "kept-by-size")
    return paths


def save(results, options):
    os.makedirs(options.out, exist_ok=True)
    paths = [write_file(os.path.join(options.out, "results.json"),
                        json.dumps(results, indent=1) + "\n")]
    paths.append(write_file(os.path.join(options.out, "results.md"), report_markdown(results)))
    return paths + draw_charts(results, options.out)


def document_blocks(results):
    """What stands between the markers of docs/experiments.md."""
    def table(made):
        return tables.markdown(*made)
    names = dict(tables.allocators_of(results))
    blocks = {
        "about": tables.about_text(results),
        "findings": "\n".join(f"- {f.text}" for f in all_findings(results)),
        "kept": table(tables.kept_rows(results)),
        "time": table(tables.time_rows(results)),
        "vector-glibc": table(tables.vector_rows(results, "glibc")),
        "mallopt": table(tables.mallopt_rows(results)),
        "conditions": table(tables.condition_rows(results)),
        "thresholds": table(tables.threshold_rows(results)),
    }
    if "neap" in names:
        blocks["vector-neap"] = table(tables.vector_rows(results, "neap"))
    if results.get("oom"):
        blocks["oom"] = table(tables.oom_rows(results))
    else:
        blocks["oom"] = results["oom_skipped"]
    return blocks


def fill_document(results):
    # What begins so is run_return.py's.
    document.fill(DOCUMENT, document_blocks(results), lambda name: not name.startswith("return"))
    draw_charts(results, PICTURES)


def finish(program, options, measure_all, report, findings):
    """What the runners' mains have in common. measure_all() gives the results where --from-json
    does not, report(results) writes them and gives the paths, findings(results) judges them."""
    try:
        if options.from_json:
            with open(options.from_json, encoding="utf-8") as file:
                results = json.load(file)
        else:
            results = measure_all()
        paths = report(results)
    except Missing as missing:
        print(f"{program}: {missing}", file=sys.stderr)
        return 2
    except (measure.Failed, OSError, RuntimeError) as failed:
        print(f"{program}: {failed}", file=sys.stderr)
        return 1
    print("\nWritten:")
    for path in paths:
        print(f"  {os.path.relpath(path)}")
    return 0 if all(finding.holds for finding in findings(results)) else 1


def main(arguments):
    options = parse(arguments)

    def report(results):
        paths = save(results, options)
        print_report(results)
        if options.docs:
            fill_document(results)
        return paths

    return finish("run.py", options, lambda: measure_now(options, arguments), report,
                  all_findings)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
