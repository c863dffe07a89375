/* common.h: what the workloads share: their plan, random numbers, sizes of blocks, threads.
 *
 * Nothing here keeps memory of its own: every block comes from malloc by its usual name, so that
 * LD_PRELOAD puts any malloc under it, and tables of blocks are static. A workload does the same
 * work in every run and under every allocator: its random numbers start from a fixed seed, it
 * counts operations and not time, and what it answers depends on what it wrote into its blocks and
 * not on where they lay. Threads wait for one another asleep, never by spinning: what is counted
 * is work.
 */
#ifndef WORKLOADS_COMMON_H
#define WORKLOADS_COMMON_H

#include <pthread.h>
#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#define _Noreturn [[noreturn]]
#endif

enum { THREAD_MAX = 64 };

struct random {
    uint64_t state;
};

/* The work to do: `percent` of the usual number of operations, in `thread_count` threads together;
 * `variant` chooses between kinds of the same work, by an index that each workload defines. */
struct plan {
    unsigned percent;
    unsigned thread_count;
    unsigned variant;
};

/* `usual` operations at 100 percent, at least one. */
size_t scaled(const struct plan *plan, size_t usual);

struct random seeded(uint64_t seed);
uint64_t next_random(struct random *random);
/* 0 .. limit - 1 */
size_t random_below(struct random *random, size_t limit);
/* from .. to */
size_t random_between(struct random *random, size_t from, size_t to);
/* from << 0 .. from << (doubling_count - 1), and what lies between: each doubling as likely. */
size_t random_octave(struct random *random, size_t from, unsigned doubling_count);

/* Sizes from the mix that programs ask for, and those of a program with few kinds of records: see
 * common.c. */
size_t random_size(struct random *random);
size_t random_record_size(struct random *random);

/* As malloc, calloc, realloc; the program ends with a sentence where there is no memory. */
void *take(size_t bytes);
void *take_zeroed(size_t bytes);
void *resize(void *block, size_t bytes);

/* Writes the start, the end and each page of a block of at least one byte. Its ends are read back,
 * and must hold what was written. */
void fill(void *block, size_t bytes, uint64_t value);
uint64_t read_back(const void *block, size_t bytes);

/* A block in a table; a zeroed one is none. */
struct block {
    unsigned char *bytes;
    size_t byte_count;
};

void take_filled(struct block *block, size_t byte_count, uint64_t value);
/* Frees the block, if there is one; returns what was read back. */
uint64_t drop(struct block *block);
uint64_t drop_all(struct block *blocks, size_t count);

void shuffle(struct random *random, void **pointers, size_t count);

/* One thread's part of a workload: its own random numbers, its own sum. */
struct share {
    const struct plan *plan;
    unsigned index;
    struct random random;
    uint64_t sum;
};

/* Runs `work` once for each thread of the plan, in threads of their own; a single share is run by
 * the main thread, since allocators may know that there is no other. Returns the sum of sums. */
uint64_t run_shares(const struct plan *plan, void (*work)(struct share *share));
/* This thread's part of so many operations, at least one. */
size_t shared_out(const struct share *share, size_t usual);
/* This thread's part of a static table of `count` elements: its length, and where it starts. */
size_t slice_count(const struct share *share, size_t count);
size_t slice_start(const struct share *share, size_t count);

void start_thread(pthread_t *thread, void *(*run)(void *), void *argument);
void wait_for(sem_t *semaphore);

/* Ends the program with a sentence. */
_Noreturn void give_up(const char *what);

#ifdef __cplusplus
#undef _Noreturn
}
#endif

#endif
