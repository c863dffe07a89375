"""The real programs: what they work on, generated from fixed seeds, and how they are called."""

import json
import os
import random
import re
import shutil
import subprocess

import servers


class Program:
    """A command that any malloc can be put under."""

    def __init__(self, name, help_text, executable, make_command, extra=None, client=None,
                 brings_malloc=False):
        self.name = name
        self.help = help_text
        self.executable = executable
        self.make_command = make_command    # (folder, percent) -> arguments; writes the inputs
        self.extra = extra or {}            # environment
        # Of a server: (folder, percent) -> bytes; puts it to work, ends it, returns its answer.
        self.client = client
        # It is linked with an allocator of its own: without a preload it is not on libc's.
        self.brings_malloc = brings_malloc


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


def make_clang(folder, percent):
    return ["clang", "-O2", *make_gcc(folder, max(1, percent * 2 // 3))[2:]]


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
    # Debian's: what a user's PATH calls python3 may be a shell script. Not isolated (-I): it would
    # not see PYTHONMALLOC then.
    return ["/usr/bin/python3", "-s", script]


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


LUA_SCRIPT = """local seed = 42
local function dice(limit)
  seed = (seed * 1103515245 + 12345) %% 2147483648
  return seed %% limit
end
local index, count = {}, 0
for i = 1, %d do
  local key = string.format("%%x", dice(60000))
  local entry = index[key]
  if not entry then entry = {name = key, uses = {}}; index[key] = entry; count = count + 1 end
  entry.uses[#entry.uses + 1] = "line " .. i .. string.rep("x", dice(30))
  if i %% 7 == 0 then index[string.format("%%x", dice(60000))] = nil end
end
local parts = {}
for _, entry in pairs(index) do
  parts[#parts + 1] = entry.name .. ":" .. table.concat(entry.uses)
end
table.sort(parts)
print(count, #parts, #table.concat(parts, " "))
"""


def make_lua(folder, percent):
    return [LUA, write(folder, "script.lua", LUA_SCRIPT % (1500 * percent))]


def make_jq(folder, percent):
    dice = random.Random(6)
    records = [{"id": i, "kind": f"kind {dice.randrange(40)}", "price": dice.randrange(10000) / 100,
                "tags": [f"t{dice.randrange(500)}" for _ in range(dice.randrange(6))],
                "owner": {"name": "n" * dice.randrange(1, 30), "age": dice.randrange(90)}}
               for i in range(250 * percent)]
    return ["jq", "-c", "group_by(.kind) | map({kind: .[0].kind, count: length, "
            "sum: (map(.price) | add), tags: (map(.tags[]) | unique | length), "
            "oldest: (max_by(.owner.age) | .owner)})",
            write(folder, "records.json", json.dumps(records))]


def history(percent):
    """A repository's life as git fast-import reads it: files of lines, a few changed at a time."""
    dice = random.Random(7)
    files = [[f"line {dice.randrange(1 << 30):x} of a file" for _ in range(120)]
             for _ in range(40)]
    for number in range(1, 4 * percent + 1):
        yield f"commit refs/heads/main\nmark :{number}\n"
        yield f"committer A <a@example.org> {1700000000 + number} +0000\ndata 8\nchange.\n\n"
        if number > 1:
            yield f"from :{number - 1}\n"
        for _ in range(4):
            name = dice.randrange(len(files))
            for _ in range(6):
                files[name][dice.randrange(120)] = f"changed to {dice.randrange(1 << 30):x}"
            text = "\n".join(files[name]) + "\n"
            yield f"M 100644 inline folder{name % 5}/file{name}\ndata {len(text)}\n{text}\n"


GIT_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}


def repository(folder, percent):
    path = os.path.join(folder, "repository.git")
    if not os.path.exists(path):
        settings = {**os.environ, **GIT_SETTINGS}
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", path], check=True,
                       env=settings)
        subprocess.run(["git", "-C", path, "fast-import", "--quiet"], check=True, env=settings,
                       input="".join(history(percent)).encode("ascii"))
    return path


def make_git_log(folder, percent):
    return ["git", "-C", repository(folder, percent), "log", "-p", "--stat", "--no-color", "main"]


def make_git_pack(folder, percent):
    return ["git", "-C", repository(folder, percent), "-c", "pack.threads=1", "pack-objects",
            "--all", "--no-reuse-delta", "--window=50", "-q", "--stdout"]


POSTSCRIPT = """%!PS
/Helvetica findfont 9 scalefont setfont
/dice {{ rand 1000 mod 1000 div }} def
1 srand
1 1 {page_count} {{
  /page exch def
  /words 400 array def
  0 1 399 {{ dup words exch 3 -1 roll 20 string cvs put }} for
  0 1 399 {{ /n exch def dice 500 mul 40 add dice 740 mul 40 add moveto
    words n get show ( ) show page 10 string cvs show }} for
  1 1 300 {{ /n exch def dice dice dice setrgbcolor newpath
    dice 500 mul dice 700 mul moveto
    6 {{ dice 595 mul dice 842 mul dice 595 mul dice 842 mul dice 595 mul dice 842 mul curveto }}
    repeat n 3 mod 0 eq {{ closepath fill }} {{ dice 3 mul setlinewidth stroke }} ifelse }} for
  showpage
}} for
"""


def make_gs(folder, percent):
    script = write(folder, "pages.ps", POSTSCRIPT.format(page_count=max(1, percent * 4 // 100)))
    return ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-dSAFER", "-sDEVICE=ppmraw", "-r72",
            "-sOutputFile=-", script]


# Debian's name has the version in it.
LUA = shutil.which("lua5.4") or "lua"

PROGRAMS = [
    Program("gcc", "`gcc -O1` on a generated file of 100 pairs of functions", "gcc", make_gcc),
    Program("g++", "`g++` on a generated file full of templates", "g++", make_gxx),
    Program("clang", "`clang -O2` on a generated file of 66 pairs of functions", "clang",
            make_clang),
    Program("python3", "`python3`: dictionaries, JSON, regular expressions, objects",
            "/usr/bin/python3", make_python),
    Program("python3-m", "the same with PYTHONMALLOC=malloc: without Python's own pools",
            "/usr/bin/python3", make_python, {"PYTHONMALLOC": "malloc"}),
    Program("perl", "`perl`: hashes of lists of strings, sort, split", "perl", make_perl),
    Program("lua", "`lua`: tables of tables of strings, garbage collection", LUA, make_lua),
    Program("sqlite3", "`sqlite3` filling a table in memory, two indices, queries", "sqlite3",
            make_sqlite),
    Program("jq", "`jq` grouping 25,000 records", "jq", make_jq),
    Program("sort", "`sort` of a file of 800,000 lines", "sort", make_sort),
    Program("git-log", "`git log -p` of 400 commits", "git", make_git_log, GIT_SETTINGS),
    Program("git-pack", "`git pack-objects` of their 4,500 objects", "git", make_git_pack,
            GIT_SETTINGS),
    Program("gs", "`gs` drawing four pages of text and curves", "gs", make_gs),
    Program("redis", "`redis-server`, put to work by `redis-benchmark`", "redis-benchmark",
            servers.redis_command, client=servers.redis_client, brings_malloc=True),
    Program("memcached", "`memcached` of two threads: sets, gets, deletes", "memcached",
            servers.memcached_command, client=servers.memcached_client),
]


def installed():
    return [program for program in PROGRAMS if shutil.which(program.executable)]


def missing():
    return [program.name for program in PROGRAMS if not shutil.which(program.executable)]


def version_of(program):
    """The first number of the shape of a version in what --version says; lua knows -v only."""
    option = "-v" if program.executable == LUA else "--version"
    done = subprocess.run([program.executable, option], capture_output=True, text=True,
                          check=False)
    found = re.search(r"\d+(\.\d+)+", done.stdout)
    return found.group(0) if found else "?"
