/* life.h: the life of many blocks of one size, from the first malloc to the last free and after.
 *
 * This is the experiment itself; retention and oom only choose plans and print reports.
 * It allocates nothing but the blocks under test (and, on request, the table of pointers to
 * them): its own memory comes from mmap, is touched before the first reading, and nothing is
 * printed. malloc, free, mallopt, malloc_trim and mallinfo2 are called by their usual names, so
 * that LD_PRELOAD puts any allocator under them.
 *
 * A process lives one life: see child.h. Plans and reports hold no pointers, because they travel
 * between processes.
 */
#ifndef NP_EXPERIMENTS_LIFE_H
#define NP_EXPERIMENTS_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LIFE_MALLOPT_MAX = 16,
    LIFE_PASS_MAX = 2,
    LIFE_THREAD_MAX = 256,
    LIFE_SAMPLE_MAX = 8192
};

enum life_order { LIFE_FORWARD, LIFE_REVERSE, LIFE_RANDOM };

enum life_table {
    LIFE_TABLE_MMAP,    /* mapped and touched before the first reading */
    LIFE_TABLE_MALLOC   /* a vector from the allocator under test, doubled as it fills */
};

struct life_mallopt {
    int param;
    int value;
    int answer;         /* what mallopt returned; set by the life, ignored in a plan */
};

struct life_plan {
    size_t block_bytes;
    uint64_t total_bytes;           /* of all blocks together, all threads */
    enum life_order order;
    enum life_table table;
    size_t pin_bytes;               /* a block of this size taken at the peak and held; 0: none */
    size_t keep_one_in;             /* this fraction of the blocks is never freed; 0: none */
    unsigned pass_count;
    unsigned thread_count;          /* the main thread included */
    double wait_seconds;
    bool is_trimmed;
    size_t trim_pad_bytes;
    bool is_traced;
    unsigned mallopt_count;
    struct life_mallopt mallopts[LIFE_MALLOPT_MAX];
};

/* What mallinfo2 said at the peak. */
struct life_mallinfo {
    uint64_t arena_bytes;
    uint64_t in_use_bytes;
    uint64_t mapped_count;          /* hblks */
    uint64_t mapped_bytes;          /* hblkhd */
};

struct life_pass {
    uint64_t peak_rss_bytes;
    uint64_t freed_rss_bytes;       /* right after the last free */
    uint64_t failed_count;          /* mallocs that returned NULL */
    double fill_seconds;            /* to allocate and fill all blocks */
    double fill_cpu_seconds;
    double free_seconds;
    double free_cpu_seconds;
    struct life_mallinfo mallinfo;
};

struct life_report {
    uint64_t block_count;
    uint64_t table_bytes;
    uint64_t start_rss_bytes;
    struct life_pass passes[LIFE_PASS_MAX];
    uint64_t table_rss_bytes;       /* after the table of pointers is gone too */
    uint64_t wait_rss_bytes;        /* after the idle seconds */
    uint64_t trim_rss_bytes;        /* after malloc_trim; 0 where the plan leaves it out */
    int trim_answer;
    uint64_t kept_count;            /* blocks still live at the end */
    uint64_t kept_page_bytes;       /* system pages that the kept blocks lie on: not returnable */
    struct life_mallopt mallopts[LIFE_MALLOPT_MAX];
    unsigned sample_count;
    char error[128];                /* empty if all went well */
    char allocator[256];            /* the file that malloc came from */
};

enum life_phase { LIFE_FILL, LIFE_FREE, LIFE_TABLE_GONE, LIFE_WAIT, LIFE_TRIM, LIFE_PHASE_COUNT };

struct life_sample {
    double seconds;                 /* since the start */
    uint64_t live_bytes;
    uint64_t rss_bytes;
    enum life_phase phase;
};

/* Lives the plan. samples has room for LIFE_SAMPLE_MAX where the plan is traced, else is NULL.
 * Returns false, with report->error set, if the experiment could not be carried out; a malloc
 * that fails is part of the experiment, and counted. */
bool np_life_run(const struct life_plan *plan, struct life_report *report,
                 struct life_sample *samples);

const char *np_life_phase_name(enum life_phase phase);

/* Resident bytes above the start after the last free of the first pass, as a share of what the
 * blocks added at the peak. */
double np_life_retained_share(const struct life_report *report);

#endif
