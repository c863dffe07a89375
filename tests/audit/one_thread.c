/* Adversaries with one thread. */
#include <malloc.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "audit.h"
#include "limits.h"
#include "patterns.h"
#include "returned.h"
#include "scenarios.h"
#include "serve.h"

/* Small ones, each of a class with another way of laying slots: many a word of bits, fitted, to
 * the byte, straddling, one a page, two units. */
static const size_t sizes[] = {16, 48, 100, 256, 640, 1000, 2048, 3000, 4096, 5000, 9000, 16384};

enum {
    SIZE_COUNT = sizeof sizes / sizeof sizes[0],
    OFTEN = 500, /* audits: after so many frees */
    SELDOM = 5000,
    LOCKED_BYTES = 6 << 20,
    SKIPPED = 77, /* as CMakeLists.txt has it */
};

/* Which of the blocks stay. */
static uintptr_t kept_stride_bytes; /* one in each stretch of so many bytes */
static uintptr_t kept_last;

static bool is_not_first_of_stretch(const struct block *block)
{
    uintptr_t stretch = (uintptr_t)block->address / kept_stride_bytes;
    bool is_first = stretch != kept_last;

    kept_last = stretch;
    return !is_first;
}

static void set_knob(int parameter, int value)
{
    REQUIRE(np_serve_mallopt(parameter, value) == 1);
}

static void random_order(void)
{
    struct blocks blocks = blocks_take(options.total_bytes, 16, 1024, &options.seed);

    audit_at_rest("all live");
    blocks_shuffle(blocks, &options.seed);
    blocks_give(blocks, NULL, "in random order", SELDOM);
}

/* What lives on top keeps the break where it is. */
static void pinned(void)
{
    struct blocks blocks = blocks_take(options.total_bytes, 16, 1024, &options.seed);
    struct block top;

    set_knob(M_MMAP_MAX, 0);
    block_take(&top, 1 << 20);
    blocks_shuffle(blocks, &options.seed);
    blocks_give(blocks, NULL, "under a block that stays", SELDOM);
    block_give(&top);
    audit_at_rest("and it goes");
}

/* A block stays in each piece in which bookkeeping goes, and then they go, from the lowest on. */
static void kept_per_share(void)
{
    struct blocks blocks = blocks_take(options.total_bytes, 4096, 4096, &options.seed);
    struct block top;

    set_knob(M_MMAP_MAX, 0);
    block_take(&top, 1 << 20);
    blocks_sort(blocks);
    kept_stride_bytes = np_window_share_bytes();
    kept_last = 0;
    blocks_give(blocks, is_not_first_of_stretch, "one is kept", SELDOM);
    blocks_give(blocks, NULL, "the kept ones go", OFTEN);
    block_give(&top);
    audit_at_rest("the top goes");
}

/* One block is kept in each stretch of the addresses, and in the end none. */
static void keep_one_in(size_t stride_bytes)
{
    for (size_t index = 0; index < SIZE_COUNT; index++) {
        size_t size_bytes = sizes[index];
        struct blocks blocks =
            blocks_take(options.total_bytes / 4, size_bytes, size_bytes, &options.seed);

        blocks_sort(blocks);
        kept_stride_bytes = stride_bytes;
        kept_last = 0;
        blocks_give(blocks, is_not_first_of_stretch, "one is kept", SELDOM);
        blocks_shuffle(blocks, &options.seed);
        blocks_give(blocks, NULL, "the kept ones go", OFTEN);
    }
}

static void kept_per_slab(void)
{
    keep_one_in(NP_UNIT_BYTES);
}

static void kept_per_pages(void)
{
    keep_one_in(2 * NP_GRANULE_BYTES);
    keep_one_in(3 * NP_GRANULE_BYTES);
}

static void kept_per_page(void)
{
    keep_one_in(NP_GRANULE_BYTES);
}

static bool is_every_second;

static bool is_second(const struct block *block)
{
    (void)block;
    is_every_second = !is_every_second;
    return is_every_second;
}

static void every_second(void)
{
    for (size_t index = 0; index < SIZE_COUNT; index++) {
        struct blocks blocks =
            blocks_take(options.total_bytes / 4, sizes[index], sizes[index], &options.seed);

        blocks_give(blocks, is_second, "every second", SELDOM);
        blocks_give(blocks, is_second, "every fourth", SELDOM);
        blocks_give(blocks, NULL, "the rest", SELDOM);
    }
}

/* The pages of slabs are freed from the last to the first, and taken again in between. */
static void backwards(void)
{
    for (unsigned round = 0; round < 3; round++) {
        struct blocks blocks = blocks_take(options.total_bytes / 2, 16, 4096, &options.seed);

        blocks_sort(blocks);
        for (size_t index = 0; index < blocks.count / 2; index++) {
            struct block block = blocks.at[index];

            blocks.at[index] = blocks.at[blocks.count - 1 - index];
            blocks.at[blocks.count - 1 - index] = block;
        }
        blocks_give(blocks, NULL, "backwards", SELDOM);
    }
}

/* Blocks of all kinds, freed in an order that leaves pages here and there. */
static void live_under_threshold(void)
{
    struct blocks small = blocks_take(options.total_bytes / 8, 16, 2000, &options.seed);
    struct blocks runs = blocks_take(options.total_bytes / 8, 17000, 100000, &options.seed);

    blocks_shuffle(small, &options.seed);
    blocks_shuffle(runs, &options.seed);
    blocks_give(runs, is_second, "runs, every second", 8);
    blocks_give(small, is_second, "small, every second", OFTEN);
    blocks_give(small, NULL, "small, the rest", OFTEN);
    blocks_give(runs, NULL, "runs, the rest", 8);
}

static void thresholds(void)
{
    static const int values[] = {0, 1, 4096, 65536, 300000, 1 << 20, 5 << 20, 100 << 20, 0};

    for (size_t index = 0; index < sizeof values / sizeof values[0]; index++) {
        set_knob(M_TRIM_THRESHOLD, values[index]);
        /* What was retained under the last one goes when something is freed the long way. */
        if (index > 0) {
            struct block block;

            block_take(&block, 20000);
            block_give(&block);
        }
        live_under_threshold();
    }
}

/* Keeps everything; then a threshold is set. */
static void threshold_none(void)
{
    struct block block;

    set_knob(M_TRIM_THRESHOLD, -1);
    live_under_threshold();
    REQUIRE(np_returned_totals().ways[NP_RETURN_PURGE].bytes == 0);
    set_knob(M_TRIM_THRESHOLD, 200000);
    block_take(&block, 20000);
    block_give(&block);
    audit_at_rest("a threshold after none");
}

static size_t random_small(uint64_t *random)
{
    size_t most_bytes = (size_t)32 << random_below(random, 10);

    return 1 + random_below(random, most_bytes);
}

/* All classes at once: there are more than a heap may have slabs open, so slots are lent. */
static void classes(void)
{
    struct blocks blocks = {NULL, options.total_bytes / 2500};

    blocks.at = truth_map(blocks.count * sizeof blocks.at[0]);
    for (size_t step = 0; step < 4 * blocks.count; step++) {
        struct block *block = &blocks.at[random_below(&options.seed, blocks.count)];

        if (block->address != NULL)
            block_give(block);
        else
            block_take(block, random_small(&options.seed));
        audit_now_and_then("all classes", OFTEN);
    }
    for (size_t step = 0; step < 8 * blocks.count; step++) {
        struct block *block = &blocks.at[random_below(&options.seed, blocks.count)];

        if (block->address != NULL)
            block_give(block);
        else if (random_below(&options.seed, 4) == 0)
            block_take(block, random_small(&options.seed));
        audit_now_and_then("all classes, fewer", OFTEN);
    }
    blocks_give(blocks, NULL, "the rest", OFTEN);
}

static void runs(void)
{
    struct blocks blocks;

    set_knob(M_MMAP_MAX, 0);
    blocks = blocks_take(options.total_bytes * 2, 17000, 1000000, &options.seed);
    blocks_shuffle(blocks, &options.seed);
    blocks_give(blocks, is_second, "runs, every second", 1);
    blocks_give(blocks, NULL, "runs, the rest", 1);
}

static void large(void)
{
    struct blocks blocks = blocks_take(options.total_bytes * 4, 100000, 5000000, &options.seed);

    blocks_shuffle(blocks, &options.seed);
    blocks_give(blocks, is_second, "large, every second", 1);
    blocks_give(blocks, NULL, "large, the rest", 1);
}

/* Grows and shrinks, mostly in place. */
static void resized(void)
{
    struct blocks blocks;

    set_knob(M_MMAP_THRESHOLD, 4 << 20);
    blocks = blocks_take(options.total_bytes, 17000, 400000, &options.seed);
    for (unsigned step = 0; step < 400; step++) {
        struct block *block = &blocks.at[random_below(&options.seed, blocks.count)];

        block_resize(block, 100 + random_below(&options.seed, 400000));
        audit_now_and_then("resized", 2);
    }
    for (size_t index = 0; index < blocks.count; index++) {
        block_resize(&blocks.at[index], 17000);
        audit_now_and_then("shrunk", 2);
    }
    blocks_give(blocks, NULL, "the rest", 2);
}

/* Much that is live allows for much that is retained. When it goes, so must that. */
static void live_falls(void)
{
    struct block big[16];
    struct blocks blocks;

    set_knob(M_MMAP_MAX, 0);
    for (size_t index = 0; index < 16; index++)
        block_take_untouched(&big[index], (size_t)64 << 20);
    blocks = blocks_take(options.total_bytes, 16, 3000, &options.seed);
    blocks_sort(blocks);
    kept_stride_bytes = NP_UNIT_BYTES;
    kept_last = 0;
    blocks_give(blocks, is_not_first_of_stretch, "retained while much lives", SELDOM);
    for (size_t index = 0; index < 16; index++) {
        block_give(&big[index]);
        audit_at_rest("less lives");
    }
    blocks_give(blocks, NULL, "the rest", OFTEN);
}

/* Somebody else moves the break: the arena has a gap, and its end can only be purged from then
 * on. */
static void foreign_break(void)
{
    for (unsigned round = 0; round < 3; round++) {
        struct blocks blocks = blocks_take(options.total_bytes / 4, 16, 100000, &options.seed);

        blocks_shuffle(blocks, &options.seed);
        blocks_give(blocks, is_second, "every second", 50);
        REQUIRE(sbrk(20000) != (void *)-1);
        blocks_give(blocks, NULL, "the rest", 50);
    }
}

/* What is locked stays, and the rest goes all the same. */
static void locked(void)
{
    struct blocks blocks = blocks_take(options.total_bytes / 2, 16, 3000, &options.seed);
    char *first;
    size_t bytes = (size_t)1 << 20;

    blocks_sort(blocks);
    first = (char *)np_align_up((uintptr_t)blocks.at[0].address, NP_UNIT_BYTES);
    if (mlock2(first, bytes, MLOCK_ONFAULT) != 0) /* RLIMIT_MEMLOCK: mostly allows a little */
        bytes = 8 * NP_GRANULE_BYTES;
    REQUIRE(mlock2(first, bytes, MLOCK_ONFAULT) == 0);
    kept_stride_bytes = NP_UNIT_BYTES;
    kept_last = 0;
    blocks_give(blocks, is_not_first_of_stretch, "one is kept, some is locked", SELDOM);
    blocks_give(blocks, NULL, "some is locked", OFTEN);
}

/* Slabs that are visited first have nothing to give. */
static void lock_first_of_windows(struct blocks blocks)
{
    uintptr_t last = 0;

    for (size_t index = 0; index < blocks.count; index++) {
        uintptr_t at = np_align_up((uintptr_t)blocks.at[index].address, NP_UNIT_BYTES);

        if (at / NP_WINDOW_BYTES == last)
            continue;
        last = at / NP_WINDOW_BYTES;
        if (mlock2((void *)at, LOCKED_BYTES, MLOCK_ONFAULT) != 0) {
            printf("RLIMIT_MEMLOCK forbids it\n");
            fflush(stdout);
            _exit(SKIPPED);
        }
    }
}

/* Much has to go at once, and the first that is looked at is locked. */
static void locked_falls(void)
{
    struct block big;
    struct blocks blocks;

    set_knob(M_MMAP_MAX, 0);
    blocks = blocks_take(options.total_bytes, 16, 3000, &options.seed);
    block_take_untouched(&big, (size_t)1 << 30);
    blocks_sort(blocks);
    lock_first_of_windows(blocks);
    kept_stride_bytes = NP_UNIT_BYTES;
    kept_last = 0;
    blocks_give(blocks, is_not_first_of_stretch, "retained while much lives", SELDOM);
    block_give(&big);
    audit_at_rest("less lives");
}

/* After a trim of a process whose only thread calls it nothing is retained but what was refused,
 * and a second trim finds nothing. */
static void trimmed(void)
{
    for (size_t index = 0; index < SIZE_COUNT; index++) {
        struct blocks blocks =
            blocks_take(options.total_bytes / 8, sizes[index], sizes[index], &options.seed);
        struct audit_found found;

        blocks_shuffle(blocks, &options.seed);
        for (size_t at = 0; at < blocks.count; at++)
            if (random_below(&options.seed, 100) != 0)
                block_give(&blocks.at[at]);
        REQUIRE(np_serve_trim(0) == 1);
        audit_walk(&found);
        REQUIRE(found.retained_bytes == 0);
        REQUIRE(np_serve_trim(0) == 0);
        audit_at_rest("trimmed");
        blocks_give(blocks, NULL, "the rest", OFTEN);
    }
}

/* Blocks that stay in a heap's open slabs, so that all of these are at work: three more or fewer
 * at a time. */
enum { BUSY_COUNT = 18, BUSY_MORE = 3 };

static struct busy {
    struct block block[BUSY_MORE];
} busy[BUSY_COUNT];

static size_t busy_size(size_t index)
{
    unsigned class_index = NP_DIRECT_CLASS_COUNT + (unsigned)index;

    return np_classes[class_index + (class_index >= np_class_of(2048))].slot_bytes;
}

static void fill_busy(void)
{
    struct block block;

    for (size_t index = 0; index < BUSY_COUNT; index++) {
        struct block *more = busy[index].block;

        for (size_t count = 0; count < 60000 / busy_size(index); count++)
            block_take(&block, busy_size(index));
        block_take(&more[0], busy_size(index));
    }
}

static void keep_busy(void)
{
    for (size_t index = 0; index < BUSY_COUNT; index++) {
        struct block *block = &busy[index].block[random_below(&options.seed, BUSY_MORE)];

        if (block->address != NULL)
            block_give(block);
        else
            block_take(block, busy_size(index));
    }
}

static bool is_on_third_page(const struct block *block)
{
    return ((uintptr_t)block->address >> NP_GRANULE_SHIFT) % NP_UNIT_GRANULES == 3;
}

/* A charge outlives its reason where slots are lent. Then all must go at once. */
static void lent_charges(void)
{
    struct block big[16];
    struct blocks first;
    struct blocks second;
    struct block block;

    set_knob(M_MMAP_MAX, 0);
    for (size_t index = 0; index < 16; index++)
        block_take_untouched(&big[index], (size_t)64 << 20);
    second = blocks_take((size_t)30 << 20, 4096, 4096, &options.seed);
    first = blocks_take((size_t)60 << 20, 2048, 2048, &options.seed);
    fill_busy();
    blocks_give(first, is_on_third_page, "the third page of each slab", 1000);
    blocks_sort(second);
    kept_stride_bytes = NP_UNIT_BYTES;
    kept_last = 0;
    blocks_give(second, is_not_first_of_stretch, "all but the first page", 1000);
    for (size_t count = 0; count < 1600; count++) {
        keep_busy();
        block_take(&block, 2048);
    }
    audit_at_rest("pages were lent");
    for (size_t index = 0; index < 16; index++)
        block_give(&big[index]);
    audit_at_rest("less lives");
}

const struct scenario one_thread_scenarios[] = {
    {"random_order", random_order},
    {"pinned", pinned},
    {"kept_per_share", kept_per_share},
    {"kept_per_slab", kept_per_slab},
    {"kept_per_pages", kept_per_pages},
    {"kept_per_page", kept_per_page},
    {"every_second", every_second},
    {"backwards", backwards},
    {"thresholds", thresholds},
    {"threshold_none", threshold_none},
    {"classes", classes},
    {"runs", runs},
    {"large", large},
    {"resized", resized},
    {"live_falls", live_falls},
    {"lent_charges", lent_charges},
    {"foreign_break", foreign_break},
    {"locked", locked},
    {"locked_falls", locked_falls},
    {"trimmed", trimmed},
    {NULL, NULL},
};
