"""Generated parts of a Markdown document, between markers:

    <!-- begin generated: NAME -->
    ...
    <!-- end generated -->
"""

import re

from measure import Failed

PLACE = re.compile(r"(<!-- begin generated: ([a-z0-9-]+) -->\n).*?(<!-- end generated -->)",
                   re.DOTALL)


def write_file(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path


def fill(path, blocks, is_ours):
    """Replaces the generated parts whose name is_ours; a block without a place, or a place of
    ours without a block, is an error. The others are left alone."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    places = [match.group(2) for match in PLACE.finditer(text) if is_ours(match.group(2))]
    if sorted(places) != sorted(blocks):
        raise Failed(f"{path} has places for {', '.join(sorted(places))}; "
                     f"the results fill {', '.join(sorted(blocks))}")

    def replace(match):
        if match.group(2) not in blocks:
            return match.group(0)
        return match.group(1) + blocks[match.group(2)] + "\n" + match.group(3)
    write_file(path, PLACE.sub(replace, text))
