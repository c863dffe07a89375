"""Black-box tests of the programs under bench/experiments, on the C library's own malloc.

Usage: programs_test.py BIN-FOLDER CLASS DAMAGING-LIBRARY
Exit status 77: this machine does not permit it.
"""

import glob
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

BIN = ""
DAMAGING = ""
KNOBS = ("MALLOC_", "GLIBC_TUNABLES", "LD_PRELOAD", "NEAP_")
NOBODY = 65534


def run(program, *options, preloaded="", **more):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(KNOBS)}
    if preloaded:
        environment["LD_PRELOAD"] = preloaded
    path = program if os.path.isabs(program) else os.path.join(BIN, program)
    return subprocess.run([path, *options], env=environment, capture_output=True, text=True,
                          timeout=120, check=False, **more)


class Case(unittest.TestCase):
    def report(self, program, *options):
        done = run(program, "--json", *options)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return json.loads(done.stdout)

    def life(self, *options):
        lives = self.report("retention", *options)["lives"]
        self.assertEqual(len(lives), 1)
        return lives[0]


class Options(Case):
    def refuse(self, program, options, *words):
        done = run(program, *options)
        self.assertEqual(done.returncode, 2, options)
        self.assertEqual(done.stdout, "", options)
        self.assertIn(f"Try '{program} --help' for more.", done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)

    def test_help(self):
        for program in ("retention", "oom"):
            done = run(program, "--help")
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertTrue(done.stdout.startswith(f"Usage: {program} "))
            for option in ("--size", "--total", "--wait", "--table", "--mallopt", "--json"):
                self.assertIn(f"\n  {option}", done.stdout)

    def test_unknown(self):
        for program in ("retention", "oom"):
            self.refuse(program, ["--flavour=mild"], "--flavour=mild")
            self.refuse(program, ["100"], "'100' is not an option")
            self.refuse(program, ["--size"], "--size")

    def test_numbers(self):
        for text in ("", "x", "-1", "0", "1.5", "12Q", "1KK", "99999999999999999999", "100,",
                     ",100", "2G"):
            self.refuse("retention", [f"--size={text}"], "--size")
        self.refuse("retention", ["--total=70000G"], "--total", "70000G")
        self.refuse("retention", ["--threads=0"], "--threads", "from 1 to 256")
        self.refuse("retention", ["--wait=-1"], "--wait")
        self.refuse("retention", ["--wait=nan"], "--wait")
        self.refuse("retention", ["--sparse=0"], "--sparse")
        self.refuse("oom", ["--limit=0.5"], "--limit", "from 1 to 100")

    def test_words(self):
        self.refuse("retention", ["--order=sideways"], "forward, reverse, random")
        self.refuse("retention", ["--table=stack"], "mmap, malloc")
        self.refuse("retention", ["--mallopt=MXFAST"], "NAME=VALUE")
        self.refuse("retention", ["--mallopt=MXFASTER=1"], "'MXFASTER' is not a mallopt")
        self.refuse("retention", ["--mallopt=MXFAST=much"], "'much' is not a whole number")

    def test_contradictions(self):
        self.refuse("retention", ["--total=99", "--size=100"], "fewer blocks")
        self.refuse("retention", ["--total=300", "--size=100", "--threads=4"], "fewer blocks")
        self.refuse("retention", ["--find-threshold", "--size=100"], "two sizes")
        self.refuse("retention", ["--find-threshold", "--trace=/dev/null"], "do not go together")
        self.refuse("retention", ["--trace=/nowhere/at/all"], "/nowhere/at/all")
        self.refuse("oom", ["--total=99", "--size=100"], "less than one block")

    def test_a_malloc_that_fails_is_counted(self):
        import resource
        limit = 256 << 20

        def low_memory():
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        done = run("retention", "--json", "--size=1024", "--total=512M", preexec_fn=low_memory)
        self.assertEqual(done.returncode, 1)
        failed = json.loads(done.stdout)["lives"][0]["passes"][0]["failed_count"]
        self.assertGreater(failed, 200000)


class Json(Case):
    def test_one_life(self):
        life = self.life("--size=100", "--total=8M", "--wait=0.05")
        count = (8 << 20) // 100
        self.assertEqual(life["block_count"], count)
        self.assertEqual(life["table_bytes"], 8 * count)
        self.assertIn("libc", life["allocator"])
        first = life["passes"][0]
        self.assertGreater(first["peak_rss_bytes"], life["start_rss_bytes"] + count * 100)
        self.assertEqual(first["failed_count"], 0)
        self.assertGreater(first["fill_seconds"], 0)
        self.assertGreater(first["free_seconds"], 0)
        # The table is resident at the start, and gone after its phase.
        self.assertLess(life["table_rss_bytes"], first["freed_rss_bytes"] - 7 * count)
        self.assertGreater(life["wait_rss_bytes"], 0)
        self.assertLess(life["trim_rss_bytes"], 4 << 20)
        self.assertEqual(life["trim_answer"], 1)

    def test_command_is_quoted(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'a"b\\c\td.tsv')
            report = self.report("retention", "--size=1000", "--total=1M", f"--trace={path}")
            self.assertIn(f"--trace={path}", report["command"])

    def test_the_instrument_allocates_nothing(self):
        """At the peak glibc's heap holds the blocks and its own thread cache, no more."""
        life = self.life("--size=100", "--total=8M")
        in_use = life["passes"][0]["mallinfo2_at_peak"]["uordblks"]
        self.assertLess(in_use - 112 * life["block_count"], 1024)

    def test_no_trim(self):
        life = self.life("--size=100", "--total=1M", "--no-trim")
        self.assertIsNone(life["trim_rss_bytes"])
        self.assertIsNone(life["trim_answer"])

    def test_text(self):
        done = run("retention", "--size=100,500", "--total=8M", "--twice")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        rows = [line.split() for line in done.stdout.splitlines()
                if line.strip().startswith(("100 ", "500 "))]
        self.assertEqual([row[0] for row in rows], ["100", "100", "500", "500"])


class Conditions(Case):
    def test_fast_bins_keep_and_others_do_not(self):
        report = self.report("retention", "--size=120,121", "--total=16M")
        kept, returned = (life["retained_share"] for life in report["lives"])
        self.assertGreater(kept, 0.95)
        self.assertLess(returned, 0.05)

    def test_pin(self):
        self.assertLess(self.life("--size=500", "--total=16M")["retained_share"], 0.05)
        self.assertGreater(self.life("--size=500", "--total=16M", "--pin")["retained_share"], 0.9)

    def test_reverse(self):
        """The last seven blocks go to the thread cache, and they are the ones next to the top."""
        life = self.life("--size=500", "--total=16M", "--order=reverse")
        self.assertGreater(life["retained_share"], 0.9)

    def test_random(self):
        life = self.life("--size=100", "--total=16M", "--order=random", "--mallopt=M_MXFAST=0")
        self.assertEqual(life["mallopt"],
                         [{"param": 1, "name": "M_MXFAST", "value": 0, "answer": 1}])

    def test_sparse(self):
        life = self.life("--size=100", "--total=16M", "--sparse=64")
        self.assertEqual(life["kept_count"], math.ceil(life["block_count"] / 64))
        # 64 chunks of 112 bytes are 1.75 pages: each kept block has a page of its own.
        pages = life["kept_page_bytes"] / os.sysconf("SC_PAGE_SIZE")
        self.assertGreater(pages, life["kept_count"] * 0.99)
        self.assertLess(pages, life["kept_count"] * 1.1)
        self.assertGreater(life["trim_rss_bytes"], life["kept_page_bytes"])

    def test_twice(self):
        life = self.life("--size=500", "--total=16M", "--twice")
        first, second = (p["peak_rss_bytes"] for p in life["passes"])
        self.assertAlmostEqual(first, second, delta=1 << 20)

    def test_threads(self):
        life = self.life("--size=500", "--total=16M", "--threads=3")
        self.assertEqual(life["block_count"], (16 << 20) // 500)
        self.assertGreater(life["passes"][0]["peak_rss_bytes"],
                           life["start_rss_bytes"] + (16 << 20))

    def test_vector(self):
        life = self.life("--size=100", "--total=16M", "--table=malloc")
        # A power of two, and no more than doubled.
        slots = life["table_bytes"] // 8
        self.assertEqual(slots & (slots - 1), 0)
        self.assertLess(life["block_count"], slots + 1)
        self.assertLess(slots, 2 * life["block_count"])

    def test_mappings(self):
        low = ["--size=100", "--total=8M", "--mallopt=MMAP_THRESHOLD=64",
               "--mallopt=TRIM_THRESHOLD=64"]
        first = self.life(*low)["passes"][0]
        self.assertGreaterEqual(first["mallinfo2_at_peak"]["hblks"], 60000)
        self.assertEqual(first["failed_count"], 0)
        none = self.life(*low, "--mallopt=MMAP_MAX=0")["passes"][0]
        self.assertEqual(none["mallinfo2_at_peak"]["hblks"], 0)


class Trace(Case):
    def test_samples(self):
        with tempfile.NamedTemporaryFile("r", suffix=".tsv") as trace:
            self.life("--size=100", "--total=16M", "--twice", "--wait=0.2",
                      f"--trace={trace.name}")
            lines = [line.rstrip("\n").split("\t") for line in trace]
        self.assertEqual(lines[0], ["size_bytes", "seconds", "phase", "live_bytes", "rss_bytes"])
        rows = lines[1:]
        self.assertEqual({row[0] for row in rows}, {"100"})
        self.assertEqual([row[2] for row in rows[:1] + rows[-1:]], ["fill", "trim"])
        self.assertEqual({row[2] for row in rows}, {"fill", "free", "table", "wait", "trim"})
        seconds = [float(row[1]) for row in rows]
        self.assertEqual(seconds, sorted(seconds))
        live = [int(row[3]) for row in rows]
        self.assertEqual(max(live), (16 << 20) // 100 * 100)
        self.assertEqual(live[-1], 0)
        # Two hills: the top is reached, left for nothing, and reached again.
        self.assertEqual(live.count(max(live)), 2)
        self.assertIn(0, live[live.index(max(live)):len(live) - live[::-1].index(max(live))])


class Threshold(Case):
    def test_finds_fast_bins(self):
        found = self.report("retention", "--find-threshold", "--total=16M")
        self.assertEqual([t["threshold_bytes"] for t in found["thresholds"]], [120])
        self.assertEqual(found["thresholds"][0]["above"]["size_bytes"], 121)
        self.assertEqual(min(p["size_bytes"] for p in found["probes"]), 16)
        self.assertEqual(max(p["size_bytes"] for p in found["probes"]), 16384)

    def test_finds_none_where_there_is_none(self):
        done = run("retention", "--find-threshold", "--total=8M", "--size=200,900")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("No threshold: from 200 to 900 bytes all sizes are given back", done.stdout)


class Oom(Case):
    def setUp(self):
        if run("oom", "--size=500", "--total=1M", "--wait=0").returncode == 77:
            self.skipTest("no memory cgroup can be made here")

    def assert_no_cgroup_left(self, case):
        self.assertIn("neap-oom-", case["cgroup"])
        self.assertFalse(os.path.exists(case["cgroup"]))

    def test_who_is_killed(self):
        report = self.report("oom", "--size=100,500", "--total=48M", "--wait=0")
        small, large = report["cases"]
        self.assertEqual((small["lost_count"], small["oom_kill_count"]), (1, 1))
        lost = [p for p in small["processes"] if not p["lived"]]
        self.assertEqual([p["signal"] for p in lost], [signal.SIGKILL])
        self.assertEqual((large["lost_count"], large["oom_kill_count"]), (0, 0))
        for case in report["cases"]:
            self.assertAlmostEqual(case["limit_bytes"], 1.5 * case["peak_rss_bytes"], delta=8192)
            self.assert_no_cgroup_left(case)

    def test_room_for_two(self):
        case = self.report("oom", "--size=100", "--total=48M", "--wait=0", "--limit=2.5")["cases"]
        self.assertEqual(case[0]["lost_count"], 0)

    def test_interrupted(self):
        """The cgroup goes away even if the program is told to end in the middle."""
        with subprocess.Popen([os.path.join(BIN, "oom"), "--size=500", "--total=16M",
                               "--wait=60"], stdout=subprocess.DEVNULL) as process:
            pattern = f"neap-oom-{process.pid}"

            def made():
                return (glob.glob(f"/sys/fs/cgroup/**/{pattern}", recursive=True))
            deadline = time.monotonic() + 20
            while not made() and time.monotonic() < deadline:
                time.sleep(0.01)
            self.assertTrue(made())
            # The first process is in it by now, or will be when the signal comes.
            time.sleep(0.3)
            process.send_signal(signal.SIGTERM)
            self.assertEqual(process.wait(30), -signal.SIGTERM)
            self.assertEqual(made(), [])


class NoRight(Case):
    def test_says_so_and_skips(self):
        with tempfile.TemporaryDirectory() as folder:
            # Where the build is, another user may not be allowed to look.
            os.chmod(folder, 0o755)
            program = shutil.copy(os.path.join(BIN, "oom"), folder)
            if os.getuid() == 0:
                done = run(program, "--total=1M", user=NOBODY, group=NOBODY, extra_groups=[])
            else:
                done = run(program, "--total=1M")
        if os.getuid() != 0 and done.returncode == 0:
            self.skipTest("this user may make memory cgroups")
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertEqual(done.stdout, "")
        self.assertRegex(done.stderr, r"\Aoom: no memory cgroup can be made here: .+\n\Z")
        self.assertEqual(done.stderr.count("\n"), 1)


class Return(Case):
    """The scenarios, on glibc, at a sixteenth of their sizes and without idleness."""

    def plays(self, scenario, *options):
        return self.report("return", f"--scenario={scenario}", "--scale=16", "--idle=0",
                           *options)["plays"]

    def above_start(self, play, when):
        return play[when]["rss_bytes"] - play["start"]["rss_bytes"]

    def assert_between(self, value, low, high):
        self.assertGreaterEqual(value, low)
        self.assertLessEqual(value, high)

    def refuse(self, options, word):
        done = run("return", *options)
        self.assertEqual((done.returncode, done.stdout), (2, ""), options)
        self.assertIn(word, done.stderr)
        self.assertIn("Try 'return --help' for more.", done.stderr)

    def test_options(self):
        done = run("return", "--help")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertTrue(done.stdout.startswith("Usage: return "))
        self.refuse(["--flavour"], "--flavour")
        self.refuse(["small"], "'small' is not an option")
        self.refuse(["--scenario=smal"], "'smal' is none")
        self.refuse(["--scenario=small,"], "'' is none")
        self.refuse(["--scenario=small", "--variant=best"], "'best' is none")
        self.refuse(["--scale=0"], "--scale")
        self.refuse(["--idle=-1"], "--idle")
        self.refuse(["--trace=/nowhere/at/all"], "/nowhere/at/all")

    def test_list(self):
        lines = run("return", "--list").stdout.splitlines()
        self.assertEqual(len(set(lines)), len(lines))
        one = self.plays("remotehalf", "--variant=random")
        self.assertEqual([(p["scenario"], p["variant"]) for p in one], [("remotehalf", "random")])
        self.assertIn("remotehalf random", lines)

    def test_small(self):
        play, = self.plays("small")
        total_bytes = 25 << 20
        self.assert_between(play["block_count"], total_bytes // 560, total_bytes // 480)
        self.assert_between(play["peak_rss_bytes"] - play["start"]["rss_bytes"],
                            total_bytes, 1.2 * total_bytes)
        self.assertEqual((play["kept_count"], play["kept_page_bytes"]), (0, 0))
        self.assertLess(self.above_start(play, "trimmed"), 4 << 20)
        self.assertLessEqual(play["freed"]["anonymous_bytes"], play["freed"]["rss_bytes"])
        self.assert_between(play["cpu_seconds"], 0.001, 10)
        self.assertGreater(play["seconds"], 0.001)

    def test_sparse(self):
        play, = self.plays("sparse")
        self.assertEqual(play["kept_count"], math.ceil(play["block_count"] / 200))
        # Two hundred blocks are many pages: each kept one has at least one of its own.
        pages = play["kept_page_bytes"] / os.sysconf("SC_PAGE_SIZE")
        self.assert_between(pages, play["kept_count"], 1.3 * play["kept_count"])
        self.assertGreater(self.above_start(play, "trimmed"), play["kept_page_bytes"])

    def test_one_kept(self):
        """One block in each 64 KiB of addresses, as the two places to look for it show."""
        page_bytes = 64 << 10
        plays = {p["variant"]: p for p in self.plays("onekept", f"--page={page_bytes}")}
        for variant in ("16-1024-first", "16-1024-last", "16-1024-across", "64-first", "64-last"):
            play = plays[variant]
            stretches = play["kept_page_bytes"] / page_bytes
            self.assert_between(play["kept_count"], 12.5 * 16, 12.5 * 16 * 2)
            # One across the border of its stretch reaches into the next, which has its own.
            self.assert_between(stretches, play["kept_count"], play["kept_count"] + 1)
        system = {p["variant"]: p for p in self.plays("onekept", "--page=4096")}
        across = system["16-1024-across"]
        self.assertGreater(across["kept_page_bytes"] / 4096, 1.9 * across["kept_count"])
        first = system["16-1024-first"]
        self.assertLess(first["kept_page_bytes"] / 4096, 1.1 * first["kept_count"])

    def test_pin(self):
        """glibc keeps all that lies below one live block at the end of its heap."""
        play, = self.plays("pin")
        self.assertEqual((play["kept_count"], play["kept_bytes"]), (1, 552))
        self.assertGreater(self.above_start(play, "freed"), 16 << 20)
        self.assertLess(self.above_start(play, "trimmed"), 1 << 20)

    def test_saw(self):
        play, = self.plays("sawtooth-fast", "--teeth=3", "--period=0.1")
        self.assert_between(self.above_start(play, "tooth"), 100 << 16, 110 << 16)
        # Two periods, and half of the last.
        self.assertGreaterEqual(play["seconds"], 0.25)

    def test_all_are_played_and_nothing_is_damaged(self):
        lines = run("return", "--list").stdout.split("\n")[:-1]
        done = run("return", "--json", "--scale=32", "--idle=0.01", "--check", "--teeth=2",
                   "--period=0.1", "--say-idle")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stderr, "idle\n" * len(lines))
        plays = json.loads(done.stdout)["plays"]
        self.assertEqual([f"{p['scenario']} {p['variant']}" for p in plays], lines)
        for play in plays:
            self.assertEqual((play["failed_count"], play["damaged_count"]), (0, 0))
            self.assertGreater(play["block_count"], 0)
            self.assertGreater(play["peak_rss_bytes"], play["start"]["rss_bytes"])

    def test_damage_is_found(self):
        """Of blocks before they are freed, and of those that are kept."""
        for options, low, high in ((["--check"], 5, 20), ([], 0, 0)):
            done = run("return", "--json", "--scenario=small", "--scale=16", "--idle=0", *options,
                       preloaded=DAMAGING)
            play = json.loads(done.stdout)["plays"][0]
            self.assert_between(play["damaged_count"], low, high)
            self.assertEqual(done.returncode, 1 if low > 0 else 0)
        # Every 4,000th block is damaged, beginning with the first, and the first is kept.
        done = run("return", "--json", "--scenario=sparse", "--scale=16", "--idle=0",
                   preloaded=DAMAGING)
        play = json.loads(done.stdout)["plays"][0]
        self.assert_between(play["damaged_count"], 1, play["block_count"] / 4000 + 1)
        self.assertEqual(done.returncode, 1)

    def test_trace(self):
        with tempfile.NamedTemporaryFile("r", suffix=".tsv") as trace:
            self.plays("pairs64", "--variant=together", f"--trace={trace.name}")
            lines = [line.rstrip("\n").split("\t") for line in trace]
        self.assertEqual(lines[0], ["scenario", "variant", "seconds", "what", "bytes"])
        self.assertEqual({tuple(row[:2]) for row in lines[1:]}, {("pairs64", "together")})
        rows = {what: sorted((float(r[2]), int(r[4])) for r in lines[1:] if r[3] == what)
                for what in ("live", "rss")}
        self.assertEqual(sum(len(found) for found in rows.values()), len(lines) - 1)
        live = [count for _, count in rows["live"]]
        self.assertEqual((live[0], live[-1]), (0, 0))
        self.assert_between(max(live), 600 << 16, (600 << 16) + 64 * 1024)
        self.assertGreater(max(count for _, count in rows["rss"]), 300 << 16)


def main():
    global BIN, DAMAGING
    BIN = os.path.abspath(sys.argv[1])
    DAMAGING = sys.argv[3]
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(globals()[sys.argv[2]])
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    if not result.wasSuccessful() or result.testsRun == 0:
        return 1
    return 77 if len(result.skipped) == result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
