"""The runners of the suite measure, write their files, and compare: on glibc and neap, as little as
they can be told to.

Usage: runners_test.py BUILD_FOLDER
"""

import json
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
KEYS = ("glibc", "neap")


def run(script, *arguments):
    done = subprocess.run([sys.executable, "-B", os.path.join(HERE, script), *arguments],
                          capture_output=True, text=True, timeout=200, check=False)
    if done.returncode != 0:
        sys.exit(f"{script} {arguments}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def results_of(script, build_folder, out, *arguments):
    """Runs it; returns its results."""
    run(script, "--quick", "--rounds", "1", "--allocators", ",".join(KEYS), "--build",
        build_folder, "--out", out, *arguments)
    with open(os.path.join(out, "results.json"), encoding="utf-8") as file:
        return json.load(file)


def require_equal(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: {found}, and not {expected}")


def changed_copy(path, factor):
    """A result in which neap is faster by that factor."""
    with open(path, encoding="utf-8") as file:
        results = json.load(file)
    for entry in results["runs"]:
        if entry["allocator"] == "neap":
            entry["seconds"] /= factor
    copy = path + ".copy"
    with open(copy, "w", encoding="utf-8") as file:
        json.dump(results, file)
    return copy


def check_suite(build_folder, out):
    """Two workloads and a program; and its own result beside one that is four times as fast."""
    names = ["churn-hot", "pipe", "sort"]
    found = results_of("run.py", build_folder, out, "--percent", "1", "--workloads",
                       ",".join(names))
    require_equal(sorted(os.listdir(out)), ["results.json", "results.md", "suite.png", "suite.svg"],
                  "written")
    require_equal({(entry["workload"], entry["allocator"]) for entry in found["runs"]},
                  {(name, key) for name in names for key in KEYS}, "measured")
    path = os.path.join(out, "results.json")
    text = run("run.py", "--compare", path, changed_copy(path, 4))
    mean = text.splitlines()[-1].split()
    require_equal(mean[:2], ["neap", "0.250"], "compared with a neap four times as fast")
    found = results_of("run.py", build_folder, out, "--percent", "1", "--allocators", "neap",
                       "--no-counts", "--workloads", "churn-hot")
    require_equal([entry["allocator"] for entry in found["runs"]], ["neap"], "measured alone")


def check_scaling(build_folder, out):
    found = results_of("scaling.py", build_folder, out)
    curves = {"heap": 3, "objects": 3, "threads": 3, "arenas": 2}
    for kind, point_count in curves.items():
        points = [p for p in found["points"] if p["curve"] == kind]
        require_equal(len(points), point_count * len(KEYS), f"points of {kind}")
        if not all(p["operation_ns"] > 0 and p["peak_rss_bytes"] > 0 for p in points):
            sys.exit(f"{kind}: something costs nothing: {points}")
    if not os.path.exists(os.path.join(out, "scaling.svg")):
        sys.exit("no chart of curves")


def check_startup(build_folder, out):
    found = results_of("startup.py", build_folder, out)
    for kind in ("sleeping", "ending"):
        programs = {entry["program"] for entry in found[kind]}
        require_equal({(entry["program"], entry["allocator"]) for entry in found[kind]},
                      {(program, key) for program in programs for key in KEYS}, kind)
    memory = {entry["program"]: entry["rss_anon_kib"] for entry in found["sleeping"]
              if entry["allocator"] == "neap"}
    # A hundred blocks of 500 bytes on average are a dozen pages.
    if memory["idle, 100 blocks"] < memory["idle, no block"] + 40:
        sys.exit(f"a hundred blocks cost no memory: {memory}")


def main():
    build_folder = sys.argv[1]
    for check in (check_suite, check_scaling, check_startup):
        with tempfile.TemporaryDirectory() as out:
            check(build_folder, out)


main()
