"""Runs retention and oom under each allocator in turn and keeps what they report.

A results object is a plain dictionary, written to results.json as it is:

  about        command, date, machine, versions
  sizes        lives at the sizes of the table: allocator, round, life
  traces       the lives behind the charts over time, with samples [seconds, live, rss]
  sweep        lives at many sizes
  cases        lives under special conditions: case, allocator, life
  thresholds   allocator, thresholds, probes
  oom          allocator, cases; or a sentence under "oom_skipped"
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

SIZES = [24, 100, 120, 121, 500, 1024, 10240]
SWEEP_SIZES = [16, 24, 32, 48, 64, 80, 96, 112, 120, 121, 128, 144, 160, 192, 256, 384, 512, 768,
               1024, 1536, 2048, 3072, 4096, 6144, 8192, 12288, 16384]
TRACE_SIZES = [100, 500]
MIB = 1 << 20

BOTH_AT_64 = ["--mallopt=MMAP_THRESHOLD=64", "--mallopt=TRIM_THRESHOLD=64"]

# Name, options, keys of the allocators it is run on (None: all).
CASES = [
    ("vector", ["--size=100,120,121,200,500,1024,10240", "--table=malloc"], None),
    ("both at 64, vector", ["--size=100,500", "--table=malloc"] + BOTH_AT_64, ["glibc", "neap"]),
    ("both at 64", ["--size=100,500"] + BOTH_AT_64, ["glibc", "neap"]),
    ("both at 64, no mappings", ["--size=100", "--mallopt=MMAP_MAX=0"] + BOTH_AT_64,
     ["glibc", "neap"]),
    ("fast bins off", ["--size=100", "--mallopt=MXFAST=0"], ["glibc", "neap-mxfast"]),
    ("pin", ["--size=500", "--pin"], None),
    ("reverse", ["--size=500", "--order=reverse"], None),
    ("random", ["--size=500", "--order=random"], None),
    ("sparse", ["--size=500", "--sparse=200"], None),
    ("threads", ["--size=500", "--threads=2"], None),
]


class Failed(Exception):
    """A program that measures has not done so."""


def first_line(path, default=""):
    try:
        with open(path, encoding="utf-8") as file:
            return file.readline().strip()
    except OSError:
        return default


def cpu_model():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return os.uname().machine


def describe(command, allocators, total_bytes, rounds):
    """The part of the results that says what, when and where."""
    memory_bytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "command": command,
        "date": time.strftime("%Y-%m-%d %H:%M %Z"),
        "total_bytes": total_bytes,
        "rounds": rounds,
        "machine": {
            "processor": cpu_model(),
            "processor_count": os.cpu_count(),
            "memory_bytes": memory_bytes,
            "system_page_bytes": os.sysconf("SC_PAGE_SIZE"),
            "kernel": os.uname().release,
            "transparent_hugepage": first_line("/sys/kernel/mm/transparent_hugepage/enabled"),
            "load_average_at_start": os.getloadavg()[0],
        },
        "allocators": [
            {"key": a.key, "name": a.name, "version": a.version, "library": a.preloaded or "libc",
             "environment": a.extra}
            for a in allocators
        ],
    }


class Progress:
    """One line that is written over, on stderr; plain lines where that is no terminal."""

    def __init__(self, step_count):
        self.step_count = step_count
        self.done_count = 0
        self.start = time.monotonic()
        self.last_shown = 0.0

    def step(self, text):
        self.done_count += 1
        elapsed = time.monotonic() - self.start
        line = f"[{self.done_count}/{self.step_count}, {elapsed:.0f} s] {text}"
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K{line}")
        elif elapsed - self.last_shown >= 5 or self.done_count == self.step_count:
            self.last_shown = elapsed
            sys.stderr.write(f"{line}\n")
        sys.stderr.flush()

    def end(self):
        if sys.stderr.isatty():
            sys.stderr.write("\r\033[K")


class Runner:
    def __init__(self, build_folder, allocators, total_bytes):
        self.programs = os.path.join(build_folder, "bin")
        self.allocators = allocators
        self.total_bytes = total_bytes

    def call(self, allocator, program, options):
        """Runs a program with --json. Returns its exit status, the report, stderr."""
        command = [os.path.join(self.programs, program), "--json"] + options
        try:
            done = subprocess.run(command, env=allocator.environment(), capture_output=True,
                                  text=True, timeout=900, check=False)
        except FileNotFoundError:
            raise Failed(f"{command[0]} is not built: run\n"
                         "  cmake --preset release && cmake --build --preset release") from None
        except subprocess.TimeoutExpired:
            raise Failed(f"{allocator.name}: {' '.join(command)} took over 900 s") from None
        report = json.loads(done.stdout) if done.stdout else None
        return done.returncode, report, done.stderr.strip()

    def retention(self, allocator, options):
        status, report, complaint = self.call(allocator, "retention", options)
        if status != 0:
            raise Failed(f"{allocator.name}: retention {' '.join(options)}: {complaint}")
        for life in report.get("lives", []):
            allocator.check(life["allocator"])
        return report

    def lives(self, allocator, options, total_bytes=None):
        total = f"--total={total_bytes or self.total_bytes}"
        return self.retention(allocator, [total] + options)["lives"]

    def traced(self, allocator, size):
        """One life with its samples."""
        with tempfile.NamedTemporaryFile("r", suffix=".tsv") as trace:
            life = self.lives(allocator, [f"--size={size}", "--wait=1", "--no-trim",
                                          f"--trace={trace.name}"])[0]
            rows = [line.rstrip("\n").split("\t") for line in trace][1:]
        table_bytes = life["table_bytes"]
        samples = []
        for _, seconds, phase, live, rss in rows:
            # The table of pointers is the experiment's own; it is there until that phase.
            own = table_bytes if phase in ("fill", "free") else 0
            samples.append([round(float(seconds), 4), int(live), int(rss) - own])
        return {"allocator": allocator.key, "life": life, "samples": thin(samples)}


def thin(samples, count=700):
    """Enough of them for a chart; the first and the last stay."""
    stride = max(1, len(samples) // count)
    kept = samples[::stride]
    return kept if kept[-1] is samples[-1] else kept + [samples[-1]]


def measure_sizes(runner, results, rounds, sizes, progress):
    """The table: all allocators at each size before the next size, so that a change in the
    machine's mood strikes all alike."""
    results["sizes"] = []
    for round_number in range(1, rounds + 1):
        for size in sizes:
            for allocator in runner.allocators:
                progress.step(f"round {round_number}: {size} bytes, {allocator.name}")
                life = runner.lives(allocator, [f"--size={size}"])[0]
                results["sizes"].append({"allocator": allocator.key, "round": round_number,
                                         "life": life})


def measure_traces(runner, results, sizes, progress):
    results["traces"] = []
    for size in sizes:
        for allocator in runner.allocators:
            progress.step(f"over time: {size} bytes, {allocator.name}")
            results["traces"].append(runner.traced(allocator, size))


def measure_sweep(runner, results, progress):
    """Smaller totals: only the share that stays is asked for."""
    results["sweep"] = []
    total_bytes = min(runner.total_bytes, 64 * MIB)
    for size in SWEEP_SIZES:
        for allocator in runner.allocators:
            progress.step(f"by size: {size} bytes, {allocator.name}")
            life = runner.lives(allocator, [f"--size={size}", "--no-trim"], total_bytes)[0]
            results["sweep"].append({"allocator": allocator.key, "life": life})


def case_allocators(runner, keys):
    return [a for a in runner.allocators if keys is None or a.key in keys]


def measure_cases(runner, results, progress):
    results["cases"] = []
    for name, options, keys in CASES:
        for allocator in case_allocators(runner, keys):
            progress.step(f"{name}: {allocator.name}")
            for life in runner.lives(allocator, options):
                results["cases"].append({"case": name, "allocator": allocator.key,
                                         "options": options, "life": life})


def measure_thresholds(runner, results, progress):
    results["thresholds"] = []
    for allocator in runner.allocators:
        progress.step(f"threshold by bisection: {allocator.name}")
        report = runner.retention(allocator, ["--find-threshold"])
        results["thresholds"].append({"allocator": allocator.key,
                                      "thresholds": report["thresholds"],
                                      "probes": report["probes"]})


def measure_oom(runner, results, sizes, progress):
    results["oom"] = []
    for allocator in runner.allocators:
        for size in sizes:
            progress.step(f"two processes: {size} bytes, {allocator.name}")
            options = [f"--size={size}", f"--total={runner.total_bytes}"]
            status, report, complaint = runner.call(allocator, "oom", options)
            if status == 77:
                results["oom_skipped"] = complaint
                return
            if status != 0:
                raise Failed(f"{allocator.name}: oom {' '.join(options)}: {complaint}")
            results["oom"].append({"allocator": allocator.key, "case": report["cases"][0]})


def count_all_steps(allocators, rounds, sizes, oom_sizes):
    keys = [a.key for a in allocators]
    case_count = sum(len([k for k in keys if wanted is None or k in wanted])
                     for _, _, wanted in CASES)
    each = rounds * len(sizes) + len(TRACE_SIZES) + len(SWEEP_SIZES) + 1 + len(oom_sizes)
    return len(keys) * each + case_count


def measure_all(runner, about, rounds, oom_sizes):
    results = {"about": about}
    progress = Progress(count_all_steps(runner.allocators, rounds, SIZES, oom_sizes))
    measure_sizes(runner, results, rounds, SIZES, progress)
    measure_traces(runner, results, TRACE_SIZES, progress)
    measure_sweep(runner, results, progress)
    measure_cases(runner, results, progress)
    measure_thresholds(runner, results, progress)
    measure_oom(runner, results, oom_sizes, progress)
    progress.end()
    return results


def measure_demo(runner, about, rounds):
    """The short version: the table, and 100 bytes over time."""
    results = {"about": about}
    count = len(runner.allocators) * (rounds * len(SIZES) + 1)
    progress = Progress(count)
    measure_sizes(runner, results, rounds, SIZES, progress)
    measure_traces(runner, results, [100], progress)
    progress.end()
    return results


# What the reports are asked for, in MiB and seconds.

def peak_mib(life):
    return (life["passes"][0]["peak_rss_bytes"] - life["start_rss_bytes"]) / MIB


def kept_mib(life):
    """Resident above the start after the last free."""
    return (life["passes"][-1]["freed_rss_bytes"] - life["start_rss_bytes"]) / MIB


def run_seconds(life):
    return sum(p["fill_seconds"] + p["free_seconds"] for p in life["passes"])


def run_cpu_seconds(life):
    return sum(p["fill_cpu_seconds"] + p["free_cpu_seconds"] for p in life["passes"])


def median_of(results, key, size, figure):
    """The median over the rounds of one figure of the table."""
    values = [figure(run["life"]) for run in results["sizes"]
              if run["allocator"] == key and run["life"]["size_bytes"] == size]
    return statistics.median(values) if values else None


def most_of(results, key, size, figure):
    """The highest over the rounds: what a bound is held against."""
    return max(figure(run["life"]) for run in results["sizes"]
               if run["allocator"] == key and run["life"]["size_bytes"] == size)


def sizes_of(results):
    return sorted({run["life"]["size_bytes"] for run in results["sizes"]})


def allocators_of(results):
    return [(a["key"], a["name"]) for a in results["about"]["allocators"]]
