"""Tests of the runner's own logic: what it says of data, and how it fills the document.

Usage: runner_test.py
"""

import os
import sys
import tempfile
import unittest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench", "experiments"))

import allocators  # noqa: E402
import charts      # noqa: E402
import measure     # noqa: E402
import run         # noqa: E402
import tables      # noqa: E402
from calling import call  # noqa: E402

MIB = 1 << 20


def life(size, start, peak, freed, seconds=1.0):
    return {"size_bytes": size, "total_bytes": 512 * MIB, "start_rss_bytes": int(start * MIB),
            "passes": [{"peak_rss_bytes": int(peak * MIB), "freed_rss_bytes": int(freed * MIB),
                        "fill_seconds": seconds / 2, "free_seconds": seconds / 2,
                        "fill_cpu_seconds": seconds / 2, "free_cpu_seconds": seconds / 2}]}


def results(neap_freed=10.5, neap_seconds=0.9, mxfast_100=600):
    """glibc keeps 100 and returns 500; neap and its fast bins as told."""
    rows = []
    for round_number in (1, 2, 3):
        for size in (100, 120, 121, 500):
            kept = size <= 120
            for key, made in (
                    ("glibc", life(size, 10, 610, 609 if kept else 11)),
                    ("neap", life(size, 10, 600, neap_freed if round_number == 3 else 10.1,
                                  neap_seconds)),
                    ("neap-mxfast", life(size, 10, 600, mxfast_100 if kept else 11))):
                rows.append({"allocator": key, "round": round_number, "life": made})
    names = [{"key": "glibc", "name": "glibc 1"}, {"key": "neap", "name": "neap"},
             {"key": "neap-mxfast", "name": "neap, M_MXFAST=120"}]
    return {"about": {"allocators": names}, "sizes": rows}


class Findings(unittest.TestCase):
    def say(self, **changes):
        found = tables.findings(results(**changes))
        self.assertEqual(len(found), 4)
        return found

    def test_all_is_well(self):
        kept, bound, speed, mxfast = self.say()
        self.assertEqual(kept.text, "glibc 1 keeps more than half of its memory after the last "
                                    "free of blocks of 100 and 120 bytes, and gives back 95 % or "
                                    "more at 121 and 500 bytes.")
        self.assertTrue(bound.holds and speed.holds and mxfast.holds)
        # The worst of the rounds counts, not the median.
        self.assertIn("at most 0.50 MiB", bound.text)
        self.assertIn("0.90 to 0.90", speed.text)

    def test_memory_kept(self):
        bound = self.say(neap_freed=12.1)[1]
        self.assertFalse(bound.holds)
        self.assertIn("MORE than the 2 MiB it may", bound.text)

    def test_too_slow(self):
        speed = self.say(neap_seconds=1.1)[2]
        self.assertFalse(speed.holds)
        self.assertIn("MORE than glibc at 100, 120, 121 and 500 bytes", speed.text)

    def test_fast_bins_that_are_none(self):
        self.assertFalse(self.say(mxfast_100=500)[3].holds)

    def test_two_processes(self):
        def case(key, size, lost):
            return {"allocator": key, "case": {"size_bytes": size, "lost_count": lost}}
        data = {"oom": [case("glibc", 100, 1), case("glibc", 500, 0), case("neap", 100, 0)]}
        self.assertEqual([f.text for f in tables.oom_finding(data)],
                         ["glibc loses a process at 100 bytes.", "neap loses none at 100 bytes."])
        data["oom"].append(case("neap", 500, 1))
        lost = tables.oom_finding(data)[1]
        self.assertEqual((lost.text, lost.holds), ("neap loses one at 500 bytes.", False))


class Charts(unittest.TestCase):
    def test_words_for_sizes(self):
        self.assertEqual(charts.sizes_kept([(16, 100), (64, 99), (128, 1)]),
                         "most of it up to 64 bytes")
        self.assertEqual(charts.sizes_kept([(16, 1), (64, 99), (128, 98)]),
                         "most of it from 64 bytes")
        self.assertEqual(charts.sizes_kept([(16, 1), (64, 2.25)]), "at most 2.2 % at any size")
        self.assertEqual(charts.sizes_kept([(16, 90), (64, 80)]), "most of it at every size")
        self.assertEqual(charts.sizes_kept([(16, 90), (64, 0), (128, 90)]),
                         "most of it at 2 of 3 sizes")

    def test_thinning_keeps_steps(self):
        rows = [(i, 0, 100 if i < 500 else 0) for i in range(1000)]
        self.assertEqual(charts.visible(rows, 100), [rows[i] for i in (0, 499, 500, 999)])
        slope = [(i, i, 2 * i) for i in range(1000)]
        self.assertEqual(charts.visible(slope, 100), [slope[0], slope[-1]])
        slope[700] = (700, 701, 1400)
        self.assertIn(slope[700], charts.visible(slope, 100))

    def test_same_words_for_zero(self):
        self.assertEqual((charts.whole(-0.2), tables.number(-0.04)), ("0", "0.0"))


class Runner(unittest.TestCase):
    def call(self, *arguments):
        return call(run.main, *arguments)

    def test_options(self):
        self.assertEqual(self.call("--help")[0], 0)
        self.assertEqual(self.call("--flavour")[0], 2)
        self.assertEqual(self.call("--rounds=-1")[0], 2)
        self.assertEqual(self.call("--docs", "--quick")[0], 2)

    def test_what_is_missing_is_named(self):
        with tempfile.TemporaryDirectory() as folder:
            where = [f"--build={folder}", f"--out={folder}"]
            status, errors = self.call("--allocators=neap", *where)
            self.assertEqual(status, 2)
            self.assertIn("libneap.so is not built", errors)
            self.assertIn("cmake --preset release && cmake --build --preset release", errors)
            status, errors = self.call("--allocators=glibc", *where)
            self.assertEqual(status, 1)
            self.assertIn("retention is not built", errors)
            status, errors = self.call("--allocators=dlmalloc", *where)
            self.assertEqual(status, 2)
            self.assertIn("no allocator is called 'dlmalloc'", errors)

    def test_knobs_of_the_caller_do_not_reach_the_programs(self):
        os.environ["MALLOC_TRIM_THRESHOLD_"] = "1"
        os.environ["NEAP_MXFAST"] = "64"
        try:
            plain = allocators.Allocator("a", "a", "1").environment()
            preloaded = allocators.Allocator("b", "b", "1", "/lib/b.so",
                                             {"NEAP_MXFAST": "120"}).environment()
        finally:
            del os.environ["MALLOC_TRIM_THRESHOLD_"], os.environ["NEAP_MXFAST"]
        self.assertFalse({"MALLOC_TRIM_THRESHOLD_", "NEAP_MXFAST", "LD_PRELOAD"} & set(plain))
        self.assertEqual((preloaded["LD_PRELOAD"], preloaded["NEAP_MXFAST"]),
                         ("/lib/b.so", "120"))

    def test_malloc_from_elsewhere_is_refused(self):
        allocator = allocators.Allocator("b", "b", "1", "/lib/b.so")
        allocator.check("/lib/../lib/b.so")
        with self.assertRaises(RuntimeError):
            allocator.check("/lib/x86_64-linux-gnu/libc.so.6")
        with self.assertRaises(RuntimeError):
            allocators.Allocator("glibc", "glibc", "2").check("/lib/b.so")

    def test_samples_are_thinned_and_whole(self):
        thinned = measure.thin(list(range(10000)))
        self.assertLess(len(thinned), 800)
        self.assertEqual((thinned[0], thinned[-1]), (0, 9999))


class Document(unittest.TestCase):
    def fill(self, text, blocks):
        """Fills a document with blocks; returns what it then says."""
        saved = run.DOCUMENT, run.document_blocks, run.draw_charts
        with tempfile.TemporaryDirectory() as folder:
            run.DOCUMENT = run.write_file(os.path.join(folder, "d.md"), text)
            run.document_blocks = lambda results: blocks
            run.draw_charts = lambda results, folder: []
            try:
                run.fill_document({})
                with open(run.DOCUMENT, encoding="utf-8") as file:
                    return file.read()
            finally:
                run.DOCUMENT, run.document_blocks, run.draw_charts = saved

    def test_blocks_are_replaced(self):
        text = ("a\n<!-- begin generated: kept -->\nold\n<!-- end generated -->\nb\n"
                "<!-- begin generated: time -->\n<!-- end generated -->\n")
        blocks = {"kept": "K \\1", "time": "T"}
        filled = self.fill(text, blocks)
        self.assertEqual(filled, "a\n<!-- begin generated: kept -->\nK \\1\n"
                                 "<!-- end generated -->\nb\n<!-- begin generated: time -->\nT\n"
                                 "<!-- end generated -->\n")
        self.assertEqual(self.fill(filled, blocks), filled)

    def test_a_block_without_a_place_is_an_error(self):
        with self.assertRaises(measure.Failed):
            self.fill("nothing\n", {"kept": "K"})
        with self.assertRaises(measure.Failed):
            self.fill("<!-- begin generated: kept -->\n<!-- end generated -->\n", {})


if __name__ == "__main__":
    unittest.main(verbosity=2)
