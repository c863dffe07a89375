"""count.py counts right, and refuses what it should, in functions whose instructions are known.

Usage: count_test.py OBJDUMP SAMPLE
"""

import contextlib
import io
import sys

import count

COUNTED = {"straight": (6, 2), "inverted": (4, 1), "early_return": (6, 1)}
REFUSED = {
    "calling": "has no way to its end without a call",
    "looping": "goes round in a loop",
    "locking": "changes memory by a locked instruction",
    "exchanging": "changes memory by a locked instruction",
    "absent": "is not in",
}


def status_of(objdump, sample, budget):
    with contextlib.redirect_stdout(io.StringIO()):
        return count.main(objdump, sample, budget)


def main(objdump, sample):
    for name, expected in COUNTED.items():
        found = count.count(objdump, sample, name)
        assert found == expected, f"{name}: {found}, not {expected}"
    for name, sentence in REFUSED.items():
        try:
            found = count.count(objdump, sample, name)
        except count.Refused as refused:
            assert sentence in str(refused), f"{name}: {refused}"
        else:
            raise AssertionError(f"{name} was counted: {found}")
        assert status_of(objdump, sample, f"{name}=99/99") == 1
    # The limits themselves are allowed; one less of either is not.
    assert status_of(objdump, sample, "straight=6/2") == 0
    assert status_of(objdump, sample, "straight=5/2") == 1
    assert status_of(objdump, sample, "straight=6/1") == 1


main(*sys.argv[1:])
