"""What a result is shown as: the sections of a report, and two results side by side."""

import goals
import report

from tables import markdown, plain

MEASURES = (report.SECONDS, report.CPU, report.RSS, report.FAULTS, report.COUNT)


def sections(results):
    found = [("Geometric means of the ratio to the best allocator of each workload "
              "(1.00: best everywhere)", "summary", report.summary_rows(results)),
             ("Geometric means of time and of peak RSS by class of workload", "classes",
              report.class_rows(results))]
    if goals.can_judge(results):
        found += [("The goals", "goals", goals.goal_rows(results)),
                  (goals.limits_title(), "limits", goals.limit_rows(results))]
    if report.fresh_names(results):
        found.append(("Heaps that only grow: page faults for a MiB of peak RSS, and seconds "
                      "in the kernel", "fresh", report.fresh_rows(results)))
    for measure in MEASURES:
        if report.has(results, measure):
            found.append((f"{measure.title} (times the best)", measure.key.replace("_", "-"),
                          report.detail_rows(results, measure)))
    return found


def compare_text(old, new):
    parts = []
    for title, results in (("old", old), ("new", new)):
        about = results["about"]
        parts.append(f"{title}: {about['date']}, commit {about['commit']}, {about['rounds']} "
                     f"rounds, {about['percent']} % of the operations")
    parts += report.compare_warnings(old, new)
    measures = [measure for measure in MEASURES
                if report.has(old, measure) and report.has(new, measure)]
    for measure in measures:
        parts.append(f"\n{measure.title}: old -> new (new / old)\n\n"
                     + plain(*report.compare_rows(old, new, measure)))
    if goals.KEY in dict(report.shared_allocators(old, new)):
        parts.append(f"\nChanges of {goals.KEY} by more than {report.CHANGED} times:\n")
        parts += [report.changed_text(old, new, goals.KEY, measure) for measure in measures]
    parts.append("\n" + plain(*report.compare_summary_rows(old, new, measures)))
    return "\n".join(parts)


def report_markdown(results, chart_path):
    parts = ["# The suite: results", report.about_text(results)]
    parts.append(f"![Time and peak memory as ratios to the best allocator]({chart_path})")
    parts += ["\n".join(f"- {sentence}" for sentence in report.findings(results)),
              "## The workloads", markdown(*report.workload_rows(results))]
    for title, _, (head, rows) in sections(results):
        parts += [f"## {title}", markdown(head, rows)]
    return "\n\n".join(part for part in parts if part) + "\n"
