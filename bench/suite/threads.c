/* threads.c: the workloads in which threads come and go, and those in which two threads may come
 * to write into one cache line.
 */
#include "workloads.h"

#include <stdlib.h>

/* threads: short-lived ones, so many at a time as the plan has threads. Busy ones have a few
 * hundred blocks of their own and leave one to the main thread; idle ones ask for one block. */

enum { OWN_COUNT = 200 };

struct errand {
    const struct plan *plan;
    uint64_t seed;
    struct block left_behind;
    uint64_t sum;
};

static void *run_errand(void *argument)
{
    struct errand *errand = argument;
    size_t own_count = errand->plan->variant == THREADS_BUSY ? OWN_COUNT : 0;
    struct random random = seeded(errand->seed);
    struct block own[OWN_COUNT];

    for (size_t i = 0; i < own_count; i++)
        take_filled(&own[i], random_size(&random), i);
    errand->sum = drop_all(own, own_count);
    take_filled(&errand->left_behind, 100, errand->seed);
    return NULL;
}

uint64_t run_threads(const struct plan *plan)
{
    static struct errand errands[THREAD_MAX];
    pthread_t threads[THREAD_MAX];
    size_t usual = plan->variant == THREADS_BUSY ? 12000 : 20000;
    size_t round_count = scaled(plan, usual) / plan->thread_count + 1;
    uint64_t sum = 0;

    for (size_t round = 0; round < round_count; round++) {
        for (size_t i = 0; i < plan->thread_count; i++) {
            errands[i] = (struct errand){.plan = plan, .seed = 1000 + round * THREAD_MAX + i};
            start_thread(&threads[i], run_errand, &errands[i]);
        }
        for (size_t i = 0; i < plan->thread_count; i++) {
            pthread_join(threads[i], NULL);
            sum += errands[i].sum + drop(&errands[i].left_behind);
        }
    }
    return sum;
}

/* sharing: each thread allocates a small block, writes to it thousands of times and frees it, over
 * and over; where an allocator gives threads neighbouring blocks, they write into the same line.
 * Active: the allocator does so by itself. Passive: the main thread made the first blocks, next to
 * one another, and an allocator that lends a freed block to whoever freed it spreads them. */

enum { SHARED_BYTES = 16, WRITES_OF_A_BLOCK = 4000 };

static void *passed_on[THREAD_MAX];
static pthread_barrier_t start_barrier;

static void write_blocks(struct share *share)
{
    free(passed_on[share->index]);
    passed_on[share->index] = NULL;
    /* None is taken before all are freed: otherwise the first thread could be done by then. */
    pthread_barrier_wait(&start_barrier);
    for (size_t left = shared_out(share, 150000); left > 0; left--) {
        volatile unsigned char *block = take(SHARED_BYTES);

        *block = (unsigned char)share->index;
        for (size_t i = 0; i < WRITES_OF_A_BLOCK; i++)
            *block = (unsigned char)(*block + 1);
        share->sum += *block;
        free((void *)block);
    }
}

uint64_t run_sharing(const struct plan *plan)
{
    uint64_t sum;

    for (size_t i = 0; plan->variant == SHARING_PASSIVE && i < plan->thread_count; i++)
        passed_on[i] = take(SHARED_BYTES);
    pthread_barrier_init(&start_barrier, NULL, plan->thread_count);
    sum = run_shares(plan, write_blocks);
    pthread_barrier_destroy(&start_barrier);
    return sum;
}
