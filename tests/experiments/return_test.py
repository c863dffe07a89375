"""neap is held to its bounds in every scenario of `return`, at an eighth of the sizes and with the
bounds as they are, and in the retention experiment.

Usage: return_test.py BIN-FOLDER LIBNEAP [PAGE-BYTES]
PAGE-BYTES: what LIBNEAP takes system pages to have (the truth).
"""

import json
import os
import subprocess
import sys
import unittest
from concurrent.futures import ThreadPoolExecutor

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TOP, "bench", "experiments"))

from allocators import Allocator                    # noqa: E402
from return_bounds import MIB, SCENARIOS, kept_mib  # noqa: E402
from tables import BOUND_MIB                        # noqa: E402

BIN = ""
NEAP = None
PAGE_BYTES = 0
SCALE = 8
IDLE_SECONDS = 0.2
AT_ONCE_COUNT = 4
# A saw is to go up and down often enough, and slowly enough, for what it is: with an eighth of the
# memory a period of a second is as slow as one of eight.
SAWS = {"sawtooth-fast": ["--teeth=20"], "sawtooth-slow": ["--teeth=3", "--period=1"]}
RETENTION_SIZES = [24, 100, 121, 500, 10240]


def run(program, *options):
    command = [os.path.join(BIN, program), "--json", *options]
    done = subprocess.run(command, env=NEAP.environment(), capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0 or done.stderr:
        raise AssertionError(f"{command}: {done.returncode}: {done.stderr}{done.stdout}")
    return json.loads(done.stdout)


def play_all(scenario):
    """All variants of it."""
    return run("return", f"--scenario={scenario.name}", f"--scale={SCALE}", "--check",
               f"--idle={IDLE_SECONDS}", f"--page={PAGE_BYTES}",
               *SAWS.get(scenario.name, []))["plays"]


class Return(unittest.TestCase):
    def test_scenarios(self):
        # At once, because most of the time is sleep; what is measured is each process's own.
        with ThreadPoolExecutor(AT_ONCE_COUNT) as pool:
            results = list(pool.map(play_all, SCENARIOS))
        for scenario, plays in zip(SCENARIOS, results):
            self.assertGreater(len(plays), 0)
            for play in plays:
                with self.subTest(scenario=scenario.name, variant=play["variant"]):
                    NEAP.check(play["allocator"])
                    self.assertGreater(play["block_count"], 0)
                    self.assertLessEqual(kept_mib(play), scenario.bound.mib(play))

    def test_retention(self):
        lives = run("retention", f"--size={','.join(map(str, RETENTION_SIZES))}", "--total=64M",
                    "--no-trim")["lives"]
        self.assertEqual(len(lives), len(RETENTION_SIZES))
        for life in lives:
            with self.subTest(size=life["size_bytes"]):
                NEAP.check(life["allocator"])
                kept_bytes = life["passes"][0]["freed_rss_bytes"] - life["start_rss_bytes"]
                self.assertLessEqual(kept_bytes / MIB, BOUND_MIB)


if __name__ == "__main__":
    BIN = sys.argv[1]
    NEAP = Allocator("neap", "neap", "", library=sys.argv[2])
    PAGE_BYTES = int(sys.argv[3]) if len(sys.argv) > 3 else os.sysconf("SC_PAGE_SIZE")
    unittest.main(argv=sys.argv[:1], verbosity=2)
