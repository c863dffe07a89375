"""The real programs: what they work on, generated from fixed seeds, and how they are called."""

import os
import random
import re
import shutil
import subprocess


class Program:
    """A command that any malloc can be put under."""

    def __init__(self, name, help_text, executable, make_command, extra=None):
        self.name = name
        self.help = help_text
        self.executable = executable
        self.make_command = make_command    # (folder, percent) -> arguments; writes the inputs
        self.extra = extra or {}            # environment


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    return path


C_FUNCTION = """
struct record_{n} {{ int id; double weight; char name[{size}]; struct record_{n} *next; }};
static int compare_{n}(const struct record_{n} *a, const struct record_{n} *b)
{{
    for (int i = 0; i < {size}; i++)
        if (a->name[i] != b->name[i])
            return a->name[i] < b->name[i] ? -{n} - 1 : {n} + 1;
    return (a->id * {odd} ^ b->id) % {size};
}}
int total_{n}(struct record_{n} *list, int limit)
{{
    int sum = 0;
    for (struct record_{n} *at = list; at != 0 && at->next != 0; at = at->next) {{
        switch ((at->id + {n}) % 5) {{
        case 0: sum += compare_{n}(at, at->next); break;
        case 1: sum -= (int)(at->weight * {odd}.5); break;
        case 2: sum ^= at->id << ({n} % 7); break;
        default: sum += limit > {odd} ? limit / {odd} : -limit;
        }}
        if (sum > limit)
            return sum - {n};
    }}
    return sum;
}}
"""


def make_gcc(folder, percent):
    dice = random.Random(1)
    parts = [C_FUNCTION.format(n=n, size=dice.randrange(8, 40), odd=2 * dice.randrange(1, 90) + 1)
             for n in range(max(2, percent))]
    source = write(folder, "generated.c", "".join(parts))
    return ["gcc", "-O1", "-c", source, "-o", os.path.join(folder, "generated_c.o")]


CXX_HEAD = """#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
template <int N> struct tag { static constexpr int value = tag<N - 1>::value * 3 % 1009 + 1; };
template <> struct tag<0> { static constexpr int value = 1; };
template <class... T> auto pack(T... t) { return std::make_tuple(t..., sizeof...(T)); }
"""

CXX_FUNCTION = """
using key_{n} = std::tuple<std::string, int, tag<{depth}>>;
struct less_{n} {{ bool operator()(const key_{n} &a, const key_{n} &b) const {{
    return std::get<0>(a) < std::get<0>(b); }} }};
int use_{n}(std::vector<std::variant<int, std::string, double>> &values)
{{
    std::map<key_{n}, std::shared_ptr<std::vector<std::string>>, less_{n}> index;
    std::unordered_map<std::string, std::function<int(tag<{depth}>, int)>> calls;
    calls["{n}"] = [&](tag<{depth}> t, int x) {{ return t.value + x + (int)index.size(); }};
    std::sort(values.begin(), values.end(), [](const auto &a, const auto &b) {{
        return a.index() * {depth} < b.index(); }});
    for (auto &value : values)
        std::visit([&](auto &v) {{ index[{{"k", (int)sizeof v, {{}}}}].reset(); }}, value);
    return (int)std::get<2>(pack({n}, calls["{n}"](tag<{depth}>{{}}, {n})));
}}
"""


def make_gxx(folder, percent):
    parts = [CXX_HEAD] + [CXX_FUNCTION.format(n=n, depth=50 + 7 * n)
                          for n in range(max(1, percent * 3 // 100))]
    source = write(folder, "generated.cc", "".join(parts))
    return ["g++", "-std=c++17", "-O0", "-c", source,
            "-o", os.path.join(folder, "generated_cc.o")]


PYTHON_SCRIPT = """import json, random, re
dice = random.Random(3)
table = {}
for i in range(%d):
    word = "".join(dice.choice("abcdefghij") for _ in range(dice.randrange(3, 9)))
    table.setdefault(word, []).append((i, word.upper(), {"n": i}))
text = json.dumps({word: [entry[0] for entry in entries] for word, entries in table.items()})
again = json.loads(text)
lines = re.sub(r"[{}\\[\\]]", "\\n", text).split("\\n")
objects = [[x, [x]] for x in range(%d)]
dice.shuffle(objects)
print(len(table), len(again), len(lines), len(text), sum(o[0] for o in objects[::7]))
"""


def make_python(folder, percent):
    script = write(folder, "script.py", PYTHON_SCRIPT % (450 * percent, 1500 * percent))
    # Debian's: what a user's PATH calls python3 may be a shell script.
    return ["/usr/bin/python3", "-I", script]


SQL = """PRAGMA temp_store = MEMORY;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, price REAL, kind INTEGER);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d)
INSERT INTO item SELECT i, printf('%%08x-%%d', i * 2654435761 %% 4294967296, i), i * 0.37, i %% 97
FROM n;
CREATE INDEX by_name ON item (name);
CREATE INDEX by_kind ON item (kind, price DESC);
SELECT kind, count(*), sum(price), max(name) FROM item GROUP BY kind ORDER BY 3 LIMIT 5;
SELECT count(*) FROM item a JOIN item b ON b.name = a.name WHERE a.kind = 3;
"""


def make_sqlite(folder, percent):
    script = write(folder, "script.sql", SQL % (2500 * percent))
    return ["sqlite3", "-batch", "-init", os.devnull, ":memory:", f".read {script}"]


PERL_SCRIPT = """use strict;
my (%%words, @lines);
my $seed = 12345;
for my $i (1 .. %d) {
    $seed = ($seed * 1103515245 + 12345) %% 2147483648;
    my $word = sprintf("%%x", $seed %% 50000);
    push @{$words{$word}}, "line $i has " . ("x" x ($seed %% 40));
    push @lines, join(",", $i, $word, length($word)) if $i %% 3 == 0;
}
my $text = join("\\n", sort { length($a) <=> length($b) or $a cmp $b } @lines);
my $count = 0;
for my $line (split /\\n/, $text) { my @fields = split /,/, $line; $count += $fields[2]; }
print scalar(keys %%words), " $count ", length($text), "\\n";
"""


def make_perl(folder, percent):
    return ["perl", write(folder, "script.pl", PERL_SCRIPT % (3000 * percent))]


def make_sort(folder, percent):
    dice = random.Random(5)
    lines = (f"{dice.randrange(1 << 40):x} {'abcdefghij' * dice.randrange(1, 5)}\n"
             for _ in range(8000 * percent))
    return ["sort", "--parallel=2", write(folder, "lines.txt", "".join(lines))]


PROGRAMS = [
    Program("gcc", "`gcc -O1` on a generated file of 100 pairs of functions", "gcc", make_gcc),
    Program("g++", "`g++` on a generated file full of templates", "g++", make_gxx),
    Program("python3", "`python3`: dictionaries, JSON, regular expressions, objects",
            "/usr/bin/python3", make_python),
    Program("python3-m", "the same with PYTHONMALLOC=malloc: without Python's own pools",
            "/usr/bin/python3", make_python, {"PYTHONMALLOC": "malloc"}),
    Program("sqlite3", "`sqlite3` filling a table in memory, two indices, queries", "sqlite3",
            make_sqlite),
    Program("perl", "`perl`: hashes of lists of strings, sort, split", "perl", make_perl),
    Program("sort", "`sort` of a file of 800,000 lines", "sort", make_sort),
]


def installed():
    return [program for program in PROGRAMS if shutil.which(program.executable)]


def version_of(program):
    """The first line of --version with a number of that shape in it, shortened to the number."""
    done = subprocess.run([program.executable, "--version"], capture_output=True, text=True,
                          check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group(0) if found else "?"
