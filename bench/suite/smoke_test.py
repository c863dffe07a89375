"""Runs every workload at one percent, on libc's malloc and on neap, and compares the checksums.

Usage: smoke_test.py FOLDER_OF_PROGRAMS [LIBNEAP]

Also: a peak that `measured` reports is the command's own and not that of whoever started it, and
a name that is no workload is refused.
"""

import json
import os
import subprocess
import sys
import tempfile

SMALL_PEAK_BYTES = 8 << 20
OWN_BYTES = 64 << 20


def run(program, arguments, preload="", expected_status=0):
    environment = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    if preload:
        environment["LD_PRELOAD"] = preload
    done = subprocess.run([program] + arguments, env=environment, capture_output=True, text=True,
                          timeout=100, check=False)
    if done.returncode != expected_status or (expected_status == 0 and done.stderr):
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


def main():
    folder = sys.argv[1]
    library = sys.argv[2] if len(sys.argv) > 2 else ""
    program = os.path.join(folder, "workloads")
    count = 0
    containers = os.path.join(folder, "containers")
    for each in [program] + [containers] * os.path.exists(containers):
        for name in run(each, ["--list"]).split():
            check_workload(each, name, library)
            count += 1
    if count < 60:
        sys.exit(f"only {count} workloads")
    run(program, ["nothing"], expected_status=2)
    # A sanitizer's shadow is part of any peak.
    if library:
        check_measured(os.path.join(folder, "measured"), program)
    print(f"{count} workloads")


main()
