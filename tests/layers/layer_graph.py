"""What the build says about the layers, read from the build folder; used by the tests beside it."""

import json
import pathlib
import sys


def read_layers(build):
    """{layer: set of the layers it declares}, bottom up, as the build wrote it."""
    layers = {}
    for line in (build / "layers.txt").read_text().splitlines():
        name, below = line.split(":")
        layers[name] = set(below.split())
    return layers


def read_commands(build, source):
    """{layer: [compile command of one of its files, ...]}, from compile_commands.json."""
    commands = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        file = pathlib.Path(entry["file"])
        if not file.is_relative_to(source / "src"):
            continue
        layer = file.relative_to(source / "src").parts[0]
        commands.setdefault(layer, []).append(entry)
    return commands


def finish(complaints, done):
    """Ends the test: every complaint on a line, or one line on what was looked at."""
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    print(done)
    sys.exit(1 if complaints else 0)
