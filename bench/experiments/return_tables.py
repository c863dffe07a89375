"""Tables and sentences of the return experiment, computed from a results object."""

from measure import allocators_of
from return_bounds import (MIB, SCENARIOS, TIME_RATIOS, above_start_mib, kept_mib,
                           returned_share)
from return_measure import time_ratio, worst_play
from tables import Finding, conditions_text, number

# A play that idles is shown with both figures where they differ by more.
SAME_MIB = 0.5


def scenarios_of(results):
    names = {entry["play"]["scenario"] for entry in results["plays"]}
    return [scenario for scenario in SCENARIOS if scenario.name in names]


def about_text(results):
    about = results["about"]
    scale = about["scale"]
    sizes = "" if scale == 1 else f" All sizes are divided by {scale}."
    return (f"{conditions_text(results)} {about['idle_seconds']:g} s of idleness; the worst of "
            f"{about['rounds']} rounds and of all variants of a scenario.{sizes}")


def kept_cell(play, when="idle"):
    freed, later = above_start_mib(play, "freed"), above_start_mib(play, when)
    if abs(later - freed) <= SAME_MIB:
        return number(max(freed, later))
    return f"{number(freed)}, then {number(later)}"


def exact(mib):
    """To the hundredth, without idle zeros."""
    return f"{round(mib, 2):g}"


def bound_cell(scenario, play):
    value = exact(scenario.bound.mib(play))
    return value if value == scenario.bound.words else f"{scenario.bound.words} = {value}"


def verdict(scenario, play):
    return "ok" if scenario.excess_mib(play) <= 0 else "OVER"


def default_rows(results):
    """All allocators as they are; the bound and the verdict are neap's."""
    plain = [(a["key"], a["name"]) for a in results["about"]["allocators"] if not a["environment"]]
    plain.sort(key=lambda pair: pair[0] != "neap")
    has_neap = plain[0][0] == "neap"
    head = ["scenario"] + (["bound", ""] if has_neap else []) + [name for _, name in plain]
    rows = []
    for scenario in scenarios_of(results):
        plays = [worst_play(results, key, scenario) for key, _ in plain]
        row = [scenario.name]
        if has_neap:
            row += [bound_cell(scenario, plays[0]), verdict(scenario, plays[0])]
        rows.append(row + [kept_cell(play) for play in plays])
    return head, rows


def scenario_rows(results):
    return ["scenario", "what it does"], [[s.name, s.words] for s in scenarios_of(results)]


def tuned_rows(results):
    """Peers with other settings than the defaults, and glibc after malloc_trim."""
    tuned = [(a["key"], a["name"]) for a in results["about"]["allocators"] if a["environment"]]
    names = dict(allocators_of(results))
    head = ["scenario"] + [name for _, name in tuned]
    if "glibc" in names:
        head.append(f"{names['glibc']}, after `malloc_trim(0)`")
    rows = []
    for scenario in scenarios_of(results):
        row = [scenario.name]
        row += [kept_cell(worst_play(results, key, scenario)) for key, _ in tuned]
        if "glibc" in names:
            row.append(number(most_after_trim(results, scenario)))
        rows.append(row)
    return head, rows


def most_after_trim(results, scenario):
    return max(above_start_mib(entry["play"], "trimmed") for entry in results["plays"]
               if entry["allocator"] == "glibc" and entry["play"]["scenario"] == scenario.name)


def seconds_rows(results):
    """Wall and processor time of a play: means over variants of the best of the rounds."""
    allocators = allocators_of(results)
    head = ["scenario"] + [name for _, name in allocators]
    rows = []
    for scenario in scenarios_of(results):
        row = [scenario.name]
        for key, _ in allocators:
            wall, cpu = (mean_of_best(results, key, scenario.name, figure)
                         for figure in ("seconds", "cpu_seconds"))
            row.append(f"{number(wall, 2)} ({number(cpu, 2)})")
        rows.append(row)
    return head, rows


def mean_of_best(results, key, name, figure):
    best = {}
    for entry in results["plays"]:
        play = entry["play"]
        if (entry["allocator"], play["scenario"]) == (key, name):
            variant = play["variant"]
            best[variant] = min(play[figure], best.get(variant, play[figure]))
    return sum(best.values()) / len(best)


def variant_rows(results):
    """neap's plays of the scenarios that have variants."""
    head = ["scenario", "variant", "under live blocks", "bound", "kept", ""]
    rows = []
    for scenario in scenarios_of(results):
        worst = {}
        for entry in results["plays"]:
            play = entry["play"]
            if (entry["allocator"], play["scenario"]) == ("neap", scenario.name):
                known = worst.get(play["variant"], play)
                worst[play["variant"]] = max(play, known, key=scenario.excess_mib)
        for variant, play in worst.items():
            if variant != "-":
                rows.append([scenario.name, variant,
                             number(play["kept_page_bytes"] / MIB),
                             exact(scenario.bound.mib(play)), kept_cell(play),
                             verdict(scenario, play)])
    return head, rows


def time_rows(results):
    head = ["scenario", "time of", "by default", "with `M_TRIM_THRESHOLD` = -1", "ratio", "bound",
            ""]
    rows = []
    for ratio in ratios_of(results):
        measured, (default, never) = time_ratio(results, ratio)
        rows.append([ratio.scenario, ratio.words, f"{number(default, 2)} s",
                     f"{number(never, 2)} s", number(measured, 2)] + ratio_verdict(measured, ratio))
    return head, rows


def ratio_verdict(measured, ratio):
    if ratio.most is None:
        return ["-", ""]
    return [number(ratio.most, 2), "ok" if measured <= ratio.most else "OVER"]


def ratios_of(results):
    names = {entry["scenario"] for entry in results.get("times", [])}
    return [ratio for ratio in TIME_RATIOS if ratio.scenario in names]


def find_bounds(results):
    over = []
    for scenario in scenarios_of(results):
        play = worst_play(results, "neap", scenario)
        if scenario.excess_mib(play) > 0:
            over.append(f"{scenario.name} ({exact(kept_mib(play))} of "
                        f"{exact(scenario.bound.mib(play))} MiB)")
    count = len(scenarios_of(results))
    if over:
        return Finding(f"neap is over its bound in {len(over)} of {count} scenarios: "
                       f"{', '.join(over)}.", False)
    return Finding(f"neap is within its bound in all {count} scenarios, right after the last free "
                   f"and after {results['about']['idle_seconds']:g} s of idleness.")


def find_time(results, ratio):
    measured, _ = time_ratio(results, ratio)
    text = (f"{ratio.scenario}: returning memory makes the {ratio.words} {number(measured, 2)} "
            f"times that of the same run without; at most {ratio.most:g} is allowed")
    return Finding(f"{text}." if measured <= ratio.most else f"{text}: OVER.",
                   measured <= ratio.most)


def find_peer(results, key, name):
    """In how many scenarios a peer keeps more than half of what it could have returned."""
    keeps = []
    for scenario in scenarios_of(results):
        play = worst_play(results, key, scenario)
        if returned_share(play) < 0.5:
            keeps.append(scenario.name)
    count = len(scenarios_of(results))
    if not keeps:
        return Finding(f"{name} returns at least half in each of the {count} scenarios.")
    return Finding(f"{name} keeps more than half of what it could return in {len(keeps)} of "
                   f"{count} scenarios, even after the idleness.")


def findings(results):
    keys = dict(allocators_of(results))
    found = []
    if "neap" in keys:
        found.append(find_bounds(results))
        found += [find_time(results, ratio) for ratio in ratios_of(results)
                  if ratio.most is not None]
    found += [find_peer(results, a["key"], a["name"]) for a in results["about"]["allocators"]
              if a["key"] != "neap" and not a["environment"]]
    return found


def sections(results):
    found = [("MiB resident above the start after the last free (then: after the idleness)",
              default_rows(results))]
    keys = dict(allocators_of(results))
    if "glibc" in keys or any(a["environment"] for a in results["about"]["allocators"]):
        found.append(("The same with other settings", tuned_rows(results)))
    if "neap" in keys:
        found.append(("neap, variant by variant", variant_rows(results)))
    if ratios_of(results):
        found.append(("neap's time, returning memory and keeping it", time_rows(results)))
    found.append(("Seconds for the whole run, without the idleness (CPU seconds)",
                  seconds_rows(results)))
    return found
