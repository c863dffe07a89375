/* A shadow of what the arenas have lent: every run that is out, with a stamp in it, and the
 * checks that hold after every step whatever the step was. The truth about memory comes from the
 * real kernel. */
#ifndef NP_TESTS_RUN_MODEL_H
#define NP_TESTS_RUN_MODEL_H

#include <string.h>

#include "arena.h"
#include "bits.h"
#include "isolated.h"
#include "meta.h"
#include "os_fake.h"

enum { MODEL_MAX = 512 };

struct lent {
    struct np_run *run;
    uintptr_t start;
    size_t granule_count;
    size_t touched_count; /* granules from the start that were written */
    unsigned char stamp;
};

static struct lent lent[MODEL_MAX];
static size_t lent_count;
static struct np_arena *home;

static inline size_t granules_bytes(size_t granule_count)
{
    return granule_count << NP_GRANULE_SHIFT;
}

/* Writes the stamp at both ends of each granule. */
static inline void stamp_granules(const struct lent *block, size_t from, size_t to)
{
    for (size_t granule = from; granule < to; granule++) {
        unsigned char *memory = (unsigned char *)block->start + granules_bytes(granule);

        memory[0] = memory[NP_GRANULE_BYTES - 1] = block->stamp;
    }
}

static inline void expect_stamps(const struct lent *block)
{
    for (size_t granule = 0; granule < block->touched_count; granule++) {
        const unsigned char *memory =
            (const unsigned char *)block->start + granules_bytes(granule);

        assert_int_equal(memory[0], block->stamp);
        assert_int_equal(memory[NP_GRANULE_BYTES - 1], block->stamp);
    }
}

static inline void expect_apart(uintptr_t start, size_t granule_count, const struct lent *except)
{
    uintptr_t end = start + granules_bytes(granule_count);

    for (size_t i = 0; i < lent_count; i++)
        if (&lent[i] != except)
            assert_true(end <= lent[i].start ||
                        start >= lent[i].start + granules_bytes(lent[i].granule_count));
}

static inline void expect_zero(const void *memory, size_t byte_count)
{
    static const char zeros[NP_GRANULE_BYTES];
    const char *at = memory;

    for (; byte_count > 0; at += NP_GRANULE_BYTES) {
        size_t part = np_min(byte_count, sizeof zeros);

        assert_memory_equal(at, zeros, part);
        byte_count -= part;
    }
}

/* What the walk adds up, and the kernel says. */
struct seen {
    size_t lent_granules;
    size_t free_granules;
    size_t counted_granules;  /* resident, by the runs' own count */
    size_t resident_granules; /* resident, by the kernel, in whole system pages of free runs */
};

static inline void look_at(const struct np_run *run, void *context)
{
    struct seen *seen = context;
    uintptr_t end = run->start + granules_bytes(run->granule_count);
    uintptr_t first = np_align_up(run->start, np_page_bytes());
    uintptr_t last = np_align_down(end, np_page_bytes());

    if (atomic_load(&run->state) != NP_RUN_FREE) {
        seen->lent_granules += run->granule_count;
        return;
    }
    seen->free_granules += run->granule_count;
    seen->counted_granules += run->resident_count;
    assert_true(os_fake_is_committed((void *)run->start, end - run->start));
    if (first < last) {
        size_t resident_bytes = os_fake_resident_bytes((void *)first, last - first);

        seen->resident_granules += resident_bytes >> NP_GRANULE_SHIFT;
        /* A page that is there and not counted would never be returned, and never cleared. */
        assert_true(resident_bytes <= granules_bytes(run->resident_count));
        assert_true(granules_bytes(run->resident_count) <= last - first);
    } else {
        assert_int_equal(run->resident_count, 0);
    }
}

/* All that holds after every step. */
static inline void expect_all_in_order(void)
{
    struct seen seen = {0};
    size_t lent_granules = 0;
    size_t system_bytes = 0;

    assert_sound(np_arena_audit_all());
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        assert_true(np_arena_walk(arena, look_at, &seen));
        system_bytes += atomic_load(&arena->system_bytes);
        assert_true(atomic_load(&arena->system_bytes) <= atomic_load(&arena->system_bytes_max));
    }
    for (size_t i = 0; i < lent_count; i++) {
        lent_granules += lent[i].granule_count;
        assert_int_equal(lent[i].run->granule_count, lent[i].granule_count);
        assert_ptr_equal(np_run_find(lent[i].start), lent[i].run);
    }
    assert_int_equal(seen.lent_granules, lent_granules);
    assert_int_equal(granules_bytes(seen.lent_granules + seen.free_granules), system_bytes);
    assert_int_equal(granules_bytes(seen.counted_granules), np_arena_retained_bytes());
}

/* What may stay retained. The layer above decides that, and calls np_arena_return_some; here it is
 * the model that does. */
static size_t retained_max_bytes = (size_t)1 << 20;

static inline void return_down_to(size_t bytes)
{
    size_t gone = 0;
    size_t want;

    do
        want = np_align_up(np_max(np_arena_retained_bytes(), bytes) - bytes, NP_GRANULE_BYTES) >>
               NP_GRANULE_SHIFT;
    while (want > 0 && np_arena_return_some(want, 0, &gone));
}

static inline void return_excess(void)
{
    if (np_arena_retained_bytes() > retained_max_bytes)
        return_down_to(retained_max_bytes);
}

static inline void expect_bounded(void)
{
    assert_true(np_arena_retained_bytes() <= retained_max_bytes);
}

/* Takes a run, checks it, clears some of it and checks that, stamps the first touched_count
 * granules. NULL: refused. */
static inline struct lent *model_take(size_t granule_count, size_t alignment_bytes,
                                      size_t touched_count, enum np_growth growth)
{
    struct np_run *run = np_run_take(&home, granule_count, alignment_bytes, NP_RUN_MEDIUM, growth);
    struct lent *block = &lent[lent_count];
    size_t cleared_bytes;

    if (run == NULL)
        return NULL;
    assert_true(lent_count < MODEL_MAX);
    assert_int_equal(run->start % alignment_bytes, 0);
    assert_int_equal(run->granule_count, granule_count);
    assert_int_equal(atomic_load(&run->state), NP_RUN_MEDIUM);
    assert_true(os_fake_is_committed((void *)run->start, granules_bytes(granule_count)));
    expect_apart(run->start, granule_count, NULL);
    *block = (struct lent){run, run->start, granule_count, touched_count,
                           (unsigned char)(1 + random_below(255))};
    cleared_bytes = random_below(granules_bytes(touched_count) + 1);
    if (touched_count > 0) {
        np_run_clear(run, cleared_bytes);
        expect_zero((void *)run->start, cleared_bytes);
    }
    stamp_granules(block, 0, touched_count);
    lent_count++;
    return block;
}

static inline void forget(size_t index)
{
    lent[index] = lent[--lent_count];
}

static inline void model_give(size_t index)
{
    struct lent block = lent[index];

    expect_stamps(&block);
    forget(index);
    np_run_give(block.run, block.touched_count);
    return_excess();
}

static inline void model_give_all(void)
{
    while (lent_count > 0)
        model_give(lent_count - 1);
}

/* Grows or shrinks in place; false: declined. */
static inline bool model_resize(size_t index, size_t granule_count)
{
    struct lent *block = &lent[index];
    bool is_done;

    if (granule_count == block->granule_count)
        return false;
    is_done = granule_count > block->granule_count
                  ? np_run_try_extend(block->run, granule_count)
                  : np_run_try_shrink(block->run, granule_count);
    if (!is_done)
        return false;
    return_excess();
    expect_apart(block->start, granule_count, block);
    block->granule_count = granule_count;
    block->touched_count = np_min(block->touched_count, granule_count);
    expect_stamps(block);
    /* Whoever resizes may write all of it. */
    stamp_granules(block, 0, granule_count);
    block->touched_count = granule_count;
    return true;
}

#endif
