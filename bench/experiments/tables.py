"""Tables and sentences, computed from a results object; as text, and as Markdown for the docs."""

from allocators import TUNED
from measure import (MIB, allocators_of, kept_mib, median_of, most_of, peak_mib, run_cpu_seconds,
                     run_seconds, sizes_of)

BOUND_MIB = 2           # what neap may hold above its start after the last free


def number(value, digits=1):
    text = f"{value:.{digits}f}"
    return text.lstrip("-") if float(text) == 0 else text


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def plain(head, rows):
    widths = [max(len(row[i]) for row in [head] + rows) for i in range(len(head))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)).rstrip()
             for row in [head] + rows]
    return "\n".join([lines[0], "-" * len(lines[0])] + lines[1:])


def kept_rows(results):
    """Kept of peak, above the start, for each size and allocator."""
    allocators = allocators_of(results)
    head = ["bytes"] + [name for _, name in allocators]
    rows = []
    for size in sizes_of(results):
        row = [str(size)]
        for key, _ in allocators:
            kept = median_of(results, key, size, kept_mib)
            peak = median_of(results, key, size, peak_mib)
            row.append(f"{number(kept)} of {number(peak, 0)}")
        rows.append(row)
    return head, rows


def time_rows(results):
    allocators = allocators_of(results)
    head = ["bytes"] + [name for _, name in allocators]
    rows = []
    for size in sizes_of(results):
        row = [str(size)]
        for key, _ in allocators:
            wall = median_of(results, key, size, run_seconds)
            cpu = median_of(results, key, size, run_cpu_seconds)
            row.append(f"{number(wall, 2)} ({number(cpu, 2)})")
        rows.append(row)
    return head, rows


def conditions_text(results):
    """What was measured when, by what and on what."""
    about = results["about"]
    machine = about["machine"]
    return (f"Measured {about['date']} with `{about['command']}` on {machine['processor']}, "
            f"{machine['processor_count']} processors, "
            f"{machine['memory_bytes'] / 2**30:.0f} GiB, Linux {machine['kernel']}, "
            f"system pages of {machine['system_page_bytes']} bytes, transparent huge pages "
            f"`{machine['transparent_hugepage']}`; load at the start "
            f"{machine['load_average_at_start']:.1f}. "
            + "; ".join(f"{a['key']} {a['version']}" for a in about["allocators"]
                        if a["key"] not in TUNED) + ".")


def about_text(results):
    rounds = results["about"]["rounds"]
    return f"{conditions_text(results)} Medians of {rounds} interleaved rounds."


def size_list(sizes):
    words = [str(size) for size in sizes]
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


class Finding:
    """A sentence about the data and whether what neap promises holds in it."""

    def __init__(self, text, holds=True):
        self.text = text
        self.holds = holds


def find_kept(results, key, name):
    """At which sizes an allocator keeps more than half, and less than a twentieth."""
    sizes = sizes_of(results)
    shares = {s: median_of(results, key, s, kept_mib) / median_of(results, key, s, peak_mib)
              for s in sizes}
    keeps = [s for s in sizes if shares[s] > 0.5]
    returns = [s for s in sizes if shares[s] <= 0.05]
    parts = []
    if keeps:
        parts.append(f"keeps more than half of its memory after the last free of blocks of "
                     f"{size_list(keeps)} bytes")
    if returns:
        parts.append(f"gives back 95 % or more at {size_list(returns)} bytes")
    if not parts:
        parts.append("keeps between a twentieth and a half at all sizes")
    return Finding(f"{name} {', and '.join(parts)}.")


def find_bound(results):
    """neap's memory after the last free, in the worst round."""
    sizes = sizes_of(results)
    worst = max(sizes, key=lambda size: most_of(results, "neap", size, kept_mib))
    kept = most_of(results, "neap", worst, kept_mib)
    over = [s for s in sizes if most_of(results, "neap", s, kept_mib) > BOUND_MIB]
    text = (f"neap holds at most {number(max(kept, 0), 2)} MiB more than at the start after the "
            f"last free (at {worst} bytes, worst of all rounds): ")
    if over:
        return Finding(text + f"MORE than the {BOUND_MIB} MiB it may, at {size_list(over)} bytes.",
                       False)
    return Finding(text + f"within the {BOUND_MIB} MiB it may, without any call by the program.")


def find_speed(results):
    sizes = sizes_of(results)
    # Seconds of a clock count what else the machine does.
    ratios = {s: median_of(results, "neap", s, run_cpu_seconds)
              / median_of(results, "glibc", s, run_cpu_seconds) for s in sizes}
    slower = [s for s in sizes if ratios[s] > 1]
    text = (f"The whole run takes neap {number(min(ratios.values()), 2)} to "
            f"{number(max(ratios.values()), 2)} of glibc's CPU time: ")
    if slower:
        return Finding(text + f"MORE than glibc at {size_list(slower)} bytes.", False)
    return Finding(text + f"no more at any of the {len(sizes)} sizes.")


def find_mxfast(results):
    """Old behaviour on purpose: 90 % or more kept up to 120 bytes, 5 % or less from 121."""
    text = []
    holds = True
    for size in (100, 120, 121, 500):
        share = 100 * (median_of(results, "neap-mxfast", size, kept_mib)
                       / median_of(results, "neap-mxfast", size, peak_mib))
        holds = holds and (share >= 90 if size <= 120 else share <= 5)
        text.append(f"{number(share)} % at {size}")
    return Finding(f"With M_MXFAST=120 neap keeps {', '.join(text)} bytes"
                   + (": ptmalloc's fast bins, on purpose." if holds else
                      ": NOT what ptmalloc's fast bins do."), holds)


def findings(results):
    """What the table shows, one sentence each."""
    found = []
    keys = [key for key, _ in allocators_of(results)]
    for key, name in allocators_of(results):
        if key not in ("neap", "neap-mxfast"):
            found.append(find_kept(results, key, name))
    if "neap" in keys:
        found.append(find_bound(results))
        if "glibc" in keys:
            found.append(find_speed(results))
    if "neap-mxfast" in keys:
        found.append(find_mxfast(results))
    return found


def threshold_rows(results):
    names = dict(allocators_of(results))
    rows = []
    for entry in results["thresholds"]:
        probes = sorted(entry["probes"], key=lambda probe: probe["size_bytes"])
        shares = [100 * probe["retained_share"] for probe in probes]
        found = ", ".join(f"{t['threshold_bytes']}: {100 * t['below']['retained_share']:.0f} %, "
                          f"above {100 * max(t['above']['retained_share'], 0):.0f} %"
                          for t in entry["thresholds"])
        rows.append([names[entry["allocator"]], found or "none",
                     f"{number(min(shares))} to {number(max(shares))} %"])
    return ["allocator", "threshold", "kept, over all sizes probed"], rows


def oom_rows(results):
    """Who was lost at each size."""
    allocators = [(k, n) for k, n in allocators_of(results)
                  if any(entry["allocator"] == k for entry in results["oom"])]
    sizes = sorted({entry["case"]["size_bytes"] for entry in results["oom"]})
    head = ["bytes"] + [name for _, name in allocators]
    rows = []
    for size in sizes:
        row = [str(size)]
        for key, _ in allocators:
            cases = [e["case"] for e in results["oom"]
                     if e["allocator"] == key and e["case"]["size_bytes"] == size]
            row.append(oom_cell(cases[0]) if cases else "-")
        rows.append(row)
    return head, rows


def oom_cell(case):
    if case["lost_count"] == 0:
        return "both lived"
    ends = ["first" if i == 0 else "second"
            for i, process in enumerate(case["processes"]) if not process["lived"]]
    return " and ".join(ends) + " killed"


def oom_finding(results):
    """Both promises of the two-process test."""
    def lost(key, sizes=None):
        return [e["case"]["size_bytes"] for e in results["oom"] if e["allocator"] == key
                and e["case"]["lost_count"] > 0 and (not sizes or e["case"]["size_bytes"] in sizes)]
    tried = sorted(e["case"]["size_bytes"] for e in results["oom"] if e["allocator"] == "neap")
    found = []
    if lost("glibc"):
        found.append(Finding(f"glibc loses a process at {size_list(sorted(lost('glibc')))} bytes."))
    if tried:
        text = (f"neap loses one at {size_list(sorted(lost('neap')))} bytes." if lost("neap")
                else f"neap loses none at {size_list(tried)} bytes.")
        found.append(Finding(text, not lost("neap")))
    return found


def cases_of(results, name):
    return [entry for entry in results["cases"] if entry["case"] == name]


def case_life(results, name, key, size):
    for entry in cases_of(results, name):
        if entry["allocator"] == key and entry["life"]["size_bytes"] == size:
            return entry["life"]
    return None


def vector_rows(results, key):
    """Absolute RSS, as someone who watches the process from outside sees it."""
    rows = []
    for entry in cases_of(results, "vector"):
        if entry["allocator"] != key:
            continue
        life = entry["life"]
        figures = [life["start_rss_bytes"], life["passes"][0]["peak_rss_bytes"],
                   life["passes"][0]["freed_rss_bytes"], life["table_rss_bytes"],
                   life["trim_rss_bytes"]]
        rows.append([str(life["size_bytes"])] + [number(f / MIB, 1) for f in figures])
    head = ["bytes", "start", "peak", "after the last free", "after the table of pointers too",
            "after `malloc_trim(0)`"]
    return head, rows


def mallopt_rows(results):
    rows = []
    names = dict(allocators_of(results))
    labels = {
        "both at 64, vector": "both at 64, table from `malloc`",
        "both at 64": "both at 64, table from `mmap`",
        "both at 64, no mappings": "both at 64 and `M_MMAP_MAX` 0, table from `mmap`",
        "fast bins off": "`M_MXFAST` 0, table from `mmap`",
    }
    for case, label in labels.items():
        for entry in cases_of(results, case):
            life = entry["life"]
            first = life["passes"][0]
            mapped = first["mallinfo2_at_peak"]["hblks"]
            figures = [life["start_rss_bytes"], first["peak_rss_bytes"],
                       first["freed_rss_bytes"], life["table_rss_bytes"]]
            rows.append([names[entry["allocator"]], str(life["size_bytes"]), label]
                        + [number(f / MIB, 1) for f in figures]
                        + [f"{mapped:,}", str(first["failed_count"])])
    head = ["allocator", "bytes", "mallopt", "start", "peak", "after the last free",
            "after the table too", "blocks mapped at the peak", "failed"]
    return head, rows


def condition_rows(results):
    """Kept of peak at 500 bytes where freeing in order on one thread is not the whole story."""
    conditions = [
        ("pin", "one 64-byte block taken at the peak and held"),
        ("reverse", "freed in reverse order"),
        ("random", "freed in random order"),
        ("sparse", "one block in 200 never freed"),
        ("threads", "two threads, each frees its own and sleeps"),
    ]
    allocators = allocators_of(results)
    rows = []
    for case, label in conditions:
        row = [label]
        for key, _ in allocators:
            life = case_life(results, case, key, 500)
            if life is None:
                row.append("-")
                continue
            cell = f"{number(kept_mib(life))} of {number(peak_mib(life), 0)}"
            if life["kept_page_bytes"]:
                cell += f" ({number(life['kept_page_bytes'] / MIB)} under live blocks)"
            row.append(cell)
        rows.append(row)
    return ["500 bytes"] + [name for _, name in allocators], rows
