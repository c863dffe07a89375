"""What neap is meant to reach against its peers, and where it does not."""

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


def goal_row(results, title, measure, peers, goal, value_of):
    """neap's geometric mean as a multiple of the lowest among these peers."""
    names = report.names_of(results)
    means = {key: report.mean_ratio(results, names, key, measure, value_of)
             for key in [KEY] + peers}
    if None in means.values():
        return [title, "-", "-", "-", "-", "-"]
    best = min(peers, key=lambda key: means[key])
    ratio = means[KEY] / means[best]
    return [title, number(means[KEY], 3), f"{number(means[best], 3)} (" +
            dict(report.allocators_of(results))[best] + ")", number(ratio, 3),
            f"at most {number(goal, 2)}", "yes" if ratio <= goal else "**no**"]


def goal_rows(results):
    peers = peers_of(results)
    rows = [goal_row(results, "time", report.SECONDS, peers, TIME_GOAL, report.median_of),
            goal_row(results, "time, lowest of the rounds", report.SECONDS, peers, TIME_GOAL,
                     report.lowest_of)]
    if "glibc" in peers:
        rows.append(goal_row(results, "peak RSS, glibc's", report.RSS, ["glibc"], RSS_GOAL,
                             report.median_of))
    rows.append(goal_row(results, "peak RSS, of all peers", report.RSS, peers, RSS_GOAL,
                         report.median_of))
    return ["mean of", "neap", "lowest peer", "ratio", "goal", "reached"], rows


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
