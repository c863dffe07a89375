"""What neap may hold in each scenario of `return`: the one place where the bounds stand.

A play is what `return --json` reports of one scenario. All bounds are MiB of resident memory above
that at the start, by default settings, right after the last free and after idling.
"""

MIB = 1 << 20


class Bound:
    """constant_mib, worker_mib for each worker, and live_factor times the system pages on which a
    live byte lies."""

    def __init__(self, constant_mib, worker_mib=0.0, worker_count=0, live_factor=0.0):
        self.constant_mib = constant_mib + worker_mib * worker_count
        self.live_factor = live_factor
        self.words = f"{constant_mib:g}"
        if worker_count:
            self.words += f" + {worker_mib:g} x {worker_count}"
        if live_factor:
            self.words = f"{live_factor:g} x live pages + {constant_mib:g}"

    def mib(self, play):
        return self.constant_mib + self.live_factor * play["kept_page_bytes"] / MIB


class OneTooth:
    """What a saw held at the top of its first tooth, and the MiB that may always be kept. No rule
    without a timer can know that a fast saw will not go up again."""

    words = "one tooth + 1"

    def mib(self, play):
        return above_start_mib(play, "tooth") + 1


def above_start_mib(play, when):
    return (play[when]["rss_bytes"] - play["start"]["rss_bytes"]) / MIB


def kept_mib(play):
    """The more of right after the last free and after the idleness."""
    return max(above_start_mib(play, "freed"), above_start_mib(play, "idle"))


def peak_mib(play):
    return (play["peak_rss_bytes"] - play["start"]["rss_bytes"]) / MIB


def returned_share(play):
    """What is no longer resident in the end, of what the play's freed blocks took at the peak.
    Pages under live blocks are not asked for."""
    live_mib = play["kept_page_bytes"] / MIB
    return (peak_mib(play) - kept_mib(play)) / (peak_mib(play) - live_mib)


class Scenario:
    def __init__(self, name, words, bound):
        self.name = name
        self.words = words
        self.bound = bound

    def excess_mib(self, play):
        """By how much a play is over the bound; negative below it."""
        return kept_mib(play) - self.bound.mib(play)


SPARSE = Bound(2, live_factor=1.15)

SCENARIOS = [
    Scenario("small", "400 MiB of 16 to 1,024 bytes, freed in random order", Bound(4)),
    Scenario("sparse", "the same, one block in 200 kept", SPARSE),
    Scenario("onekept", "one block kept in each 64 KiB of addresses", SPARSE),
    Scenario("blocks64k", "4,000 x 64 KiB, freed in random order", Bound(2)),
    Scenario("blocks4m", "64 x 4 MiB", Bound(2)),
    Scenario("ramp", "blocks of 1 KiB to 8 MiB, each 1/64 larger than the last, all at once or one "
             "by one", Bound(2)),
    Scenario("remote", "a thread allocates 300 MiB and blocks, another frees all", Bound(4)),
    Scenario("remote4", "the same, four others free, each block another", Bound(6)),
    Scenario("remotehalf", "the same, its owner frees every second block before it blocks",
             Bound(6)),
    Scenario("idlethread", "a thread frees its own 300 MiB and blocks", Bound(4, 0.25, 1)),
    Scenario("idle64", "the same, 64 threads", Bound(4, 0.25, 64)),
    Scenario("pairs64", "64 threads, 600 MiB: of each pair one is freed by its owner, the other "
             "by the main thread", Bound(4, 1, 64)),
    Scenario("exited", "200 threads that have ended left 1 MiB each, the main thread frees it",
             Bound(4)),
    Scenario("pin", "552 bytes live above 265 MiB of freed 500-byte blocks", Bound(2)),
    Scenario("sawtooth-fast", "100 MiB up and down every 50 ms for 3 s", OneTooth()),
    Scenario("sawtooth-slow", "100 MiB up and down every 5 s", Bound(4)),
    Scenario("realloc", "one block grows to 512 MiB by realloc", Bound(2)),
]


class TimeRatio:
    """A scenario's time, as against that of the same run in which nothing is returned
    (M_TRIM_THRESHOLD = -1). "command_seconds" is that of the whole process, its end included: what
    a run has not returned the system takes back then, and that is part of what it costs. most is
    None where the ratio is only reported."""

    def __init__(self, scenario, figure, words, most):
        self.scenario = scenario
        self.figure = figure        # of a play
        self.words = words
        self.most = most


TIME_RATIOS = [
    TimeRatio("small", "command_seconds", "whole run", 1.10),
    TimeRatio("sparse", "command_seconds", "whole run", 1.10),
    TimeRatio("small", "seconds", "until the last free", None),
    TimeRatio("sparse", "seconds", "until the last free", None),
    TimeRatio("sawtooth-fast", "cpu_seconds", "processor time", 1.10),
]
NOTHING_RETURNED = {"MALLOC_TRIM_THRESHOLD_": "-1"}


def scenario_named(name):
    return next(scenario for scenario in SCENARIOS if scenario.name == name)
