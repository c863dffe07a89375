#!/usr/bin/env python3
"""Whether every test that docs/conformance.md names exists.

Usage: check_conformance.py PROJECT_FOLDER

file.function is looked for in tests/api; anything else must be a test of ctest, and those are made
from files: tests/unit/<layer>/<file>_test.c, or a file or a target of that name in tests/<kind>.
"""
import pathlib
import re
import sys

UNIT_LAYERS = "base os tune meta arena heap large core stats".split()


def is_in_api(tests, group, function):
    files = list((tests / "api").glob(f"{group}_test.c*"))
    return any(re.search(rf"cmocka_unit_test(_setup)?\({function}\b", file.read_text())
               for file in files)


def is_in_ctest(tests, kind, name):
    if kind in UNIT_LAYERS:
        return (tests / "unit" / kind / f"{name}_test.c").exists()
    folder = tests / kind
    if not folder.is_dir():
        return False
    lists = (folder / "CMakeLists.txt").read_text()
    return bool(list(folder.glob(f"{name}[._]*"))) or re.search(rf"\b{name}\b", lists) is not None


def missing_names(page, tests):
    """The names on the page that stand for no test, and how many stand for one."""
    missing, found = [], 0
    for line in page.splitlines():
        if not line.startswith("|") or line.startswith("|---"):
            continue
        cells = line.strip("|").split("|")
        for kind, name in re.findall(r"`([a-z_]+)\.([a-z0-9_*]+)`", cells[-1]):
            if name == "*" and (tests / "api").is_dir():
                continue
            if is_in_api(tests, kind, name) or is_in_ctest(tests, kind, name):
                found += 1
            else:
                missing.append(f"{kind}.{name}")
        if cells[-1].strip() not in ("shown by",) and "`" not in cells[-1]:
            missing.append(f"a test for: {cells[0].strip()}")
    return missing, found


def main():
    project = pathlib.Path(sys.argv[1])
    missing, found = missing_names((project / "docs/conformance.md").read_text(),
                                   project / "tests")
    for name in missing:
        print(f"docs/conformance.md: there is no {name}")
    print(f"{found} names of tests")
    return 1 if missing or found == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
