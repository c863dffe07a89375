"""Medians, ratios, tables and sentences, computed from a results object."""

import math
import statistics

import runs  # puts bench/experiments on the path

from tables import number

MIB = 1 << 20
# Below this, peak memory is mostly libraries and the program's own.
BIG_PEAK_BYTES = 30 * MIB
# Ratios nearer to 1 than this are called level.
LEVEL = 1.05


class Measure:
    """One figure of a run: its key, unit and how a cell shows it."""

    def __init__(self, key, title, short, divisor, digits):
        self.key = key
        self.title = title
        self.short = short
        self.divisor = divisor
        self.digits = digits


SECONDS = Measure("seconds", "Time, in seconds", "time", 1, 2)
SYSTEM = Measure("system_seconds", "Time in the kernel, in seconds", "kernel time", 1, 2)
CPU = Measure("cpu_seconds", "CPU time (user and system), in seconds", "CPU time", 1, 2)
RSS = Measure("peak_rss_bytes", "Peak RSS, in MiB", "peak RSS", MIB, 1)
FAULTS = Measure("faults", "Page faults, in thousands", "faults", 1000, 1)
COUNT = Measure("instructions", "Instructions in user space, in millions", "instructions", 1e6, 1)


def allocators_of(results):
    return [(a["key"], a["name"]) for a in results["about"]["allocators"]]


def names_of(results, kind=None):
    return [w["name"] for w in results["workloads"] if kind is None or w["kind"] == kind]


def values_of(results, workload, key, measure):
    entries = results["counts"] if measure is COUNT else results["runs"]
    return [entry[measure.key] for entry in entries
            if entry["workload"] == workload and entry["allocator"] == key
            and measure.key in entry]


def median_of(results, workload, key, measure):
    values = values_of(results, workload, key, measure)
    return statistics.median(values) if values else None


def lowest_of(results, workload, key, measure):
    """What a busy machine has disturbed least."""
    return min(values_of(results, workload, key, measure), default=None)


def ratios_of(results, workload, measure, value_of=median_of):
    """By allocator, the median as a multiple of the lowest median; {} if it was not measured."""
    values = {key: value_of(results, workload, key, measure) for key, _ in allocators_of(results)}
    if None in values.values():
        return {}
    lowest = min(values.values())
    return {key: value / lowest for key, value in values.items()} if lowest > 0 else {}


def geometric_mean(values):
    return math.exp(statistics.fmean(math.log(value) for value in values))


def mean_ratio(results, names, key, measure, value_of=median_of):
    """The geometric mean of an allocator's ratios over these workloads, or None."""
    found = [ratios[key] for ratios in
             (ratios_of(results, name, measure, value_of) for name in names) if ratios]
    return geometric_mean(found) if found else None


def big_names(results):
    """Workloads whose peak is above BIG_PEAK_BYTES under the allocator that needs least."""
    return [name for name in names_of(results)
            if min(median_of(results, name, key, RSS) or 0
                   for key, _ in allocators_of(results)) > BIG_PEAK_BYTES]


def has(results, measure):
    return any(ratios_of(results, name, measure) for name in names_of(results))


def summary_rows(results):
    """One row an allocator, the quickest first."""
    everything = names_of(results)
    columns = [("time", everything, SECONDS), ("CPU time", everything, CPU),
               ("peak RSS", everything, RSS)]
    if has(results, COUNT):
        columns.append(("instructions", everything, COUNT))
    if names_of(results, "program"):
        columns.append(("CPU time, real programs", names_of(results, "program"), CPU))
    if big_names(results):
        columns.append(("RSS where all peaks are over 30 MiB", big_names(results), RSS))
    rows = []
    for key, name in allocators_of(results):
        means = [mean_ratio(results, names, key, measure) for _, names, measure in columns]
        rows.append((means[1], [name] + [number(mean, 2) for mean in means]))
    return ["allocator"] + [title for title, _, _ in columns], [row for _, row in sorted(rows)]


def class_of(workload):
    """"server-large2" is one of the servers; real programs are one class."""
    return ("real programs" if workload["kind"] == "program" else
            workload["name"].split("-")[0].rstrip("0123456789"))


def class_rows(results):
    """One row a class: time and memory as multiples of the best of each workload."""
    classes = {}
    for workload in results["workloads"]:
        classes.setdefault(class_of(workload), []).append(workload["name"])
    rows = []
    for title, names in classes.items():
        row = [f"{title} ({len(names)})"]
        for key, _ in allocators_of(results):
            means = [mean_ratio(results, names, key, measure) for measure in (SECONDS, RSS)]
            row.append(" / ".join("-" if mean is None else number(mean, 2) for mean in means))
        rows.append(row)
    return ["class"] + [name for _, name in allocators_of(results)], rows


def fresh_names(results):
    return [name for name in names_of(results) if name.startswith("fresh")]


def fresh_rows(results):
    rows = []
    for name in fresh_names(results):
        row = [name]
        for key, _ in allocators_of(results):
            values = [median_of(results, name, key, measure) for measure in (FAULTS, RSS, SYSTEM)]
            row.append("-" if None in values else
                       f"{number(values[0] / (values[1] / MIB), 1)} ({number(values[2], 2)} s)")
        rows.append(row)
    return ["workload"] + [name for _, name in allocators_of(results)], rows


def detail_rows(results, measure):
    """One row a workload: the median, and how many times the best it is."""
    rows = []
    for name in names_of(results):
        ratios = ratios_of(results, name, measure)
        if not ratios:
            continue
        row = [name]
        for key, _ in allocators_of(results):
            shown = number(median_of(results, name, key, measure) / measure.divisor,
                           measure.digits)
            ratio = number(ratios[key], 2)
            row.append(f"**{shown}**" if ratios[key] == 1 else f"{shown} ({ratio})")
        rows.append(row)
    means = [mean_ratio(results, names_of(results), key, measure)
             for key, _ in allocators_of(results)]
    rows.append(["geometric mean"] + [f"({number(mean, 2)})" for mean in means])
    return ["workload"] + [name for _, name in allocators_of(results)], rows


def workload_rows(results):
    return ["workload", "what it does"], [[w["name"], w["help"]] for w in results["workloads"]]


def spread_of(results, workload, key, measure):
    """Highest less lowest of the rounds, as a share of the median."""
    values = values_of(results, workload, key, measure)
    median = statistics.median(values)
    return (max(values) - min(values)) / median if median > 0 else 0.0


def spread_text(results):
    if results["about"]["rounds"] < 2:
        return "One round says nothing of how much the figures vary."
    spreads = {measure.key: [spread_of(results, name, key, measure) for name in names_of(results)
                             for key, _ in allocators_of(results)
                             if values_of(results, name, key, measure)]
               for measure in (SECONDS, CPU, RSS)}

    def shown(measure):
        values = sorted(spreads[measure.key])
        return (f"{number(100 * statistics.median(values), 0)} % "
                f"({number(100 * values[len(values) * 9 // 10], 0)} %)")

    return ("Between the rounds of one workload under one allocator, the highest value was above "
            f"the lowest by a median (a ninetieth percentile) of {shown(SECONDS)} of the time, "
            f"{shown(CPU)} of the CPU time and {shown(RSS)} of the peak RSS: smaller differences "
            "between two cells say nothing.")


def about_text(results):
    about = results["about"]
    machine = about["machine"]
    counted = {"counters": "Instructions: the processor's counters, in user space.",
               "valgrind": "This machine's hypervisor hides the processor's counters: instructions "
                           "were counted by valgrind (callgrind), one run, at "
                           f"{runs.COUNTED_PERCENT} % of the operations.",
               None: "Instructions were not counted."}[results["counted_by"]]
    programs = ", ".join(f"{name.rsplit('/', 1)[-1]} {version}"
                         for name, version in about["programs"].items())
    return (f"Measured {about['date']} with `{about['command']}` on {machine['processor']}, "
            f"{machine['processor_count']} processors, {machine['memory_bytes'] / 2**30:.0f} GiB, "
            f"Linux {machine['kernel']}, system pages of {machine['system_page_bytes']} bytes, "
            f"transparent huge pages `{machine['transparent_hugepage']}`, {about['percent']} % of "
            "the usual number of operations; load "
            f"{machine['load_average_at_start']:.1f} at the start and "
            f"{machine['load_average_at_end']:.1f} at the end of the rounds. "
            + "; ".join(f"{a['key']} {a['version']}" for a in about["allocators"])
            + (f". Programs: {programs}" if programs else "")
            + (f". Not installed, and so not measured: {', '.join(about['missing'])} "
               "(`tools/install-packages --bench`)" if about["missing"] else "")
            + f". Medians of {about['rounds']} interleaved rounds. {counted} "
            + ("Page faults: the kernel's event, which leaves out what is populated ahead."
               if results["faults_are"] == "page faults" else
               "Page faults: getrusage's minor faults, pages that are populated ahead among them.")
            + "".join(f"\n\n**A run failed**: {text}" for text in results["failures"])
            + "\n\n" + spread_text(results))


# Sentences about one allocator.

def listed(pairs):
    return ", ".join(f"{name} {number(ratio, 2)}" for name, ratio in pairs)


def place_text(results, key, name, measure):
    means = sorted((mean_ratio(results, names_of(results), k, measure), k)
                   for k, _ in allocators_of(results))
    place = [k for _, k in means].index(key)
    mean, best = means[place][0], means[0]
    names = dict(allocators_of(results))
    if len(means) == 1:
        return f"**{measure.short}**: {name} alone was measured."
    others = (f"the lowest mean of the {len(means)}; {names[means[1][1]]} follows with "
              f"{number(means[1][0], 2)}" if place == 0 else
              f"number {place + 1} of {len(means)}; the lowest is {names[best[1]]}'s "
              f"{number(best[0], 2)}")
    return (f"**{measure.short}**: {name} takes {number(mean, 2)} times the best of each workload "
            f"on (geometric) average: {others}.")


def strengths_text(results, key, measure):
    """Where the allocator is level with the best, and where it is furthest from it."""
    ratios = [(name, found[key]) for name in names_of(results)
              if (found := ratios_of(results, name, measure))]
    level = [name for name, ratio in ratios if ratio <= LEVEL]
    worst = sorted((pair for pair in ratios if pair[1] > LEVEL), key=lambda pair: -pair[1])[:5]
    parts = [f"Best, or within 5 % of it: {', '.join(level) if level else 'nowhere'}."]
    if worst:
        parts.append(f"Furthest from the best: {listed(worst)}.")
    return " ".join(parts)


def findings(results, key="neap"):
    names = dict(allocators_of(results))
    if key not in names:
        return []
    measures = [SECONDS, CPU, RSS, FAULTS] + ([COUNT] if has(results, COUNT) else [])
    return [f"{place_text(results, key, names[key], measure)} "
            f"{strengths_text(results, key, measure)}" for measure in measures]


# Two results, one against the other.

# A change of a median below this is not listed as one.
CHANGED = 1.10


def shared_allocators(old, new):
    return [(key, name) for key, name in allocators_of(new) if key in dict(allocators_of(old))]


def changes_of(old, new, key, measure):
    """{workload: new as a multiple of old}, of those that both have."""
    changes = {}
    for name in names_of(new):
        before = median_of(old, name, key, measure) if name in names_of(old) else None
        after = median_of(new, name, key, measure)
        if before and after:
            changes[name] = after / before
    return changes


def compare_summary_rows(old, new, measures):
    """Means by allocator. That of one which has not changed says how the machine has."""
    rows = []
    for key, name in shared_allocators(old, new):
        changes = [changes_of(old, new, key, measure) for measure in measures]
        rows.append([name] + [number(geometric_mean(of_one.values()), 3) if of_one else "-"
                              for of_one in changes])
    return ["geometric mean of new / old"] + [measure.short for measure in measures], rows


def changed_text(old, new, key, measure):
    """The workloads whose median has changed most, both ways."""
    changes = sorted(changes_of(old, new, key, measure).items(), key=lambda pair: pair[1])
    lower = [pair for pair in changes if pair[1] < 1 / CHANGED]
    higher = [pair for pair in reversed(changes) if pair[1] > CHANGED]
    return (f"{measure.short}: lower in {len(lower)} ({listed(lower[:12]) or '-'}), "
            f"higher in {len(higher)} ({listed(higher[:12]) or '-'})")


def compare_rows(old, new, measure):
    """For each workload and allocator that both have: old -> new, and new as a multiple."""
    keys = shared_allocators(old, new)
    changes = {key: changes_of(old, new, key, measure) for key, _ in keys}
    rows = []
    for name in names_of(new):
        row = [name]
        for key, _ in keys:
            if name not in changes[key]:
                row.append("-")
                continue
            before, after = (median_of(results, name, key, measure) / measure.divisor
                             for results in (old, new))
            row.append(f"{number(before, measure.digits)} -> {number(after, measure.digits)} "
                       f"({number(changes[key][name], 2)})")
        rows.append(row)
    return ["workload"] + [name for _, name in keys], rows


def compare_warnings(old, new):
    warnings = []
    if old["about"]["percent"] != new["about"]["percent"]:
        warnings.append("! Not the same amount of work: the figures cannot be compared.")
    elif old["about"]["machine"]["processor"] != new["about"]["machine"]["processor"]:
        warnings.append("! Not the same kind of machine: only ratios within each can be compared.")
    if set(names_of(old)) != set(names_of(new)):
        warnings.append("! Not the same workloads: means are of those that both have.")
    if old["counted_by"] != new["counted_by"]:
        warnings.append("! Instructions were not counted in the same way.")
    return warnings
