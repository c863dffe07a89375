"""Tests of run_return.py's own logic: what it says of data, and what it makes of a trace.

Usage: return_runner_test.py
"""

import os
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench", "experiments"))

import document        # noqa: E402
import return_bounds   # noqa: E402
import return_charts   # noqa: E402
import return_measure  # noqa: E402
import return_tables   # noqa: E402
import run_return      # noqa: E402
from calling import call    # noqa: E402
from measure import Failed  # noqa: E402

MIB = 1 << 20


def reading(mib):
    return {"rss_bytes": int(mib * MIB)}


def play(name, freed, idle=None, peak=410, kept_pages=0, variant="-", tooth=0, seconds=1.0):
    """Figures in MiB above a start of 10."""
    return {"scenario": name, "variant": variant, "start": reading(10),
            "tooth": reading(10 + tooth), "freed": reading(10 + freed),
            "idle": reading(10 + (freed if idle is None else idle)), "trimmed": reading(12),
            "peak_rss_bytes": (10 + peak) * MIB, "kept_page_bytes": int(kept_pages * MIB),
            "seconds": seconds / 2, "cpu_seconds": seconds / 2, "command_seconds": seconds}


def results(neap_plays, ratio=1.05):
    plays = [{"allocator": "neap", "round": i, "play": made} for i, made in enumerate(neap_plays)]
    for name in {made["scenario"] for made in neap_plays}:
        plays.append({"allocator": "glibc", "round": 1, "play": play(name, 400)})
        plays.append({"allocator": "glibc-trim0", "round": 1, "play": play(name, 1)})
    times = [{"scenario": "small", "setting": setting, "round": i,
              "play": play("small", 1, seconds=seconds)}
             for i, noise in enumerate((0, 0.01, 5))
             for setting, seconds in (("default", ratio + noise), ("nothing returned", 1 + noise))]
    names = [{"key": "neap", "name": "neap", "environment": {}},
             {"key": "glibc", "name": "glibc 1", "environment": {}},
             {"key": "glibc-trim0", "name": "glibc 1, trim 0", "environment": {"A": "0"}}]
    return {"about": {"allocators": names, "idle_seconds": 10}, "plays": plays, "times": times}


class Bounds(unittest.TestCase):
    def bound(self, name, made):
        return return_bounds.scenario_named(name).bound.mib(made)

    def test_constants(self):
        self.assertEqual(self.bound("small", play("small", 1)), 4)
        self.assertEqual(self.bound("idlethread", play("idlethread", 1)), 4.25)
        self.assertEqual(self.bound("idle64", play("idle64", 1)), 20)
        self.assertEqual(self.bound("pairs64", play("pairs64", 1)), 68)

    def test_live_pages(self):
        self.assertAlmostEqual(self.bound("sparse", play("sparse", 1, kept_pages=20)), 25)

    def test_one_tooth(self):
        self.assertAlmostEqual(self.bound("sawtooth-fast", play("sawtooth-fast", 1, tooth=105)),
                               106)

    def test_the_later_reading_counts_too(self):
        small = return_bounds.scenario_named("small")
        self.assertAlmostEqual(small.excess_mib(play("small", 1, idle=5)), 1)
        self.assertAlmostEqual(small.excess_mib(play("small", 5, idle=1)), 1)


class Findings(unittest.TestCase):
    def test_all_is_well(self):
        found = return_tables.findings(results([play("small", 3.9), play("sparse", 24, 24, 410,
                                                                         20)]))
        self.assertEqual([f.text for f in found], [
            "neap is within its bound in all 2 scenarios, right after the last free and after "
            "10 s of idleness.",
            "small: returning memory makes the whole run 1.05 times that of the same run without; "
            "at most 1.1 is allowed.",
            "glibc 1 keeps more than half of what it could return in 2 of 2 scenarios, even after "
            "the idleness."])
        self.assertTrue(all(f.holds for f in found))

    def test_worst_of_rounds_and_variants(self):
        data = results([play("remote", 1, variant="random"),
                        play("remote", 1, idle=4.5, variant="in-order"),
                        play("remote", 2, variant="random")])
        found = return_tables.findings(data)[0]
        self.assertFalse(found.holds)
        self.assertIn("over its bound in 1 of 1 scenarios: remote (4.5 of 4 MiB)", found.text)
        head, rows = return_tables.default_rows(data)
        self.assertEqual(head, ["scenario", "bound", "", "neap", "glibc 1"])
        self.assertEqual(rows, [["remote", "4", "OVER", "1.0, then 4.5", "400.0"]])
        variants = return_tables.variant_rows(data)[1]
        self.assertEqual([(row[1], row[4], row[5]) for row in variants],
                         [("random", "2.0", "ok"), ("in-order", "1.0, then 4.5", "OVER")])

    def test_worst_is_by_bound_and_not_by_size(self):
        """40 MiB over 35 MiB of live pages is within, 4 over none is not."""
        data = results([play("onekept", 40, kept_pages=35, variant="a"),
                        play("onekept", 4, kept_pages=1, variant="b")])
        self.assertIn("onekept (4 of 3.15 MiB)", return_tables.findings(data)[0].text)

    def test_too_slow(self):
        found = return_tables.findings(results([play("small", 1)], ratio=1.2))[1]
        self.assertFalse(found.holds)
        # 1.21 to 1.01: the medians, not the means.
        self.assertIn("1.20 times", found.text)

    def test_whole_runs_are_held_to_the_bound_and_their_part_is_told(self):
        rows = return_tables.time_rows(results([play("small", 1)], ratio=1.2))[1]
        self.assertEqual(rows, [
            ["small", "whole run", "1.21 s", "1.01 s", "1.20", "1.10", "OVER"],
            ["small", "until the last free", "0.60 s", "0.51 s", "1.20", "-", ""]])

    def test_tuned_peers_have_a_table_of_their_own(self):
        head, rows = return_tables.tuned_rows(results([play("small", 1)]))
        self.assertEqual(head, ["scenario", "glibc 1, trim 0", "glibc 1, after `malloc_trim(0)`"])
        self.assertEqual(rows, [["small", "1.0", "2.0"]])


class Traces(unittest.TestCase):
    def test_live_bytes_between_marks(self):
        marks = [(1.0, 0), (2.0, 100), (4.0, 0)]
        self.assertEqual([return_measure.live_at(marks, s) for s in (0, 1.5, 2, 3, 9)],
                         [0, 50, 100, 50, 0])

    def test_samples_begin_and_end_with_the_marks(self):
        rows = [("rss", 0.5, 10), ("rss", 1.5, 60), ("rss", 2.5, 40), ("rss", 3.5, 12),
                ("live", 3.0, 0), ("live", 1.0, 0), ("live", 2.0, 100)]
        self.assertEqual(return_measure.samples_of(rows, 10), [[0.5, 50, 50], [1.5, 50, 30]])

    def test_shares(self):
        trace = {"play": {"kept_page_bytes": 20},
                 "samples": [[0, 0, 0], [1, 100, 120], [2, 60, 120], [3, 10, 70], [9, 10, 20]]}
        self.assertEqual(return_charts.shares(trace),
                         [(0, 0), (100 * 40 / 90, 0), (100, 50), (100, 100)])


class Runner(unittest.TestCase):
    def call(self, *arguments):
        return call(run_return.main, *arguments)

    def test_options(self):
        self.assertEqual(self.call("--help")[0], 0)
        for wrong in (["--flavour"], ["--rounds=0"], ["--scale=0"], ["--idle=-1"],
                      ["--docs", "--quick"], ["--docs", "--scale=2"], ["--scenarios=smal"]):
            self.assertEqual(self.call(*wrong)[0], 2, wrong)

    def test_what_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            where = [f"--build={folder}", f"--out={folder}"]
            status, errors = self.call("--allocators=neap", *where)
            self.assertEqual(status, 2)
            self.assertIn("libneap.so is not built", errors)
            status, errors = self.call("--allocators=glibc", *where)
            self.assertEqual(status, 1)
            self.assertIn("return is not built", errors)


class Document(unittest.TestCase):
    def test_only_its_own_places_are_filled(self):
        text = ("<!-- begin generated: kept -->\nold\n<!-- end generated -->\n"
                "<!-- begin generated: return-kept -->\nold\n<!-- end generated -->\n")
        with tempfile.TemporaryDirectory() as folder:
            path = document.write_file(os.path.join(folder, "d.md"), text)
            document.fill(path, {"return-kept": "new"}, lambda name: name.startswith("return"))
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(),
                                 text.replace("return-kept -->\nold", "return-kept -->\nnew"))
            with self.assertRaises(Failed):
                document.fill(path, {}, lambda name: name.startswith("return"))

    def test_the_page_has_the_places(self):
        """Those that a full run fills, of both runners."""
        with open(run_return.DOCUMENT, encoding="utf-8") as file:
            places = [match.group(2) for match in document.PLACE.finditer(file.read())]
        full = results([play("small", 1)])
        full["about"].update(rounds=1, scale=1)
        self.assertEqual(sorted(run_return.document_blocks(with_machine(full))),
                         sorted(name for name in places if name.startswith("return")))


def with_machine(data):
    data["about"].update(date="d", command="c", machine={
        "processor": "p", "processor_count": 2, "memory_bytes": 1 << 34, "kernel": "k",
        "system_page_bytes": 4096, "transparent_hugepage": "t", "load_average_at_start": 0.0})
    for allocator in data["about"]["allocators"]:
        allocator["version"] = "1"
    return data


if __name__ == "__main__":
    unittest.main(verbosity=2)
