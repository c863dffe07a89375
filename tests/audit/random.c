/* Threads that take blocks, leave them with each other, free what they find, and meet at a barrier,
 * where one of them audits while the others are blocked. The seed fixes what each does, not when.
 *
 * The seed also chooses the kinds of blocks and the share of frees, anew for each round. */
#include <stdatomic.h>
#include <time.h>

#include "audit.h"
#include "patterns.h"
#include "scenarios.h"
#include "serve.h"
#include "workers.h"

enum {
    WORKERS_MAX = 64,
    BOXES = 1 << 15,
    /* A page that is charged by who frees its last slot while the slab is opened and its slots are
     * taken stays charged until the slab's next holder looks: seldom, and a page at a time. */
    OVERCHARGE_BYTES = 64 << 10,
};

/* A block that anybody may take; the state says who may touch it. */
static struct box {
    _Atomic unsigned is_taken;
    struct block block;
} * boxes;

static struct worker workers[WORKERS_MAX];

/* Of this round. */
static unsigned steps;
static unsigned most_shift;   /* blocks are below 32 << this */
static unsigned give_percent; /* of steps that find a block */
static unsigned box_count;

static size_t random_size(uint64_t *random)
{
    return random_below(random, (size_t)32 << random_below(random, most_shift + 1));
}

static void change(struct block *block, uint64_t *random)
{
    if (block->address == NULL) {
        switch (random_below(random, 16)) {
        case 0:
            block_take_zeroed(block, random_size(random));
            break;
        case 1:
            block_take_aligned(block, (size_t)16 << random_below(random, 10), random_size(random));
            break;
        default:
            block_take(block, random_size(random));
        }
    } else if (random_below(random, 100) < give_percent) {
        block_give(block);
    } else if (random_below(random, 4) == 0) {
        block_resize(block, 1 + random_size(random));
    }
}

static void exchange(struct worker *worker)
{
    for (unsigned step = 0; step < steps; step++) {
        struct box *box = &boxes[random_below(&worker->random, box_count)];

        if (atomic_exchange(&box->is_taken, 1) != 0)
            continue;
        change(&box->block, &worker->random);
        atomic_store(&box->is_taken, 0);
    }
}

/* Everything that is left, by whom it falls to; or by those threads only that are not blocked. */
static unsigned sweeper_count;

static void sweep(struct worker *worker)
{
    for (unsigned at = worker->index; at < BOXES; at += sweeper_count)
        block_give(&boxes[at].block);
}

static void tell_all(unsigned count, void (*task)(struct worker *worker))
{
    for (unsigned index = 0; index < count; index++)
        worker_tell(&workers[index], task);
    for (unsigned index = 0; index < count; index++)
        worker_wait(&workers[index]);
}

static void choose_round(unsigned worker_count)
{
    static const unsigned percents[] = {10, 50, 90, 100};

    most_shift = 4 + (unsigned)random_below(&options.seed, 10);
    give_percent = percents[random_below(&options.seed, 4)];
    /* So much as is live at the most, mostly: 64 MiB. */
    box_count = BOXES >> (most_shift > 8 ? most_shift - 8 : 0);
    steps = (1 + (unsigned)random_below(&options.seed, 4)) * box_count / worker_count;
}

static bool is_over(const struct timespec *end)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > end->tv_sec || (now.tv_sec == end->tv_sec && now.tv_nsec > end->tv_nsec);
}

/* Some threads end, and others take their place. */
static void replace_some(unsigned worker_count)
{
    for (unsigned index = 0; index < worker_count; index++) {
        if (random_below(&options.seed, 4) != 0)
            continue;
        worker_end(&workers[index]);
        worker_start(&workers[index], index, random_next(&options.seed));
    }
}

static void random_threads(unsigned worker_count)
{
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)options.seconds;
    boxes = truth_map(BOXES * sizeof boxes[0]);
    audit_limits.overcharge_bytes = OVERCHARGE_BYTES;
    for (unsigned index = 0; index < worker_count; index++)
        worker_start(&workers[index], index, options.seed * 1000);
    do {
        choose_round(worker_count);
        tell_all(worker_count, exchange);
        audit_at_rest("exchanged");
        if (random_below(&options.seed, 4) != 0)
            continue;
        sweeper_count = 1 + (unsigned)random_below(&options.seed, worker_count);
        tell_all(sweeper_count, sweep);
        audit_at_rest("swept");
        replace_some(worker_count);
        audit_at_rest("some have ended");
    } while (!is_over(&end));
    sweeper_count = 1;
    tell_all(1, sweep);
    audit_at_rest("all is free");
}

static void random_four(void)
{
    random_threads(4);
}

static void random_many(void)
{
    random_threads(WORKERS_MAX);
}

const struct scenario random_scenarios[] = {
    {"random_four", random_four},
    {"random_many", random_many},
    {NULL, NULL},
};
