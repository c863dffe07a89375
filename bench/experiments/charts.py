"""The charts, drawn with gnuplot from a results object, each as SVG and as PNG.

One panel for each allocator, all on the same axes: lines of six allocators that keep all or
nothing would lie on top of one another. Titles state what the data show; they are computed.
"""

import html
import os
import re
import subprocess

from allocators import Missing
from measure import MIB, kept_mib, peak_mib

WIDTH, PANEL_HEIGHT, PANEL_GAP, PANEL_TOP = 1080, 270, 86, 112
# Told apart by darkness and by dashes too, for those who print in grey.
RSS_COLOUR, RSS_AREA, LIVE_COLOUR = "#0b4f8a", "#9cc3e6", "#c2410c"


def quoted(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def whole(number):
    """A number for a title: no "-0"."""
    rounded = round(number)
    return f"{rounded if rounded else 0:,}"


def data_block(name, rows):
    lines = [f"${name} << EOD"]
    lines += ["\t".join(str(value) for value in row) for row in rows]
    return "\n".join(lines + ["EOD", ""])


class Page:
    """A grid of panels with a title, a line of explanation and a legend of its own below."""

    def __init__(self, title, explanation, panel_count, x_label, y_label):
        self.columns = min(3, panel_count) if panel_count != 4 else 2
        self.rows = -(-panel_count // self.columns)
        self.height = PANEL_TOP + 26 + self.rows * PANEL_HEIGHT
        self.title = title
        self.explanation = explanation
        self.x_label = x_label
        self.y_label = y_label
        self.blocks = []
        self.panels = []

    def y(self, pixels_from_top):
        return 1 - pixels_from_top / self.height

    def margins(self, index):
        left, right, gap = 78, 24, 50
        width = (WIDTH - left - right - gap * (self.columns - 1)) / self.columns
        x = left + (index % self.columns) * (width + gap)
        top = PANEL_TOP + (index // self.columns) * PANEL_HEIGHT
        return (x / WIDTH, (x + width) / WIDTH, self.y(top + PANEL_HEIGHT - PANEL_GAP), self.y(top))

    def head(self, legend):
        lines = [
            f"set label 1 {quoted(self.title)} at screen {10 / WIDTH},{self.y(22)} "
            "font ',15' noenhanced front",
            f"set label 2 {quoted(self.explanation)} at screen {10 / WIDTH},{self.y(46)} "
            "font ',11.5' textcolor '#444444' noenhanced front",
            f"set label 3 {quoted(self.y_label)} at screen {20 / WIDTH},"
            f"{(self.y(PANEL_TOP) + self.y(self.height - 60)) / 2} center rotate by 90 "
            "font ',12' noenhanced front",
            f"set label 4 {quoted(self.x_label)} at screen 0.5,{self.y(self.height - 54)} "
            "center font ',12' noenhanced front",
        ]
        x = 78
        y = self.y(self.height - 18)
        for number, (text, style) in enumerate(legend, start=10):
            lines.append(f"set arrow {number} from screen {x / WIDTH},{y} "
                         f"to screen {(x + 42) / WIDTH},{y} nohead {style} front")
            lines.append(f"set label {number} {quoted(text)} at screen {(x + 50) / WIDTH},{y} "
                         "font ',12' noenhanced front")
            x += 50 + 8 * len(text) + 20
        return lines

    def script(self, legend, settings):
        """The common settings and every panel; labels are drawn with the first one only."""
        lines = list(self.blocks) + ["set multiplot", "unset key", "set tics font ',11'",
                                     "set border lc '#666666'", "set grid lc '#c8c8c8' lw 1"]
        lines += settings + self.head(legend)
        for index, panel in enumerate(self.panels):
            left, right, bottom, top = self.margins(index)
            lines += [f"set lmargin at screen {left}", f"set rmargin at screen {right}",
                      f"set bmargin at screen {bottom}", f"set tmargin at screen {top}"]
            lines += panel
            if index == 0:
                lines += ["unset label", "unset arrow"]
        return "\n".join(lines + ["unset multiplot", ""])


def panel_title(name, finding):
    """Two lines above a panel: whose it is, and what it shows."""
    return (f'set title {quoted(name)[:-1]}\\n{quoted(finding)[1:]} '
            "font ',12' noenhanced offset 0,-0.7")


def shrink_svg(path, title):
    """gnuplot leaves hundreds of empty groups behind, and calls every picture Gnuplot."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    text = text.replace("<title>Gnuplot</title>", f"<title>{html.escape(title)}</title>")
    text = re.sub(r"[ \t]*<text></text>\n", "", text)
    empty = re.compile(r"[ \t]*<g [^>]*>\s*</g>\n")
    while empty.search(text):
        text = empty.sub("", text)
    with open(path, "w", encoding="utf-8") as file:
        file.write(re.sub(r"\n\s*\n+", "\n", text))


def draw(page, script, folder, name):
    """Writes folder/name.svg and .png; returns their paths."""
    size = f"size {WIDTH},{page.height}"
    terminals = {
        "svg": f"svg {size} dynamic font 'DejaVu Sans,Helvetica,sans-serif,12' "
               "background '#ffffff'",
        "png": f"pngcairo {size} font 'DejaVu Sans,12' background '#ffffff'",
    }
    os.makedirs(folder, exist_ok=True)
    paths = []
    for kind, terminal in terminals.items():
        path = os.path.join(folder, f"{name}.{kind}")
        text = f"set encoding utf8\nset terminal {terminal}\nset output {quoted(path)}\n{script}"
        try:
            done = subprocess.run(["gnuplot"], input=text, text=True, capture_output=True,
                                  check=False)
        except FileNotFoundError:
            raise Missing("gnuplot is not installed: run tools/install-packages") from None
        if done.returncode != 0:
            raise RuntimeError(f"gnuplot: {done.stderr}")
        paths.append(path)
    shrink_svg(paths[0], page.title)
    return paths


def join_words(words):
    if len(words) < 2:
        return "".join(words)
    return ", ".join(words[:-1]) + " and " + words[-1]


def machine_text(about):
    machine = about["machine"]
    return (f"{about['date'][:10]}, {machine['processor_count']} processors, "
            f"Linux {machine['kernel'].split('-')[0]}")


def visible(rows, y_max):
    """Leaves out what no eye could tell: rows (x, y, y) less than 0.6 % of the axis away from the
    line between the rows left in (the method of Douglas and Peucker)."""
    kept = {0, len(rows) - 1}
    spans = [(0, len(rows) - 1)]
    while spans:
        first, last = spans.pop()
        worst, worst_index = 0.006 * y_max, None
        width = rows[last][0] - rows[first][0]
        for index in range(first + 1, last):
            part = (rows[index][0] - rows[first][0]) / width if width else 0
            for column in (1, 2):
                on_line = rows[first][column] + part * (rows[last][column] - rows[first][column])
                if abs(rows[index][column] - on_line) > worst:
                    worst, worst_index = abs(rows[index][column] - on_line), index
        if worst_index is not None:
            kept.add(worst_index)
            spans += [(first, worst_index), (worst_index, last)]
    return [rows[index] for index in sorted(kept)]


def draw_over_time(panels, title, explanation, folder, name):
    """Panels of (name, what it shows, samples), a sample being (seconds, live, resident bytes)."""
    page = Page(title, explanation, len(panels), "seconds since the first malloc", "MiB")
    x_max = max(samples[-1][0] for _, _, samples in panels) * 1.02
    y_max = max(s[2] for _, _, samples in panels for s in samples) / MIB * 1.08
    for index, (panel_name, finding, samples) in enumerate(panels):
        rows = [(s[0], round(s[1] / MIB, 2), round(max(s[2], 0) / MIB, 2)) for s in samples]
        page.blocks.append(data_block(f"trace{index}", visible(rows, y_max)))
        page.panels.append([
            panel_title(panel_name, finding),
            f"plot $trace{index} using 1:3 with filledcurves y1=0 lc '{RSS_AREA}', "
            f"$trace{index} using 1:3 with lines lw 2.5 lc '{RSS_COLOUR}', "
            f"$trace{index} using 1:2 with lines lw 2 dt (6,4) lc '{LIVE_COLOUR}'",
        ])
    legend = [
        ("resident memory (without the experiment's table of pointers)",
         f"lw 2.5 lc '{RSS_COLOUR}'"),
        ("live bytes: allocated and not yet freed", f"lw 2 dt (6,4) lc '{LIVE_COLOUR}'"),
    ]
    settings = [f"set xrange [0:{x_max:.3f}]", f"set yrange [0:{y_max:.0f}]"]
    return draw(page, page.script(legend, settings), folder, name)


def over_time(results, size, keys, folder, name):
    """Live and resident bytes through one life, a panel for each allocator."""
    names = dict((a["key"], a["name"]) for a in results["about"]["allocators"])
    traces = {t["allocator"]: t for t in results["traces"]
              if t["life"]["size_bytes"] == size and t["allocator"] in keys}
    keys = [key for key in keys if key in traces]
    kept = {key: kept_mib(traces[key]["life"]) for key in keys}
    peaks = {key: peak_mib(traces[key]["life"]) for key in keys}

    keepers = [names[key] for key in keys if kept[key] > peaks[key] / 2]
    givers = [names[key] for key in keys if kept[key] <= peaks[key] / 20]
    parts = []
    if keepers:
        parts.append(f"{join_words(keepers)} stay{'s' if len(keepers) == 1 else ''} big")
    if givers:
        parts.append(f"{join_words(givers)} give{'s' if len(givers) == 1 else ''} it back")
    total = traces[keys[0]]["life"]["total_bytes"] / MIB
    title = f"After {whole(total)} MiB of {size}-byte blocks are freed"
    if len(keys) > 3:
        # Six names do not fit one line, and each panel has its own.
        title += (f", {len(keepers)} of {len(keys)} allocators keep most of it, "
                  f"{len(givers)} give{'s' if len(givers) == 1 else ''} it back")
    elif parts:
        title += ": " + ", ".join(parts)
    explanation = ("All blocks are allocated and filled, then freed in order, then the program "
                   f"idles for a second. {machine_text(results['about'])}.")

    panels = [(names[key], f"{whole(kept[key])} of {whole(peaks[key])} MiB stay",
               traces[key]["samples"]) for key in keys]
    return draw_over_time(panels, title, explanation, folder, name)


def share_of(life):
    return 100 * max(life["retained_share"], 0)


def sizes_kept(points):
    """Says in words at which sizes more than half stays: points are (size, percent)."""
    kept = [size for size, share in points if share > 50]
    if not kept:
        return f"at most {max(share for _, share in points):.1f} % at any size"
    if len(kept) == len(points):
        return "most of it at every size"
    first, last = kept[0], kept[-1]
    between = [size for size, _ in points if first <= size <= last]
    if between == kept and first == points[0][0]:
        return f"most of it up to {last} bytes"
    if between == kept and last == points[-1][0]:
        return f"most of it from {first} bytes"
    return f"most of it at {len(kept)} of {len(points)} sizes"


def by_size(results, folder, name):
    """The share that stays against the size of the blocks."""
    names = dict((a["key"], a["name"]) for a in results["about"]["allocators"])
    series = {}
    for run in results["sweep"]:
        series.setdefault(run["allocator"], []).append(
            (run["life"]["size_bytes"], share_of(run["life"])))
    keys = [key for key in names if key in series]
    words = {key: sizes_kept(sorted(series[key])) for key in keys}
    title = "What stays resident after the last free, by size of the blocks"
    finding = [f"{names[key]} {verb}{words[key]}" for key, verb in
               (("glibc", "keeps "), ("neap", "")) if key in keys]
    if finding:
        title = "After the last free " + ", ".join(finding)
    explanation = (f"{results['sweep'][0]['life']['total_bytes'] // MIB} MiB of blocks of each "
                   "size, allocated and filled, then freed in order. "
                   f"{machine_text(results['about'])}.")
    page = Page(title, explanation, len(keys), "bytes in a block (each mark is twice the last)",
                "% of what the blocks took that stays resident")
    for index, key in enumerate(keys):
        rows = [(size, round(share, 2)) for size, share in sorted(series[key])]
        page.blocks.append(data_block(f"sweep{index}", rows))
        page.panels.append([
            panel_title(names[key], words[key]),
            f"plot $sweep{index} using 1:2 with filledcurves y1=0 lc '{RSS_AREA}', "
            f"$sweep{index} using 1:2 with linespoints lw 2 pt 7 ps 0.5 lc '{RSS_COLOUR}'",
        ])
    settings = ["set logscale x 2", "set xrange [14:18500]", "set yrange [0:108]",
                "set xtics (16,'' 32,64,'' 128,256,'' 512,1024,'' 2048,4096,'' 8192,16384)",
                "set ytics 0,25,100"]
    return draw(page, page.script([], settings), folder, name)
