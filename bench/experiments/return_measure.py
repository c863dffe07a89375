"""Runs `return` under each allocator in turn and keeps what it reports.

A results object is a plain dictionary, written to results.json as it is:

  about    command, date, machine, versions
  plays    the scenarios: allocator, round, play
  times    neap with and without returning anything: scenario, setting, round, play
  traces   the plays behind the charts, with samples [seconds, live, rss]
"""

import bisect
import collections
import json
import os
import statistics
import subprocess
import tempfile
import time

from measure import Failed, Progress, Runner, thin
from return_bounds import NOTHING_RETURNED, SCENARIOS, TIME_RATIOS

TRACED = [("small", "-"), ("sparse", "-"), ("remote", "random"), ("sawtooth-fast", "-")]
TRACE_IDLE_SECONDS = 1
TIME_ROUND_COUNT = 5
GIB = 1 << 30


def idle_at_once_limit():
    """Plays that may idle while others are at work: each is given 2 GiB of the free memory."""
    free_bytes = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(1, min(8, free_bytes // (2 * GIB) - 1))


class StartedPlay:
    """A play whose program runs."""

    def __init__(self, allocator, command):
        self.allocator = allocator
        self.command = command
        self.report = tempfile.TemporaryFile("w+")
        self.complaints = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(
                command, env=allocator.environment(), stdout=self.report,
                stderr=subprocess.PIPE, text=True)
        except FileNotFoundError:
            raise Failed(f"{command[0]} is not built: run\n"
                         "  cmake --preset release && cmake --build --preset release") from None

    def wait_until_idle(self):
        """Its work is done, or it has failed."""
        for line in self.process.stderr:
            if line == "idle\n":
                return
            self.complaints.write(line)

    def result(self):
        """What it reported; waits for the end of its idleness."""
        self.complaints.write(self.process.communicate()[1])
        self.report.seek(0)
        self.complaints.seek(0)
        plays = json.loads(self.report.read() or "{}").get("plays", [])
        if self.process.returncode != 0 or len(plays) != 1:
            raise Failed(f"{self.allocator.name}: {' '.join(self.command)}: exit status "
                         f"{self.process.returncode}: {self.complaints.read()}{plays}")
        self.allocator.check(plays[0]["allocator"])
        return plays[0]


class ReturnRunner(Runner):
    def __init__(self, build_folder, allocators, scale, idle_seconds, names):
        super().__init__(build_folder, allocators, None)
        self.scale = scale
        self.idle_seconds = idle_seconds
        self.names = names

    def command(self, name, variant, options):
        return [os.path.join(self.programs, "return"), "--json", f"--scenario={name}",
                f"--variant={variant}", f"--scale={self.scale}"] + options

    def start(self, allocator, name, variant, options):
        """Returns when the play begins to idle."""
        started = StartedPlay(allocator, self.command(name, variant, ["--say-idle"] + options))
        started.wait_until_idle()
        return started

    def play(self, allocator, name, variant, options):
        return self.start(allocator, name, variant, options).result()

    def variants(self):
        """Pairs (scenario, variant) of the scenarios wanted, as the program lists them."""
        command = [os.path.join(self.programs, "return"), "--list"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except FileNotFoundError:
            raise Failed(f"{command[0]} is not built: run\n"
                         "  cmake --preset release && cmake --build --preset release") from None
        pairs = [tuple(line.split()) for line in done.stdout.splitlines()]
        bounded = {scenario.name for scenario in SCENARIOS}
        if bounded != {name for name, _ in pairs}:
            raise Failed(f"return knows {pairs}, and bounds there are for {bounded}")
        return [(name, variant) for name, variant in pairs if name in self.names]


def measure_plays(runner, results, rounds, pairs, progress):
    """Each scenario under all allocators before the next scenario. While some plays idle the next
    are at work; only one is at work at any time."""
    idling = collections.deque()
    limit = idle_at_once_limit()
    results["plays"] = []

    def collect_first():
        started, entry = idling.popleft()
        entry["play"] = started.result()

    for round_number in range(1, rounds + 1):
        for name, variant in pairs:
            for allocator in runner.allocators:
                progress.step(f"round {round_number}: {name} {variant}, {allocator.name}")
                started = runner.start(allocator, name, variant, [f"--idle={runner.idle_seconds}"])
                entry = {"allocator": allocator.key, "round": round_number}
                results["plays"].append(entry)
                idling.append((started, entry))
                if len(idling) > limit:
                    collect_first()
    while idling:
        collect_first()


def without_return(allocator):
    """The same allocator, told to keep all memory."""
    kept = type(allocator)(allocator.key, allocator.name, allocator.version, allocator.preloaded,
                           {**allocator.extra, **NOTHING_RETURNED})
    return kept


def time_settings(runner):
    neap = next(a for a in runner.allocators if a.key == "neap")
    return [("default", neap), ("nothing returned", without_return(neap))]


def timed_play(runner, allocator, name):
    """A play with the seconds of its whole process, from its start until it is gone."""
    begin = time.monotonic()
    play = runner.play(allocator, name, "-", ["--idle=0"])
    return {**play, "command_seconds": time.monotonic() - begin}


def measure_times(runner, results, rounds, pairs, progress):
    """The two settings in turns, so that a change in the machine's mood strikes both."""
    results["times"] = []
    for name in timed_names(pairs):
        for round_number in range(1, rounds + 1):
            for setting, allocator in time_settings(runner):
                progress.step(f"time, round {round_number}: {name}, {setting}")
                results["times"].append({"scenario": name, "setting": setting,
                                         "round": round_number,
                                         "play": timed_play(runner, allocator, name)})


def timed_names(pairs):
    """Each scenario once, in the order of its first ratio."""
    names = {name for name, _ in pairs}
    return list(dict.fromkeys(ratio.scenario for ratio in TIME_RATIOS if ratio.scenario in names))


def live_at(marks, seconds):
    """Live bytes at a moment: on the line between two marks (seconds, bytes)."""
    index = bisect.bisect_right(marks, (seconds, float("inf")))
    if index == 0 or index == len(marks):
        return marks[min(index, len(marks) - 1)][1]
    (before, low), (after, high) = marks[index - 1], marks[index]
    return low + (high - low) * (seconds - before) / (after - before)


def samples_of(rows, start_rss_bytes):
    """Samples [seconds, live, rss above the start] of a trace's rows [what, seconds, bytes], from
    the first mark to the last: from the first malloc to the end of the idleness."""
    marks = sorted((seconds, count) for what, seconds, count in rows if what == "live")
    start, end = marks[0][0], marks[-1][0]
    return [[round(seconds - start, 4), round(live_at(marks, seconds)), count - start_rss_bytes]
            for what, seconds, count in rows if what == "rss" and start <= seconds <= end]


def traced(runner, allocator, name, variant):
    with tempfile.NamedTemporaryFile("r", suffix=".tsv") as trace:
        play = runner.play(allocator, name, variant,
                           [f"--idle={TRACE_IDLE_SECONDS}", f"--trace={trace.name}"])
        fields = [line.rstrip("\n").split("\t") for line in trace][1:]
    rows = [(what, float(seconds), int(count)) for _, _, seconds, what, count in fields]
    samples = samples_of(rows, play["start"]["rss_bytes"])
    return {"allocator": allocator.key, "play": play, "samples": thin(samples, 2000)}


def measure_traces(runner, results, pairs, progress):
    results["traces"] = []
    for name, variant in TRACED:
        for allocator in runner.allocators if (name, variant) in pairs else []:
            if allocator.extra:
                continue        # a chart has room for the defaults
            progress.step(f"over time: {name}, {allocator.name}")
            results["traces"].append(traced(runner, allocator, name, variant))


def count_steps(runner, pairs, rounds, time_rounds, has_times):
    plain_count = len([a for a in runner.allocators if not a.extra])
    count = rounds * len(pairs) * len(runner.allocators)
    count += plain_count * len([pair for pair in TRACED if pair in pairs])
    return count + (2 * time_rounds * len(timed_names(pairs)) if has_times else 0)


def measure(runner, about, rounds, time_rounds):
    results = {"about": about}
    pairs = runner.variants()
    has_neap = any(a.key == "neap" for a in runner.allocators)
    progress = Progress(count_steps(runner, pairs, rounds, time_rounds, has_neap))
    measure_plays(runner, results, rounds, pairs, progress)
    measure_traces(runner, results, pairs, progress)
    if has_neap:
        measure_times(runner, results, time_rounds, pairs, progress)
    progress.end()
    return results


# What the reports ask for.

def plays_of(results, key, name):
    return [entry["play"] for entry in results["plays"]
            if entry["allocator"] == key and entry["play"]["scenario"] == name]


def worst_play(results, key, scenario):
    """Of all rounds and variants, the one that is most over the bound."""
    plays = plays_of(results, key, scenario.name)
    return max(plays, key=scenario.excess_mib) if plays else None


def time_ratio(results, ratio):
    """Median by default divided by median where nothing is returned, and the two."""
    medians = [statistics.median(entry["play"][ratio.figure] for entry in results["times"]
                                 if (entry["scenario"], entry["setting"])
                                 == (ratio.scenario, setting))
               for setting in ("default", "nothing returned")]
    return medians[0] / medians[1], medians
