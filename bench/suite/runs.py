"""Runs every workload under every allocator in turn and keeps what `measured` says about it.

A results object is a plain dictionary, written to results.json as it is:

  about        command, date, machine, commit, versions, rounds, programs that are not installed
  workloads    name, kind ("synthetic" or "program"), help
  runs         workload, allocator, round, seconds, cpu_seconds, system_seconds, peak_rss_bytes,
               faults; and under "faults_are" what those are
  counts       workload, allocator, instructions; and under "counted_by" with what
  failures     a sentence for each run that failed
"""

import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import programs
import servers

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.append(os.path.join(TOP, "bench", "experiments"))

from allocators import KNOB, Missing, output_of
from measure import Failed, Progress, describe

# What valgrind counts is the same in every run, so less of it will do; but a workload must have
# reached its usual size.
COUNTED_PERCENT = 5
TIMEOUT_SECONDS = 300
# lua knows realloc only.
BINDING = re.compile(r"binding file .* to (\S+) \[\d+\]: normal symbol `(?:malloc|realloc)'")


class Workload:
    """A command line and what it is called with, at one scale."""

    def __init__(self, name, kind, help_text, command, program=None):
        self.name = name
        self.kind = kind
        self.help = help_text
        self.command = command
        self.extra = program.extra if program else {}
        self.client = program.client if program else None
        self.brings_malloc = program is not None and program.brings_malloc


class Bench:
    """Copies of the programs and of neap's library, so that a build meanwhile changes nothing."""

    def __init__(self, build_folder, folder, allocators, percent, wanted):
        self.folder = folder
        self.allocators = allocators
        self.percent = percent
        self.wanted = wanted
        self.own_programs = [self.copied(os.path.join(build_folder, "bin", "workloads"))]
        containers = os.path.join(build_folder, "bin", "containers")
        if os.path.exists(containers):      # built where there is a C++ compiler
            self.own_programs.append(self.copied(containers))
        self.measured_path = self.copied(os.path.join(build_folder, "bin", "measured"))
        for allocator in allocators:
            if allocator.key.startswith("neap"):
                allocator.preloaded = self.copied(os.path.realpath(allocator.preloaded))
        self.workloads = [w for w in self.synthetic() + self.real()
                          if wanted is None or w.name in wanted]
        self.answer = b""

    def copied(self, path):
        if not os.path.exists(path):
            raise Missing(f"{path} is not built: run\n"
                          "  cmake --preset release && cmake --build --preset release")
        return shutil.copy(path, self.folder)

    def synthetic(self):
        return [Workload(name, "synthetic", text, [program, f"--percent={self.percent}", name])
                for program in self.own_programs for name, text in listed_by(program)
                if name != "small"]

    def real(self):
        return [Workload(p.name, "program", p.help, p.make_command(self.folder, self.percent), p)
                for p in programs.installed()
                if self.wanted is None or p.name in self.wanted]

    def environment(self, workload, allocator):
        """What is set for the command only: what starts it stays on the C library's malloc."""
        changes = {"LC_ALL": "C", **workload.extra, **allocator.extra}
        if allocator.preloaded:
            changes["LD_PRELOAD"] = allocator.preloaded
        elif workload.brings_malloc:
            # Put before the program's own allocator, libc serves malloc after all.
            changes["LD_PRELOAD"] = "libc.so.6"
        return [f"{name}={value}" for name, value in changes.items()]

    def run(self, workload, allocator, output=subprocess.DEVNULL, debug=()):
        """Runs it once; returns what `measured` reports. A client's answer is in self.answer."""
        report_path = os.path.join(self.folder, "report.json")
        command = [self.measured_path, report_path, *self.environment(workload, allocator), *debug,
                   *workload.command]
        with tempfile.TemporaryFile() as complaints:
            started = subprocess.Popen(command, env=plain_environment(), stdout=output,
                                       stderr=complaints)
            try:
                if workload.client:
                    self.answer = workload.client(self.folder, self.percent)
                status = started.wait(TIMEOUT_SECONDS)
            except (subprocess.TimeoutExpired, servers.NotServed, OSError) as failed:
                kill_with_children(started)
                raise Failed(f"{workload.name} under {allocator.name}: {failed}") from None
            complaints.seek(0)
            text = text_of(complaints.read())
        if status != 0:
            raise Failed(f"{workload.name} under {allocator.name}: {text}")
        with open(report_path, encoding="utf-8") as file:
            report = json.load(file)
        if report["exit_status"] != 0 or report["signal"] != 0:
            raise Failed(f"{workload.name} under {allocator.name}: exit status "
                         f"{report['exit_status']}, signal {report['signal']}: {text}")
        return report


def listed_by(program):
    """(name, help) of the workloads that a program of ours has."""
    text = subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout
    return re.findall(r"^  ([a-z][-a-z]*\d*) +(.*)$", text, re.MULTILINE)


def plain_environment():
    return {name: value for name, value in os.environ.items() if not KNOB.match(name)}


def kill_with_children(started):
    """`measured`, and the command that it waits for."""
    for process in output_of(["ps", "-o", "pid=", "--ppid", str(started.pid)]).split():
        os.kill(int(process), signal.SIGKILL)
    started.kill()
    started.wait()


def text_of(data):
    return data.decode("utf-8", "replace").strip()[-500:]


# Before anything is measured: is it the right malloc, and does the program answer the same?

def files_of_malloc(folder):
    """Where malloc came from in every process that the loader kept a record of."""
    found = set()
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), encoding="utf-8", errors="replace") as file:
            # A program that takes malloc's address stands in for it with its own entry, which
            # leads on to the library.
            of_process = [path for path in BINDING.findall(file.read()) if ".so" in path]
        if not of_process:
            raise RuntimeError("a process of which nobody knows where malloc came from")
        found.update(of_process)
    return found


def checked_answer(bench, workload, allocator):
    """Runs it once with the loader's record on; returns a digest of what it prints."""
    with tempfile.TemporaryDirectory(dir=bench.folder) as records:
        with tempfile.TemporaryFile() as output:
            bench.run(workload, allocator, output=output,
                      debug=["LD_DEBUG=bindings", f"LD_DEBUG_OUTPUT={records}/bindings"])
            output.seek(0)
            # The synthetic ones name the file of malloc; that alone may differ.
            answer = re.sub(rb"(?m)^malloc: .*\n", b"", output.read())
            if workload.client:
                answer = bench.answer
        files = files_of_malloc(records)
        if not files:
            raise RuntimeError(f"{workload.name}: the loader kept no record")
        for path in files:
            allocator.check(path)
    return hashlib.sha256(answer).hexdigest()


def check_all(bench, progress):
    """Also reads every file once, so that no allocator pays for the first time."""
    for workload in bench.workloads:
        answers = {}
        for allocator in bench.allocators:
            progress.step(f"checking {workload.name} on {allocator.name}")
            answers[allocator.name] = checked_answer(bench, workload, allocator)
        if len(set(answers.values())) != 1:
            raise Failed(f"{workload.name} does not answer the same under every allocator: "
                         f"{answers}")


def measure_rounds(bench, rounds, progress):
    """All allocators on a workload before the next workload, so that a change in the machine's
    mood strikes all alike; the order turns, so that no allocator is always first. A run that fails
    does not cost the others: returns the runs and what failed."""
    runs, failures = [], []
    for round_number in range(1, rounds + 1):
        for workload in bench.workloads:
            shift = round_number % len(bench.allocators)
            for allocator in bench.allocators[shift:] + bench.allocators[:shift]:
                progress.step(f"round {round_number}: {workload.name} on {allocator.name}")
                try:
                    report = bench.run(workload, allocator)
                except Failed as failed:
                    failures.append(str(failed))
                    continue
                counted = {name: report[name] for name in ("instructions", "cycles")
                           if name in report}
                runs.append({
                    "workload": workload.name, "allocator": allocator.key, "round": round_number,
                    "seconds": report["seconds"],
                    "cpu_seconds": report["user_seconds"] + report["system_seconds"],
                    "system_seconds": report["system_seconds"],
                    "peak_rss_bytes": report["peak_rss_bytes"],
                    "faults": report.get("page_faults", report["minor_faults"]),
                    **counted,
                })
    return runs, failures


# Instructions: `measured` has the processor's counters where the machine lets us; where not,
# valgrind counts.

def counted_in_rounds(runs):
    """The instructions of every run, where the processor counted them."""
    return [{"workload": run["workload"], "allocator": run["allocator"],
             "instructions": run["instructions"]} for run in runs if "instructions" in run]


def count_by_valgrind(bench, workload, allocator):
    """callgrind counts, and does not replace malloc. It sees one process, so a program that starts
    others is not counted; of `start` it is one of the small programs."""
    if workload.kind == "program":
        return None
    program = workload.command[0]
    command = [program, f"--percent={COUNTED_PERCENT}", workload.name]
    if workload.name == "start":
        command = [program, "small"]
    changes = dict(variable.split("=", 1) for variable in bench.environment(workload, allocator))
    done = subprocess.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                           *command], env={**plain_environment(), **changes},
                          capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        raise Failed(f"valgrind: {workload.name} under {allocator.name}: {done.stderr[-500:]}")
    return int(found.group(1))


def count_all(bench, progress):
    """Load does not change what valgrind counts: every processor is used."""
    jobs = [(w, a) for w in bench.workloads for a in bench.allocators]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        counts = []
        for (workload, allocator), value in zip(
                jobs, pool.map(lambda job: count_by_valgrind(bench, *job), jobs)):
            progress.step(f"counting: {workload.name} on {allocator.name}")
            if value is not None:
                counts.append({"workload": workload.name, "allocator": allocator.key,
                               "instructions": value})
    return counts


def digest_of(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:16]


def about(command, bench, rounds):
    """What, when, where, with which versions."""
    facts = describe(command, bench.allocators, 0, rounds)
    del facts["total_bytes"]
    facts["percent"] = bench.percent
    facts["commit"] = output_of(["git", "-C", TOP, "describe", "--always", "--dirty"])
    facts["missing"] = programs.missing()
    facts["programs"] = {p.executable: programs.version_of(p) for p in programs.installed()
                         if any(w.name == p.name for w in bench.workloads)}
    for entry, allocator in zip(facts["allocators"], bench.allocators):
        if allocator.preloaded:
            entry["library"] = os.path.basename(allocator.preloaded)
            entry["library_sha256_start"] = digest_of(allocator.preloaded)
    return facts


def counts_faults(bench):
    """Whether `measured` can count the kernel's page faults here, or getrusage has to do."""
    with tempfile.NamedTemporaryFile(dir=bench.folder) as report:
        subprocess.run([bench.measured_path, report.name, "true"], check=True)
        return "page_faults" in json.load(report)


def measure_all(command, bench, rounds, is_counting):
    results = {"about": about(command, bench, rounds),
               "workloads": [{"name": w.name, "kind": w.kind, "help": w.help}
                             for w in bench.workloads]}
    pair_count = len(bench.workloads) * len(bench.allocators)
    progress = Progress(pair_count * (1 + rounds + is_counting))
    check_all(bench, progress)
    results["faults_are"] = "page faults" if counts_faults(bench) else "minor faults"
    results["runs"], results["failures"] = measure_rounds(bench, rounds, progress)
    results["about"]["machine"]["load_average_at_end"] = os.getloadavg()[0]
    results["counted_by"], results["counts"] = None, counted_in_rounds(results["runs"])
    if results["counts"]:
        results["counted_by"] = "counters"
    elif is_counting and shutil.which("valgrind"):
        results["counted_by"], results["counts"] = "valgrind", count_all(bench, progress)
    progress.end()
    return results
