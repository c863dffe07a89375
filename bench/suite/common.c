/* common.c: see common.h. */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Requests that programs make. In traces of compilers, interpreters and servers most are below
 * 128 bytes, few exceed a page, and those few hold much of the memory. The shares are of 1000. */
struct size_band {
    unsigned share;
    size_t from_bytes;
    size_t to_bytes;
};

static const struct size_band mix[] = {
    {330, 8, 32}, {310, 33, 64}, {180, 65, 128}, {120, 129, 512},
    {40, 513, 2048}, {17, 2049, 16384}, {3, 16385, 65536},
};

/* A program has a dozen kinds of records, and makes most of them of three or four kinds. */
static const struct size_band records[] = {
    {270, 32, 32}, {190, 48, 48}, {140, 24, 24}, {100, 64, 64}, {80, 16, 16}, {60, 96, 96},
    {50, 40, 40}, {40, 136, 136}, {30, 208, 208}, {20, 512, 512}, {12, 1056, 1056}, {8, 4112, 4112},
};

_Noreturn void give_up(const char *what)
{
    fprintf(stderr, "workloads: %s\n", what);
    exit(1);
}

size_t scaled(const struct plan *plan, size_t usual)
{
    size_t count = usual / 100 * plan->percent;

    return count > 0 ? count : 1;
}

/* splitmix64: a good mixer with one word of state. */
uint64_t next_random(struct random *random)
{
    uint64_t z = random->state += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

struct random seeded(uint64_t seed)
{
    return (struct random){.state = seed};
}

size_t random_below(struct random *random, size_t limit)
{
    /* Multiplying the upper half is cheaper than a division; limits here are below 2^32. */
    return (size_t)(((next_random(random) >> 32) * (uint64_t)limit) >> 32);
}

size_t random_between(struct random *random, size_t from, size_t to)
{
    return from + random_below(random, to - from + 1);
}

size_t random_octave(struct random *random, size_t from, unsigned doubling_count)
{
    size_t base = from << random_below(random, doubling_count);

    return random_between(random, base, 2 * base - 1);
}

static size_t size_from(struct random *random, const struct size_band *band)
{
    size_t draw = random_below(random, 1000);

    while (draw >= band->share) {
        draw -= band->share;
        band++;
    }
    return random_between(random, band->from_bytes, band->to_bytes);
}

size_t random_size(struct random *random)
{
    return size_from(random, mix);
}

size_t random_record_size(struct random *random)
{
    return size_from(random, records);
}

void *take(size_t bytes)
{
    void *block = malloc(bytes);

    if (block == NULL)
        give_up("no memory");
    return block;
}

void *take_zeroed(size_t bytes)
{
    void *block = calloc(1, bytes);

    if (block == NULL)
        give_up("no memory");
    return block;
}

void *resize(void *block, size_t bytes)
{
    void *moved = realloc(block, bytes);

    if (moved == NULL)
        give_up("no memory");
    return moved;
}

/* Not all of it: the workloads would then measure memset. */
#define FILL_BYTES 256
#define PAGE_BYTES 4096

void fill(void *block, size_t bytes, uint64_t value)
{
    unsigned char *byte = block;
    unsigned char filling = (unsigned char)value;

    memset(byte, filling, bytes < FILL_BYTES ? bytes : FILL_BYTES);
    for (size_t at = PAGE_BYTES; at < bytes; at += PAGE_BYTES)
        byte[at] = filling;
    byte[bytes - 1] = filling;
}

uint64_t read_back(const void *block, size_t bytes)
{
    const unsigned char *byte = block;

    if (byte[0] != byte[bytes - 1])
        give_up("a block does not hold what was written into it");
    return byte[0];
}

void take_filled(struct block *block, size_t byte_count, uint64_t value)
{
    block->byte_count = byte_count;
    block->bytes = take(byte_count);
    fill(block->bytes, byte_count, value);
}

uint64_t drop(struct block *block)
{
    uint64_t value = block->bytes != NULL ? read_back(block->bytes, block->byte_count) : 0;

    free(block->bytes);
    block->bytes = NULL;
    return value;
}

uint64_t drop_all(struct block *blocks, size_t count)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i++)
        sum += drop(&blocks[i]);
    return sum;
}

void shuffle(struct random *random, void **pointers, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i);
        void *swapped = pointers[other];

        pointers[other] = pointers[i - 1];
        pointers[i - 1] = swapped;
    }
}

void start_thread(pthread_t *thread, void *(*run)(void *), void *argument)
{
    if (pthread_create(thread, NULL, run, argument) != 0)
        give_up("no thread can be made");
}

void wait_for(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

struct started_share {
    struct share share;
    void (*work)(struct share *share);
    pthread_t thread;
};

static void *run_started(void *argument)
{
    struct started_share *started = argument;

    started->work(&started->share);
    return NULL;
}

uint64_t run_shares(const struct plan *plan, void (*work)(struct share *share))
{
    static struct started_share started[THREAD_MAX];
    uint64_t sum = 0;

    if (plan->thread_count > THREAD_MAX)
        give_up("too many threads");
    for (unsigned i = 0; i < plan->thread_count; i++) {
        started[i].share = (struct share){.plan = plan, .index = i, .random = seeded(1 + i)};
        started[i].work = work;
        if (plan->thread_count > 1)
            start_thread(&started[i].thread, run_started, &started[i]);
        else
            work(&started[i].share);
    }
    for (unsigned i = 0; i < plan->thread_count; i++) {
        if (plan->thread_count > 1)
            pthread_join(started[i].thread, NULL);
        sum += started[i].share.sum;
    }
    return sum;
}

size_t shared_out(const struct share *share, size_t usual)
{
    size_t count = scaled(share->plan, usual) / share->plan->thread_count;

    return count > 0 ? count : 1;
}

size_t slice_count(const struct share *share, size_t count)
{
    return count / share->plan->thread_count;
}

size_t slice_start(const struct share *share, size_t count)
{
    return slice_count(share, count) * share->index;
}
