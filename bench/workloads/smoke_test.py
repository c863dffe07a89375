"""Runs every workload at one percent, on libc's malloc and on neap, and compares the checksums.

Usage: smoke_test.py FOLDER_OF_PROGRAMS [LIBNEAP]
"""
import os
import subprocess
import sys


def run(program, arguments, preload):
    environment = dict(os.environ)
    environment.pop("LD_PRELOAD", None)
    if preload:
        environment["LD_PRELOAD"] = preload
    done = subprocess.run([program] + arguments, env=environment, capture_output=True, text=True,
                          timeout=100, check=False)
    if done.returncode != 0 or done.stderr:
        sys.exit(f"{arguments}, preload {preload or 'none'}: status {done.returncode}\n{done.stderr}")
    return done.stdout


def answers(text):
    """The lines "malloc: FILE" and "checksum: NUMBER"."""
    return dict(line.split(": ", 1) for line in text.splitlines())


def main():
    program = os.path.join(sys.argv[1], "workloads")
    library = sys.argv[2] if len(sys.argv) > 2 else ""
    names = run(program, ["--list"], "").split()
    if len(names) < 10:
        sys.exit(f"only {len(names)} workloads: {names}")
    for name in names:
        plain = answers(run(program, ["--percent=1", name], ""))
        if not library:
            continue
        preloaded = answers(run(program, ["--percent=1", name], library))
        if os.path.basename(os.path.realpath(preloaded["malloc"])) != \
                os.path.basename(os.path.realpath(library)):
            sys.exit(f"{name}: malloc came from {preloaded['malloc']}")
        if preloaded["checksum"] != plain["checksum"]:
            sys.exit(f"{name}: {preloaded['checksum']} on neap, {plain['checksum']} on libc's malloc")
    print(f"{len(names)} workloads")


main()
