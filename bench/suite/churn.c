/* churn.c: the workloads whose blocks come and go and do not point at each other: by age, by
 * lifetimes drawn in advance, in phases that ask for other sizes.
 */
#include "workloads.h"

#include <stdlib.h>

/* churn: blocks of three ages. Most are free again after a few dozen requests, as temporaries are;
 * some live through thousands; few live long, and lie between the others. */

enum { CHURN_SLOT_MAX = 300000 };

struct churn_kind {
    size_t young_count;
    size_t middle_count;
    size_t old_count;
    size_t step_count;
    size_t (*size)(struct random *random);
};

static size_t tiny_size(struct random *random)
{
    return random_between(random, 8, 64);
}

/* 32 bytes to 256 KiB, every doubling as likely as the next. */
static size_t wide_size(struct random *random)
{
    return random_octave(random, 32, 13);
}

static const struct churn_kind churn_kinds[] = {
    [CHURN_MIXED] = {64, 4096, 60000, 4000000, random_size},
    /* All of it fits into the processor's nearest cache: what is left is the allocator's work. */
    [CHURN_HOT] = {16, 100, 200, 6000000, random_record_size},
    [CHURN_TINY] = {64, 16000, 280000, 5000000, tiny_size},
    [CHURN_WIDE] = {32, 300, 1200, 500000, wide_size},
};

static struct block churn_slots[CHURN_SLOT_MAX];

static void churn(struct share *share)
{
    const struct churn_kind *kind = &churn_kinds[share->plan->variant];
    struct block *young = &churn_slots[slice_start(share, CHURN_SLOT_MAX)];
    size_t young_count = kind->young_count;
    size_t middle_count = slice_count(share, kind->middle_count);
    size_t old_count = slice_count(share, kind->old_count);
    struct block *middle = young + young_count;
    struct block *old = middle + middle_count;

    for (size_t left = shared_out(share, kind->step_count); left > 0; left--) {
        size_t draw = random_below(&share->random, 100);
        struct block *block;

        if (draw < 80)
            block = &young[random_below(&share->random, young_count)];
        else if (draw < 95)
            block = &middle[random_below(&share->random, middle_count)];
        else
            block = &old[random_below(&share->random, old_count)];
        share->sum += drop(block);
        take_filled(block, kind->size(&share->random), left);
    }
    share->sum += drop_all(young, young_count + middle_count + old_count);
}

uint64_t run_churn(const struct plan *plan)
{
    return run_shares(plan, churn);
}

/* lifetimes: every step makes a block and frees those that are due. A lifetime is 1, 2, 4, ...
 * steps and up to twice that, every power of two as likely as the next: most blocks are soon gone,
 * most of the memory is in old ones. The calendar has a list of blocks for each of the coming
 * steps. */

enum { CALENDAR_MAX = 1 << 20 };

struct dated_block {
    struct block block;
    uint32_t next;                  /* index of another due then, or of a free one; 0: none */
};

static struct dated_block dated[CALENDAR_MAX + THREAD_MAX];
static uint32_t calendars[CALENDAR_MAX];

struct calendar {
    uint32_t *due;                  /* by step; indices */
    size_t day_count;               /* a power of two */
    uint32_t free_first;
    uint32_t unused;                /* the first that has never been used */
};

static uint32_t new_entry(struct calendar *calendar)
{
    uint32_t entry = calendar->free_first;

    if (entry == 0)
        return calendar->unused++;
    calendar->free_first = dated[entry].next;
    return entry;
}

static uint64_t drop_due(struct calendar *calendar, size_t day)
{
    uint32_t entry = calendar->due[day];
    uint64_t sum = 0;

    calendar->due[day] = 0;
    while (entry != 0) {
        uint32_t next = dated[entry].next;

        sum += drop(&dated[entry].block);
        dated[entry].next = calendar->free_first;
        calendar->free_first = entry;
        entry = next;
    }
    return sum;
}

static void live_lifetimes(struct share *share)
{
    size_t all_days = share->plan->variant == LIFETIMES_LONG ? CALENDAR_MAX : CALENDAR_MAX / 16;
    size_t day_count = slice_count(share, all_days);
    struct calendar calendar = {
        .due = &calendars[slice_start(share, all_days)],
        .day_count = day_count,
        .unused = (uint32_t)slice_start(share, all_days) + 1,
    };
    unsigned doubling_count = 0;

    while ((size_t)2 << doubling_count < day_count)
        doubling_count++;
    for (size_t step = 0, count = shared_out(share, 3000000); step < count; step++) {
        size_t lifetime = random_octave(&share->random, 1, doubling_count);
        uint32_t entry = new_entry(&calendar);
        size_t day = (step + lifetime) & (day_count - 1);

        take_filled(&dated[entry].block, random_record_size(&share->random), step);
        dated[entry].next = calendar.due[day];
        calendar.due[day] = entry;
        share->sum += drop_due(&calendar, step & (day_count - 1));
    }
    for (size_t day = 0; day < day_count; day++)
        share->sum += drop_due(&calendar, day);
}

uint64_t run_lifetimes(const struct plan *plan)
{
    return run_shares(plan, live_lifetimes);
}

/* phases: each phase fills memory with blocks of its own sizes, between those that are left of
 * earlier phases, and then nine of ten blocks of all ages are freed at random. What cannot serve
 * later sizes from what earlier ones have left grows with every phase. */

enum { PHASE_COUNT = 16, PHASE_BYTES = 8 << 20, PHASE_SLOT_MAX = 800000 };

static struct block phase_slots[PHASE_SLOT_MAX];

static size_t phase_size(struct share *share, size_t phase)
{
    /* 24 bytes in the first phase, a third more in each, 1.7 KiB in the last. */
    if (share->plan->variant == PHASES_RISING) {
        size_t bytes = 24;

        while (phase-- > 0)
            bytes += bytes / 3;
        return random_between(&share->random, bytes * 7 / 8, bytes);
    }
    /* Small ones in every second phase, large ones in the others. */
    return phase % 2 == 0 ? random_between(&share->random, 16, 96)
                          : random_octave(&share->random, 1024, 5);
}

static size_t thin_out(struct share *share, struct block *blocks, size_t count)
{
    size_t left_count = 0;

    for (size_t i = 0; i < count; i++) {
        if (random_below(&share->random, 10) == 0)
            blocks[left_count++] = blocks[i];
        else
            share->sum += drop(&blocks[i]);
    }
    return left_count;
}

static void live_phases(struct share *share)
{
    struct block *blocks = &phase_slots[slice_start(share, PHASE_SLOT_MAX)];

    for (size_t turn = 0; turn < 2; turn++) {
        size_t count = 0;

        for (size_t phase = 0; phase < PHASE_COUNT; phase++) {
            size_t left_bytes = shared_out(share, PHASE_BYTES);

            while (left_bytes > 0) {
                size_t byte_count = phase_size(share, phase);

                take_filled(&blocks[count++], byte_count, left_bytes);
                left_bytes -= byte_count < left_bytes ? byte_count : left_bytes;
            }
            count = thin_out(share, blocks, count);
        }
        share->sum += drop_all(blocks, count);
    }
}

uint64_t run_phases(const struct plan *plan)
{
    return run_shares(plan, live_phases);
}
