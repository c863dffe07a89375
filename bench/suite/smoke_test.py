"""Runs every workload at one percent, on libc's malloc and on neap, and compares the checksums.

Usage: smoke_test.py BUILD_FOLDER [LIBNEAP]

Also: the runner measures, writes its files and compares two results; a peak that `measured` reports
is the command's own and not that of whoever started it, and a name that is no workload is refused.
"""

import json
import os
import subprocess
import sys
import tempfile

SMALL_PEAK_BYTES = 8 << 20
OWN_BYTES = 64 << 20
RUNNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "run.py")


def run(program, arguments, preload="", expected_status=0, may_complain=False):
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    if preload:
        environment["LD_PRELOAD"] = preload
    done = subprocess.run([program] + arguments, env=environment, capture_output=True, text=True,
                          timeout=100, check=False)
    complains = expected_status == 0 and done.stderr and not may_complain
    if done.returncode != expected_status or complains:
        sys.exit(f"{arguments}, preload {preload or 'none'}: "
                 f"status {done.returncode}\n{done.stderr}")
    return done.stdout


def answers(text):
    """The lines "malloc: FILE" and "checksum: NUMBER"."""
    return dict(line.split(": ", 1) for line in text.splitlines())


def check_workload(program, name, library):
    plain = answers(run(program, ["--percent=1", name]))
    if not library:
        return
    preloaded = answers(run(program, ["--percent=1", name], library))
    if os.path.realpath(preloaded["malloc"]) != os.path.realpath(library):
        sys.exit(f"{name}: malloc came from {preloaded['malloc']}")
    if preloaded["checksum"] != plain["checksum"]:
        sys.exit(f"{name}: {preloaded['checksum']} on neap, "
                 f"{plain['checksum']} on libc's malloc")


def check_measured(program, workloads):
    """From here, which is made large for it: the kernel would count that as the command's."""
    ballast = bytearray(b"x" * OWN_BYTES)
    with tempfile.NamedTemporaryFile("r", suffix=".json") as report:
        run(program, [report.name, "LC_ALL=C", workloads, "--percent=1", "churn"])
        found = json.load(report)
    del ballast
    if found["exit_status"] != 0 or found["minor_faults"] < 1 or found["seconds"] <= 0:
        sys.exit(f"measured reports {found}")
    if found["peak_rss_bytes"] > SMALL_PEAK_BYTES:
        sys.exit(f"a small program is said to have taken {found['peak_rss_bytes']} bytes")


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


def check_runner(build_folder):
    """Two workloads and a program on glibc and neap; and its own result as four times as fast."""
    names = ["churn-hot", "pipe", "sort"]
    with tempfile.TemporaryDirectory() as out:
        run(sys.executable, [RUNNER, "--quick", "--percent", "1", "--build", build_folder, "--out",
                             out, "--allocators", "glibc,neap", "--workloads", ",".join(names)],
            may_complain=True)
        written = sorted(os.listdir(out))
        if written != ["results.json", "results.md", "suite.png", "suite.svg"]:
            sys.exit(f"the runner has written {written}")
        result = os.path.join(out, "results.json")
        with open(result, encoding="utf-8") as file:
            found = json.load(file)
        measured = {(entry["workload"], entry["allocator"]) for entry in found["runs"]}
        if measured != {(name, key) for name in names for key in ("glibc", "neap")}:
            sys.exit(f"the runner has measured {measured}")
        text = run(sys.executable, [RUNNER, "--compare", result, changed_copy(result, 4)])
    mean = next(line.split() for line in text.splitlines() if line.startswith("geometric mean"))
    if mean[-2:] != ["1.00", "0.25"]:
        sys.exit(f"of a neap four times as fast, compared with itself, it says {mean}")


def main():
    folder = os.path.join(sys.argv[1], "bin")
    library = sys.argv[2] if len(sys.argv) > 2 else ""
    program = os.path.join(folder, "workloads")
    names = run(program, ["--list"]).split()
    if len(names) < 60:
        sys.exit(f"only {len(names)} workloads: {names}")
    for name in names:
        check_workload(program, name, library)
    run(program, ["nothing"], expected_status=2)
    # A sanitizer's shadow is part of any peak.
    if library:
        check_measured(os.path.join(folder, "measured"), program)
        check_runner(sys.argv[1])
    print(f"{len(names)} workloads")


main()
