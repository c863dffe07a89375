/* The table of knobs: one row for each, and everything that is known about a knob is in its row.
 * The enum, the initial values, mallopt, the reading of the environment, the command-line tool and
 * docs/tunables.md are all made from it.
 *
 * Owns the rows, which never change, so nothing guards them. Leaves out the values in force:
 * those are in tune.c. A new knob is a new row and nothing else; the manual is then printed
 * anew. */
#ifndef NP_TUNE_KNOBS_H
#define NP_TUNE_KNOBS_H

#include <stdbool.h>
#include <stdint.h>

/* By what names a knob may be called; each is made of the name in its row. */
enum np_knob_name {
    NP_NAME_NEAP = 1,     /* NEAP_TOP_PAD, our environment variable */
    NP_NAME_TUNABLE = 2,  /* glibc.malloc.top_pad, in GLIBC_TUNABLES */
    NP_NAME_VARIABLE = 4, /* MALLOC_TOP_PAD_, glibc's environment variable */
    NP_NAME_MALLOPT = 8,  /* M_TOP_PAD */
    NP_NAME_BARE = 16,    /* the variable has no underscore at its end: MALLOC_ARENA_MAX */

    NP_NAMES_OF_GLIBC = NP_NAME_TUNABLE | NP_NAME_VARIABLE | NP_NAME_MALLOPT,
};

/* One row. Strings are arrays, not pointers, so that the table needs no relocation when the library
 * is loaded: no page of it is touched until a knob is named. "" stands for "has none".
 * [K1] least <= initial <= most.
 * [K2] Names and mallopt numbers are unique.
 * [K3] A row without effect has no name of neap's and no mallopt number: it is there so that
 *      programs which set it for glibc are not told off. */
struct np_knob_row {
    int64_t initial;            /* until something sets it */
    int64_t least, most;        /* both accepted */
    char name[22];
    char unit[9];               /* "bytes", "arenas", ...; "" where the value counts nothing */
    char initial_rule[22];      /* in force until it is set, where that is no plain number */
    uint8_t names;              /* bits of enum np_knob_name */
    int8_t mallopt_number;      /* if it has such a name */
};

enum { NP_KNOB_NAME_BYTES = 40 }; /* the longest name, and its end */

/* ROW(ID, initial value, what it does, where and why glibc's default or range is another, the rest of
 * struct np_knob_row as designated initialisers). The two texts are whole sentences and for the manual
 * only, so they are not in the rows: the library does without 13 KiB. */
#define NP_KNOBS(ROW)                                                                              \
    ROW(MXFAST, 0,                                                                                 \
        "Freed blocks of requests up to this size are held and not given back to the system "      \
        "until a trim, as the fast bins of glibc hold theirs. 0 holds none.",                      \
        "glibc's default is 128, which holds requests up to 120 bytes, and is why a program "      \
        "that frees all its small blocks can stay as big as ever; neap holds them only where "     \
        "it is asked to.",                                                                         \
        .name = "mxfast", .unit = "bytes", .least = 0, .most = 160,                                \
        .names = NP_NAME_NEAP | NP_NAME_TUNABLE | NP_NAME_MALLOPT, .mallopt_number = 1)            \
    ROW(TRIM_THRESHOLD, INT64_C(1) << 20,                                                          \
        "Free memory that may stay resident, wherever it lies: freeing gives back at once "        \
        "what is above it. 0 keeps nothing, -1 gives nothing back. Setting it freezes "            \
        "mmap_threshold.",                                                                         \
        "glibc's default is 131072, rises to twice the dynamic mmap_threshold, and counts "        \
        "only the free memory at the top of an arena. neap counts all of it, so the default "      \
        "leaves a program that grows and shrinks a share of its size.",                            \
        .name = "trim_threshold", .unit = "bytes", .least = -1, .most = INT64_MAX,                 \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC, .mallopt_number = -1,                           \
        .initial_rule = "max(1 MiB, live / 32)")                                                   \
    ROW(TOP_PAD, INT64_C(128) << 10,                                                               \
        "Asked for beyond the need whenever an arena grows, and kept at its top when it is "       \
        "trimmed. Until it is set, the main one asks for a 32nd of itself if that is more, up to " \
        "2 MiB: addresses only. Setting it freezes mmap_threshold.",                               \
        "glibc sets no upper limit, and a pad near the size of the address space makes every "     \
        "growth fail there.",                                                                      \
        .name = "top_pad", .unit = "bytes", .least = 0, .most = INT64_C(1) << 40,                  \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC, .mallopt_number = -2)                           \
    ROW(MMAP_THRESHOLD, INT64_C(128) << 10,                                                        \
        "Requests of at least this size that no free memory satisfies get a mapping of their "     \
        "own, which is unmapped when they are freed. Until it or one of trim_threshold, "          \
        "top_pad and mmap_max is set, freeing a mapped block of a larger size raises it to "       \
        "that size, up to 33554432.",                                                              \
        "The manual page of mallopt names 33554432 as the largest value; glibc 2.36 accepts "      \
        "any, and so does neap. Below zero, which glibc takes for a very large number, is "        \
        "refused.",                                                                                \
        .name = "mmap_threshold", .unit = "bytes", .least = 0, .most = INT64_MAX,                  \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC, .mallopt_number = -3)                           \
    ROW(MMAP_MAX, 65536,                                                                           \
        "Blocks that may have a mapping of their own at one time. 0 allows none. Setting it "      \
        "freezes mmap_threshold.",                                                                 \
        "",                                                                                        \
        .name = "mmap_max", .unit = "mappings", .least = 0, .most = INT32_MAX,                     \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC, .mallopt_number = -4)                           \
    ROW(PERTURB, 0,                                                                                \
        "Freed memory is filled with this byte, fresh memory with its complement, except by "      \
        "calloc. 0 fills nothing. mallopt takes the lowest byte of its argument; threads that "    \
        "run already follow with their next malloc for which no free block is at hand.",           \
        "",                                                                                        \
        .name = "perturb", .least = 0, .most = 255, .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC,     \
        .mallopt_number = -6)                                                                      \
    ROW(ARENA_TEST, 8,                                                                             \
        "Arenas that are made on demand before the processors are counted and the limit of "       \
        "arena_max's default is worked out.",                                                      \
        "The tunable's range begins at 1 in glibc; its mallopt takes 0 as neap does.",             \
        .name = "arena_test", .unit = "arenas", .least = 0, .most = INT32_MAX,                     \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC | NP_NAME_BARE, .mallopt_number = -7)            \
    ROW(ARENA_MAX, 0,                                                                              \
        "Arenas at most. 0 stands for eight times the processors.",                                \
        "The tunable's range begins at 1 in glibc, where leaving it alone is the only way to "     \
        "say 0.",                                                                                  \
        .name = "arena_max", .unit = "arenas", .least = 0, .most = INT32_MAX,                      \
        .names = NP_NAME_NEAP | NP_NAMES_OF_GLIBC | NP_NAME_BARE, .mallopt_number = -8,            \
        .initial_rule = "8 x processors")                                                          \
    ROW(OPEN_BYTES, INT64_C(960) << 10,                                                            \
        "Slabs of small blocks that one thread may hold open, and so withhold from the others"     \
        " and from the system while it sleeps. More is faster where a thread frees into many "     \
        "slabs in turn.",                                                                          \
        "",                                                                                        \
        .name = "open_bytes", .unit = "bytes", .least = INT64_C(64) << 10,                         \
        .most = INT64_C(1) << 30, .names = NP_NAME_NEAP)                                           \
    ROW(POPULATE, 1,                                                                               \
        "1 asks the kernel for memory many pages at a time where the program is seen to use it: "  \
        "of slabs once it holds many, of larger blocks from malloc once it has written such. 0 "   \
        "lets the program fault pages in one by one.",                                             \
        "",                                                                                        \
        .name = "populate", .least = 0, .most = 1, .names = NP_NAME_NEAP)                          \
    ROW(HELPER, 2,                                                                                 \
        "A thread that returns what is left when a program that kept freeing much and taking "     \
        "it back goes idle. It is started when such a program makes the trim threshold rise, "     \
        "and ends with that. 0: never; 1: in any process; 2: only in one that has several "        \
        "threads already. Not with trim_threshold set, which then does not rise.",                 \
        "",                                                                                        \
        .name = "helper", .least = 0, .most = 2, .names = NP_NAME_NEAP,                            \
        .initial_rule = "2 (auto)")                                                                \
    ROW(HARDENING, 1,                                                                              \
        "How much misuse of the heap is looked for. 0: what free must know anyway. 1: also "       \
        "sizes that sized frees name, writes behind large blocks, accesses to blocks of no "       \
        "bytes, and damaged free memory when a thread or the process ends. 2: also every byte"     \
        " around and in freed blocks, at some price; docs/hardening.md lists it. Can be set "      \
        "by the environment only, since it decides how blocks are laid out.",                      \
        "",                                                                                        \
        .name = "hardening", .least = 0, .most = 2, .names = NP_NAME_NEAP)                         \
    ROW(CHECK, 0,                                                                                  \
        "glibc's checks of its heap, in its debugging library only. neap's own checks are "        \
        "always on.",                                                                              \
        "",                                                                                        \
        .name = "check", .least = 0, .most = 3, .names = NP_NAME_TUNABLE | NP_NAME_VARIABLE)       \
    ROW(TCACHE_MAX, 0,                                                                             \
        "Largest block in glibc's thread caches. neap has none.",                                  \
        "",                                                                                        \
        .name = "tcache_max", .unit = "bytes", .least = 0, .most = INT64_MAX,                      \
        .names = NP_NAME_TUNABLE)                                                                  \
    ROW(TCACHE_COUNT, 0,                                                                           \
        "Blocks of one size in glibc's thread caches. neap has none.",                             \
        "",                                                                                        \
        .name = "tcache_count", .unit = "blocks", .least = 0, .most = INT64_MAX,                   \
        .names = NP_NAME_TUNABLE)                                                                  \
    ROW(TCACHE_UNSORTED_LIMIT, 0,                                                                  \
        "Blocks that glibc looks at to fill its thread caches. neap has none.",                    \
        "",                                                                                        \
        .name = "tcache_unsorted_limit", .unit = "blocks", .least = 0, .most = INT64_MAX,          \
        .names = NP_NAME_TUNABLE)                                                                  \
    ROW(HUGETLB, 0,                                                                                \
        "glibc's use of huge pages. neap leaves that to the kernel's settings.",                   \
        "",                                                                                        \
        .name = "hugetlb", .least = 0, .most = INT64_MAX, .names = NP_NAME_TUNABLE)

#define NP_KNOB_ENUMERATOR(ID, ...) NP_KNOB_##ID,
enum np_knob { NP_KNOBS(NP_KNOB_ENUMERATOR) NP_KNOB_COUNT };
#undef NP_KNOB_ENUMERATOR

/* The rows, in the order of enum np_knob. */
extern const struct np_knob_row np_knob_rows[NP_KNOB_COUNT];

/* Writes the knob's name of this kind; "" if it has none. */
void np_knob_write_name(const struct np_knob_row *row, enum np_knob_name kind,
                        char name[NP_KNOB_NAME_BYTES]);

/* Whether setting the knob changes anything: [K3]. */
static inline bool np_knob_has_effect(const struct np_knob_row *row)
{
    return (row->names & NP_NAME_NEAP) != 0;
}

#endif
