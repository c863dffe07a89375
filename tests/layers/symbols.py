"""No object file calls upward, and none is in a cycle with another.

Reads with nm which names the object files of the layers define and want. Every name must come from
the layer itself or from one that it declares, and the graph of all object files has no cycle.

Usage: symbols.py BUILD_FOLDER SOURCE_FOLDER NM
"""

import pathlib
import shlex
import subprocess
import sys

from layer_graph import finish, read_commands, read_layers


def object_of(entry):
    words = shlex.split(entry["command"])
    return pathlib.Path(entry["directory"]) / words[words.index("-o") + 1]


def names_of(nm, file):
    """(defined, wanted): the external names of one object file."""
    output = subprocess.run([nm, "--extern-only", "--format=posix", str(file)],
                            capture_output=True, text=True, check=True).stdout
    defined, wanted = set(), set()
    for line in output.splitlines():
        name, kind = line.split()[:2]
        (wanted if kind in "Uwv" else defined).add(name)
    return defined, wanted


def graph_of_objects(commands, layers, nm):
    """({object: layer}, {object: {other object: a name it takes from there}})"""
    layer_of, defined_in, wanted_by = {}, {}, {}
    for layer in layers:
        for entry in commands.get(layer, []):
            file = object_of(entry)
            defined, wanted = names_of(nm, file)
            layer_of[file] = layer
            wanted_by[file] = wanted
            defined_in.update(dict.fromkeys(defined, file))
    edges = {file: {defined_in[name]: name for name in sorted(wanted)
                    if defined_in.get(name, file) != file}
             for file, wanted in wanted_by.items()}
    return layer_of, edges


def find_cycle(edges):
    """The objects of one cycle, or an empty list."""
    state, path = {}, []

    def visit(node):
        state[node] = "open"
        path.append(node)
        for target in edges[node]:
            if state.get(target) == "open":
                return path[path.index(target):] + [target]
            if target not in state:
                cycle = visit(target)
                if cycle:
                    return cycle
        state[node] = "done"
        path.pop()
        return []

    for node in edges:
        if node not in state:
            cycle = visit(node)
            if cycle:
                return cycle
    return []


def main():
    build, source = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    layers = read_layers(build)
    layer_of, edges = graph_of_objects(read_commands(build, source), layers, sys.argv[3])
    complaints = []
    for file, targets in edges.items():
        for target, name in targets.items():
            upper, lower = layer_of[file], layer_of[target]
            if upper != lower and lower not in layers[upper]:
                complaints.append(f"{upper}/{file.stem} takes {name} from {lower}/{target.stem}")
    cycle = find_cycle(edges)
    if cycle:
        complaints.append("cycle: " + " -> ".join(f"{layer_of[o]}/{o.stem}" for o in cycle))
    if not layer_of:
        complaints.append("no layer has an object file")
    references = sum(len(targets) for targets in edges.values())
    finish(complaints, f"{len(layer_of)} objects, {references} references between them")


main()
