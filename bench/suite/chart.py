"""The chart: for each workload, how many times the best each allocator takes."""

import report

from charts import WIDTH, data_block, draw, machine_text, quoted

ROW_HEIGHT = 20
TOP, BOTTOM = 118, 96
# Told apart by shape and darkness: neap is the large dark dot.
STYLES = {
    "glibc": ("glibc", "pt 8 ps 1.25 lw 1.6 lc rgb '#444444'"),
    "jemalloc": ("jemalloc", "pt 4 ps 1.15 lw 1.6 lc rgb '#b45309'"),
    "tcmalloc": ("tcmalloc", "pt 2 ps 1.15 lw 1.6 lc rgb '#15803d'"),
    "mimalloc": ("mimalloc", "pt 12 ps 1.3 lw 1.6 lc rgb '#9333ea'"),
    "neap": ("neap", "pt 7 ps 1.5 lw 2.2 lc rgb '#0b4f8a'"),
}


class Sheet:
    """What draw() asks of a page: its height and its title."""

    def __init__(self, height, title):
        self.height = height
        self.title = title


def title_of(results):
    mean = {measure.key: report.mean_ratio(results, report.names_of(results), "neap", measure)
            for measure in (report.SECONDS, report.RSS)}
    return (f"neap takes {mean['seconds']:.2f} times the time and "
            f"{mean['peak_rss_bytes']:.2f} times the memory of the best allocator of each workload")


def rows_of(results, key, measure, names):
    rows = []
    for index, name in enumerate(names):
        ratios = report.ratios_of(results, name, measure)
        if ratios:
            rows.append((f"{ratios[key]:.4f}", len(names) - index))
    rows.append((f"{report.mean_ratio(results, names, key, measure):.4f}", 0))
    return rows


def panel(results, measure, title, names, keys, left, right, height, is_labelled):
    """One half: a row a workload, a mark an allocator, the ratio on a logarithmic axis."""
    highest = max(float(ratio) for key in keys
                  for ratio, _ in rows_of(results, key, measure, names))
    tics = [tic for tic in (1, 1.5, 2, 3, 5, 8, 15, 30, 60, 120) if tic <= highest * 1.1]
    labels = ["geom. mean"] + list(reversed(names))
    lines = [
        f"set lmargin at screen {left}", f"set rmargin at screen {right}",
        f"set bmargin at screen {BOTTOM / height}", f"set tmargin at screen {1 - TOP / height}",
        "set logscale x", f"set xrange [0.95:{max(1.6, highest * 1.12):.3f}]",
        "set xtics (" + ", ".join(f"'{tic:g}' {tic}" for tic in tics) + ")",
        f"set yrange [-0.7:{len(names) + 0.7}]",
        "set ytics (" + ", ".join(f"{quoted(label if is_labelled else '')} {place}"
                                  for place, label in enumerate(labels)) + ") scale 0 noenhanced",
        f"set title {quoted(title)} font ',12.5' noenhanced offset 0,-0.5",
    ]
    plots = [f"$d_{measure.key}_{key} using 1:2 with points {STYLES[key][1]}" for key in keys]
    return lines + ["plot " + ", \\\n  ".join(plots)]


def draw_ratios(results, folder, name):
    names = report.names_of(results)
    keys = [key for key, _ in report.allocators_of(results) if key in STYLES]
    # neap last, so that no other mark lies on its own.
    keys.sort(key=lambda key: key == "neap")
    height = TOP + BOTTOM + ROW_HEIGHT * (len(names) + 2)
    title = title_of(results)
    lines = [data_block(f"d_{measure.key}_{key}", rows_of(results, key, measure, names))
             for measure in (report.SECONDS, report.RSS) for key in keys]
    lines += ["set multiplot", "unset key", "set border 3 lc '#666666'", "set tics nomirror",
              "set tics font ',11'", "set grid x y lc '#d4d4d4' lw 1",
              f"set label 1 {quoted(title)} at screen 0.01,{1 - 24 / height} font ',14.5' "
              "noenhanced front",
              f"set label 2 {quoted(explanation(results))} at screen 0.01,{1 - 48 / height} "
              "font ',11.5' textcolor '#444444' noenhanced front",
              f"set label 3 'times the best allocator of the workload (1 = best), logarithmic' "
              f"at screen 0.5,{50 / height} center font ',12' front"]
    lines += legend(results, keys, height)
    left = 128 / WIDTH
    lines += panel(results, report.SECONDS, "time", names, keys, left, 0.535,
                   height, True)
    lines += ["unset label", "unset object"]
    lines += panel(results, report.RSS, "peak RSS", names, keys, 0.56, 0.985, height, False)
    lines += ["unset multiplot", ""]
    return draw(Sheet(height, title), "\n".join(lines), folder, name)


def explanation(results):
    about = results["about"]
    return (f"Median of {about['rounds']} interleaved rounds; further left is better. "
            + machine_text(about))


def legend(results, keys, height):
    lines, x = [], 128
    names = dict(report.allocators_of(results))
    for index, key in enumerate(keys, start=10):
        y = 20 / height
        lines.append(f"set label {index} {quoted(names[key])} at screen {x / WIDTH},{y} "
                     f"point {STYLES[key][1]} offset 1.2,0 font ',12' noenhanced front")
        x += 66 + 8 * len(names[key])
    return lines
