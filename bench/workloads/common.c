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

size_t random_size(struct random *random)
{
    size_t draw = random_below(random, 1000);
    const struct size_band *band = mix;

    while (draw >= band->share) {
        draw -= band->share;
        band++;
    }
    return band->from_bytes + random_below(random, band->to_bytes - band->from_bytes + 1);
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

void shuffle(struct random *random, void **pointers, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = random_below(random, i);
        void *swapped = pointers[other];

        pointers[other] = pointers[i - 1];
        pointers[i - 1] = swapped;
    }
}
