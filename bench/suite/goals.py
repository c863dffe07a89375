"""What neap is meant to reach against its peers, and where it does not."""

import re

import report

from tables import number

KEY = "neap"
TIME_GOAL, RSS_GOAL = 0.95, 1.00        # of the geometric means
TIME_LIMIT, RSS_LIMIT = 1.15, 1.25      # of any single workload


def peers_of(results):
    """Other builds and settings of neap are no peers."""
    return [key for key, _ in report.allocators_of(results) if not key.startswith(KEY)]


def can_judge(results):
    return KEY in dict(report.allocators_of(results)) and bool(peers_of(results))


class Goal:
    """A mean that neap is to keep below that of the best of some peers, or of glibc."""

    def __init__(self, title, measure, most, is_counted=lambda name: True, is_of_glibc=False,
                 value_of=report.median_of):
        self.title = title
        self.measure = measure
        self.most = most
        self.is_counted = is_counted        # which workloads
        self.is_of_glibc = is_of_glibc
        self.value_of = value_of


def one_of(*prefixes):
    """Names that begin so, followed by the end, a number or a hyphen."""
    return re.compile("(" + "|".join(prefixes) + r")(\d|-|$)").match


GOALS = [
    Goal("time", report.SECONDS, TIME_GOAL),
    Goal("time, lowest of the rounds", report.SECONDS, TIME_GOAL, value_of=report.lowest_of),
    Goal("peak RSS", report.RSS, RSS_GOAL, is_of_glibc=True),
    Goal("time, blocks of 5 to 25 MiB", report.SECONDS, 1.10, one_of("big-middle")),
    Goal("time, from thread to thread", report.SECONDS, 1.10, one_of("pipe", "exchange")),
    Goal("time, threads that come and go", report.SECONDS, 1.10, one_of("threads")),
    Goal("time, growth by realloc", report.SECONDS, 1.05, one_of("grow"), is_of_glibc=True),
    Goal("page faults, fresh heaps", report.FAULTS, 0.25, one_of("fresh"), is_of_glibc=True),
    Goal("kernel time, fresh heaps", report.SYSTEM, 0.50, one_of("fresh"), is_of_glibc=True),
]


def goal_row(results, goal):
    """neap's geometric mean as a multiple of the lowest among the peers."""
    names = [name for name in report.names_of(results) if goal.is_counted(name)]
    peers = ["glibc"] if goal.is_of_glibc else peers_of(results)
    means = {key: report.mean_ratio(results, names, key, goal.measure, goal.value_of)
             for key in [KEY] + peers}
    if None in means.values():
        return None
    best = min(peers, key=lambda key: means[key])
    ratio = means[KEY] / means[best]
    return [goal.title, number(ratio, 3), dict(report.allocators_of(results))[best],
            number(goal.most, 2), "yes" if ratio <= goal.most else "**no**"]


def goal_rows(results):
    goals = [goal for goal in GOALS
             if not goal.is_of_glibc or "glibc" in dict(report.allocators_of(results))]
    rows = [row for row in (goal_row(results, goal) for goal in goals) if row]
    return ["mean of", "neap's", "times that of", "at most", "reached"], rows


def ratio_to_peers(results, name, measure, value_of):
    """neap's value as a multiple of the best peer's, and whose that is; (None, None) without."""
    own = value_of(results, name, KEY, measure)
    values = {key: value for key in peers_of(results)
              if (value := value_of(results, name, key, measure))}
    if own is None or not values:
        return None, None
    best = min(values, key=values.get)
    return own / values[best], best


def limits_title():
    return (f"Workloads on which neap takes more than {TIME_LIMIT} times the best peer's time, or "
            f"more than {RSS_LIMIT} times its peak RSS")


def limit_rows(results):
    rows = []
    for name in report.names_of(results):
        time, time_peer = ratio_to_peers(results, name, report.SECONDS, report.median_of)
        lowest, _ = ratio_to_peers(results, name, report.SECONDS, report.lowest_of)
        rss, rss_peer = ratio_to_peers(results, name, report.RSS, report.median_of)
        if time is None or time <= TIME_LIMIT and rss <= RSS_LIMIT:
            continue
        excess = max(time / TIME_LIMIT, rss / RSS_LIMIT)
        rows.append((excess, [
            name,
            ("**%s** of %s" if time > TIME_LIMIT else "%s of %s") % (number(time, 2), time_peer),
            number(lowest, 2),
            ("**%s** of %s" if rss > RSS_LIMIT else "%s of %s") % (number(rss, 2), rss_peer)]))
    head = ["workload", "time, times the best peer's", "of the lowest times", "peak RSS"]
    return head, [row for _, row in sorted(rows, reverse=True)] or [["none", "-", "-", "-"]]
