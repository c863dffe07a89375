"""The allocators under comparison: where they are, which version, how a program is put on them."""

import glob
import os
import re
import subprocess

# A knob that is set in the caller's shell would be measured in place of the defaults.
KNOB = re.compile(r"^(LD_PRELOAD|GLIBC_TUNABLES|_RJEM_.*|"
                  r"(MALLOC|MIMALLOC|TCMALLOC|JEMALLOC|NEAP)_.*)$")


class Missing(Exception):
    """Something that must be installed or built first; the text says how."""


class Allocator:
    def __init__(self, key, name, version, library=None, environment=None):
        self.key = key
        self.name = name            # as titles have it
        self.version = version
        self.preloaded = library      # None: the C library's own
        self.extra = environment or {}

    def environment(self):
        """The environment for a program on this allocator."""
        clean = {k: v for k, v in os.environ.items() if not KNOB.match(k)}
        if self.preloaded:
            clean["LD_PRELOAD"] = self.preloaded
        clean.update(self.extra)
        return clean

    def check(self, file_of_malloc):
        """Raises if malloc came from another file than it should."""
        if self.preloaded:
            is_right = os.path.realpath(file_of_malloc) == os.path.realpath(self.preloaded)
        else:
            is_right = os.path.basename(file_of_malloc).startswith("libc.so")
        if not is_right:
            raise RuntimeError(f"{self.name}: malloc came from {file_of_malloc}")


def output_of(command):
    """What a command prints, or "" if it fails or is not there."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def debian_allocator(key, package, file_name):
    found = glob.glob(f"/usr/lib/*/{file_name}") + glob.glob(f"/usr/lib/{file_name}")
    if not found:
        raise Missing(f"{file_name} is not installed: run tools/install-packages "
                      f"(package {package})")
    # "5.3.0-1+b1" and "2.0.9+ds-2": what comes before Debian's own additions.
    version = re.split(r"[-+~]", output_of(["dpkg-query", "-W", "-f", "${Version}", package]))[0]
    return Allocator(key, f"{key} {version}", version, library=found[0])


def neap_version(top):
    header = os.path.join(top, "include", "neap", "neap.h")
    with open(header, encoding="utf-8") as file:
        found = re.search(r'NEAP_VERSION_TEXT\s+"([^"]+)"', file.read())
    commit = output_of(["git", "-C", top, "describe", "--always", "--dirty"])
    return (found.group(1) if found else "?") + (f" ({commit})" if commit else "")


# Allocators that are another one with other settings: whose, what the name adds, environment.
TUNED = {
    "neap-mxfast": ("neap", "M_MXFAST=120", {"NEAP_MXFAST": "120"}),
    "glibc-trim0": ("glibc", "M_TRIM_THRESHOLD=0", {"MALLOC_TRIM_THRESHOLD_": "0"}),
    "jemalloc-decay0": ("jemalloc", "decay 0",
                        {"MALLOC_CONF": "dirty_decay_ms:0,muzzy_decay_ms:0"}),
    "jemalloc-thread": ("jemalloc", "background thread", {"MALLOC_CONF": "background_thread:true"}),
}
DEBIAN = {
    "jemalloc": ("libjemalloc2", "libjemalloc.so.2"),
    "tcmalloc": ("libtcmalloc-minimal4", "libtcmalloc_minimal.so.4"),
    "mimalloc": ("libmimalloc2.0", "libmimalloc.so.2.0"),
}


def find_neap(top, build_folder):
    library = os.path.join(build_folder, "lib", "libneap.so")
    if not os.path.exists(library):
        raise Missing(f"{library} is not built: run\n"
                      "  cmake --preset release && cmake --build --preset release")
    return Allocator("neap", "neap", neap_version(top), library=library)


def find_one(key, top, build_folder):
    if key in TUNED:
        base, setting, environment = TUNED[key]
        found = find_one(base, top, build_folder)
        return Allocator(key, f"{found.name}, {setting}", found.version, found.preloaded,
                         environment)
    if key == "neap":
        return find_neap(top, build_folder)
    if key == "glibc":
        version = os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
        return Allocator(key, f"glibc {version}", version)
    if key in DEBIAN:
        return debian_allocator(key, *DEBIAN[key])
    raise Missing(f"no allocator is called '{key}': there are "
                  f"{', '.join(['glibc', 'neap', *DEBIAN, *TUNED])}")


def find(keys, top, build_folder):
    """The allocators with these keys, in this order."""
    return [find_one(key, top, build_folder) for key in keys]


# What the retention experiment compares.
ALL = ["glibc", "jemalloc", "tcmalloc", "mimalloc", "neap", "neap-mxfast"]
