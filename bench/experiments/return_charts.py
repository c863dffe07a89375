"""The charts of the return experiment, drawn with gnuplot from a results object."""

import charts
from measure import allocators_of
from return_bounds import MIB, kept_mib, peak_mib, returned_share

TITLES = {
    "small": "400 MiB of small blocks are freed in random order",
    "sparse": "400 MiB of small blocks are freed, but for one in 200",
    "remote": "A thread allocates 300 MiB and blocks for ever, another frees it",
    "sawtooth-fast": "100 MiB up and down every 50 ms for 3 s",
}

# Told apart by darkness and by dashes too.
SHARES = [
    ("small", "small", f"lw 2.5 lc '{charts.RSS_COLOUR}'"),
    ("sparse", "sparse: one in 200 kept", f"lw 2.5 dt (8,3) lc '{charts.LIVE_COLOUR}'"),
    ("remote", "remote: freed by another thread", "lw 2.5 dt (2,3) lc '#2f7d32'"),
]
EVEN = ("as much as was freed", "lw 1.5 lc '#9a9a9a'")


def scale_text(results):
    scale = results["about"]["scale"]
    return "" if scale == 1 else f" All sizes are divided by {scale}."


def over_time(results, name, folder):
    """Live and resident bytes through a scenario, a panel for each allocator."""
    names = dict(allocators_of(results))
    traces = [trace for trace in results["traces"] if trace["play"]["scenario"] == name]
    keeper_count = len([t for t in traces if returned_share(t["play"]) < 0.5])
    title = f"{TITLES[name]}: {keeper_count} of {len(traces)} allocators keep most of it"
    panels = []
    for trace in traces:
        play = trace["play"]
        finding = f"{charts.whole(kept_mib(play))} of {charts.whole(peak_mib(play))} MiB stay"
        if play["kept_page_bytes"]:
            finding += f", {charts.whole(play['kept_page_bytes'] / MIB)} under live blocks"
        panels.append((names[trace["allocator"]], finding, trace["samples"]))
    explanation = (f"Scenario {name}: all settings by default, and no call but malloc and free. "
                   f"{charts.machine_text(results['about'])}.{scale_text(results)}")
    return charts.draw_over_time(panels, title, explanation, folder, f"return-{name}")


def shares(trace):
    """Points (% freed so far, % returned so far), from the peak of the live bytes on. What lies
    on pages with a live block at the end is not asked for."""
    samples = trace["samples"]
    top = max(range(len(samples)), key=lambda index: samples[index][1])
    end_live, top_live = samples[-1][1], samples[top][1]
    peak = max(rss for _, _, rss in samples)
    returnable = peak - trace["play"]["kept_page_bytes"]
    return [(100 * (top_live - live) / (top_live - end_live), 100 * (peak - rss) / returnable)
            for _, live, rss in samples[top:]]


def share_panel(index, traces):
    """Data blocks and gnuplot lines of one allocator's panel."""
    blocks, plots = [], [f"x with lines {EVEN[1]}"]
    for number, (name, _, style) in enumerate(SHARES):
        for trace in traces:
            if trace["play"]["scenario"] == name:
                rows = [(round(x, 2), round(y, 2), round(y, 2)) for x, y in shares(trace)]
                block = f"share{index}_{number}"
                blocks.append(charts.data_block(block, charts.visible(rows, 100)))
                plots.append(f"${block} using 1:2 with lines {style}")
    return blocks, "plot " + ", ".join(plots)


def return_title(results, keys):
    """Who has returned nearly all in the end, who nearly nothing."""
    names = dict(allocators_of(results))
    ends = {key: [shares(t)[-1][1] for t in results["traces"] if t["allocator"] == key
                  and t["play"]["scenario"] in {name for name, _, _ in SHARES}] for key in keys}
    givers = [names[key] for key in keys if min(ends[key]) > 95]
    keepers = [key for key in keys if max(ends[key]) < 5]
    text = f"{len(keepers)} of {len(keys)} allocators return next to nothing"
    if givers:
        text = f"{charts.join_words(givers)} return{'s' if len(givers) == 1 else ''} nearly all, " \
               + text
    return f"Of freed memory {text}"


def returned(results, folder):
    """What was returned against what was freed, a panel for each allocator."""
    names = dict(allocators_of(results))
    keys = [key for key in names if any(t["allocator"] == key for t in results["traces"])]
    page = charts.Page(
        return_title(results, keys),
        "In random order a page goes with the last block on it. Pages under kept blocks are left "
        f"out. {charts.machine_text(results['about'])}.{scale_text(results)}",
        len(keys), "% of the bytes freed so far", "% of the memory returned so far")
    for index, key in enumerate(keys):
        traces = [t for t in results["traces"] if t["allocator"] == key]
        blocks, plot = share_panel(index, traces)
        page.blocks += blocks
        ends = [f"{name} {charts.whole(shares(t)[-1][1])} %" for name, _, _ in SHARES
                for t in traces if t["play"]["scenario"] == name]
        page.panels.append([charts.panel_title(names[key], ", ".join(ends)), plot])
    legend = [(words, style) for _, words, style in SHARES] + [EVEN]
    settings = ["set xrange [0:101]", "set yrange [-2:104]", "set xtics 0,25,100",
                "set ytics 0,25,100"]
    return charts.draw(page, page.script(legend, settings), folder, "return-of-freed")


def draw(results, folder):
    traced = {trace["play"]["scenario"] for trace in results["traces"]}
    paths = []
    for name in TITLES:
        if name in traced:
            paths += over_time(results, name, folder)
    if traced & {name for name, _, _ in SHARES}:
        paths += returned(results, folder)
    return paths
