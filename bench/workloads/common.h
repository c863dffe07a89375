/* common.h: what the workloads share: their list, random numbers, sizes of blocks, a checksum.
 *
 * Nothing here keeps memory of its own: every block comes from malloc by its usual name, so that
 * LD_PRELOAD puts any malloc under it. A workload does the same work in every run and under every
 * allocator: its random numbers start from a fixed seed, it counts operations and not time, and
 * what it answers depends on what it wrote into its blocks and not on where they lay.
 */
#ifndef WORKLOADS_COMMON_H
#define WORKLOADS_COMMON_H

#include <stddef.h>
#include <stdint.h>

struct random {
    uint64_t state;
};

/* The work to do: `percent` of the usual number of operations, in `thread_count` threads where a
 * workload has them. */
struct plan {
    unsigned percent;
    unsigned thread_count;
};

/* Each answers a checksum of what it read back from its blocks. */
uint64_t run_churn(const struct plan *plan);
uint64_t run_tree(const struct plan *plan);
uint64_t run_server(const struct plan *plan);
uint64_t run_pipe(const struct plan *plan);
uint64_t run_threads(const struct plan *plan);
uint64_t run_big(const struct plan *plan);
uint64_t run_grow(const struct plan *plan);
uint64_t run_zeroed(const struct plan *plan);

/* `usual` operations at 100 percent, at least one. */
size_t scaled(const struct plan *plan, size_t usual);

struct random seeded(uint64_t seed);
uint64_t next_random(struct random *random);
/* 0 .. limit - 1 */
size_t random_below(struct random *random, size_t limit);

/* A size from the mix that programs ask for: see common.c. */
size_t random_size(struct random *random);

/* As malloc, calloc, realloc; the program ends with a sentence where there is no memory. */
void *take(size_t bytes);
void *take_zeroed(size_t bytes);
void *resize(void *block, size_t bytes);

/* Writes the start, the end and each page of a block of at least one byte. Its ends are read back,
 * and must hold what was written. */
void fill(void *block, size_t bytes, uint64_t value);
uint64_t read_back(const void *block, size_t bytes);

void shuffle(struct random *random, void **pointers, size_t count);

/* Ends the program with a sentence. */
_Noreturn void give_up(const char *what);

#endif
