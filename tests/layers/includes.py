"""An include of a layer that is not declared must be "no such file".

Takes the real compile command of one file of each layer, and has that compiler look for every
header of every other layer. Also reads the sources for includes that go round the search path.

Usage: includes.py BUILD_FOLDER SOURCE_FOLDER
"""

import pathlib
import re
import shlex
import subprocess
import sys

from layer_graph import finish, read_commands, read_layers

# Said once more here, so that a line changed in CMakeLists.txt does not change the rule unseen.
NEVER = {("heap", "os"), ("heap", "large"), ("large", "heap")}


def preprocess(entry, source_text, folder):
    """Runs the preprocessor with the flags of `entry` on `source_text`; the finished process."""
    words = shlex.split(entry["command"])
    source = entry["file"]
    skip = {"-o", "-MT", "-MF", "-MQ"}
    kept = []
    position = 0
    while position < len(words):
        word = words[position]
        if word in skip:
            position += 2
            continue
        if word not in ("-c", "-MD", "-MMD", source):
            kept.append(word)
        position += 1
    probe = folder / ("probe" + pathlib.Path(source).suffix)
    probe.write_text(source_text)
    return subprocess.run(kept + ["-E", "-P", str(probe)], capture_output=True, text=True,
                          cwd=entry["directory"], check=False)


def visible_headers(entry, headers, folder):
    """Which of `headers` the compiler finds with the flags of `entry`."""
    text = "".join(f'#if __has_include("{name}")\nfound {name}\n#endif\n' for name in headers)
    result = preprocess(entry, text, folder)
    if result.returncode != 0:
        sys.exit(result.stderr)
    return {line.split()[1] for line in result.stdout.splitlines() if line.startswith("found ")}


def complaints_of_layer(name, layers, headers, entry, folder):
    owner = {file: layer for layer, files in headers.items() for file in files}
    visible = visible_headers(entry, owner, folder)
    for file, layer in sorted(owner.items()):
        allowed = layer == name or layer in layers[name]
        if (file in visible) != allowed:
            yield f"{name} {'sees' if file in visible else 'does not see'} {file} of {layer}"
    above = next((f for f, layer in owner.items() if layer != name and layer not in layers[name]),
                 None)
    if above is not None:
        result = preprocess(entry, f'#include "{above}"\n', folder)
        refusal = re.search(r"No such file|file not found", result.stderr)
        if result.returncode == 0 or refusal is None:
            yield f"{name} may include {above}"


def complaints_of_sources(source):
    for file in sorted((source / "src").rglob("*.[ch]*")):
        layer = file.relative_to(source / "src").parts[0]
        for number, line in enumerate(file.read_text().splitlines(), 1):
            place = f"{file.relative_to(source)}:{number}"
            if re.match(r'\s*#\s*include\s*"(?!neap/)[^"]*/', line):
                yield f"{place}: an include by path goes round the layers"
            if re.match(r'\s*#\s*include\s*[<"]neap/', line) and layer not in ("entry", "region"):
                yield f"{place}: the public headers belong to entry"


def main():
    build, source = (pathlib.Path(argument).resolve() for argument in sys.argv[1:3])
    folder = build / "layer_probe"
    folder.mkdir(exist_ok=True)
    layers = read_layers(build)
    commands = read_commands(build, source)
    headers = {layer: sorted(file.name for file in (source / "src" / layer).glob("*.h"))
               for layer in layers}
    complaints = [f"{upper} declares {lower}" for upper, lower in sorted(NEVER)
                  if lower in layers[upper]]
    names = [name for files in headers.values() for name in files]
    complaints += [f"two layers have a {name}" for name in sorted(set(names))
                   if names.count(name) > 1]
    probed = [name for name in layers if name in commands]
    if not probed:
        complaints.append("no layer has a source file")
    for name in probed:
        complaints += complaints_of_layer(name, layers, headers, commands[name][0], folder)
    complaints += complaints_of_sources(source)
    finish(complaints, f"{len(probed)} layers looked for {len(names)} headers")


main()
