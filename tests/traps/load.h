/* A mixed load for programs that only want malloc to be busy: blocks of all kinds and sizes whose
 * contents are checked when they are resized and freed. */
#ifndef NEAP_TESTS_TRAPS_LOAD_H
#define NEAP_TESTS_TRAPS_LOAD_H

#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

#include "../api/pattern.h"
#include "trap.h"

enum { LOAD_BLOCKS = 300 };

struct load {
    uint64_t random;
    struct load_block {
        char *memory;
        size_t bytes;
        uint64_t seed;
    } blocks[LOAD_BLOCKS];
};

static inline void load_check(const struct load_block *block)
{
    REQUIRE(pattern_edges_hold(block->memory, block->bytes, block->seed));
}

static inline void load_give(struct load_block *block)
{
    if (block->memory == NULL)
        return;
    load_check(block);
    free(block->memory);
    block->memory = NULL;
}

static inline void load_take(struct load_block *block, uint64_t *random)
{
    block->bytes = random_size(random, 18);
    block->seed = random_next(random);
    switch (random_below(random, 4)) {
    case 0:
        block->memory = calloc(1, block->bytes);
        REQUIRE(block->memory != NULL && bytes_are(block->memory, block->bytes, 0));
        break;
    case 1:
        block->memory = memalign((size_t)32 << random_below(random, 9), block->bytes);
        break;
    default:
        block->memory = malloc(block->bytes);
    }
    REQUIRE(block->memory != NULL);
    pattern_fill_edges(block->memory, block->bytes, block->seed);
}

static inline void load_resize(struct load_block *block, uint64_t *random)
{
    size_t bytes = 1 + random_size(random, 18);
    size_t common = bytes < block->bytes ? bytes : block->bytes;

    load_check(block);
    pattern_fill_edges(block->memory, common, block->seed);
    block->memory = realloc(block->memory, bytes);
    REQUIRE(block->memory != NULL);
    REQUIRE(pattern_edges_hold(block->memory, common, block->seed));
    block->bytes = bytes;
    pattern_fill_edges(block->memory, bytes, block->seed);
}

static inline void load_step(struct load *load)
{
    struct load_block *block = &load->blocks[random_below(&load->random, LOAD_BLOCKS)];

    if (block->memory == NULL)
        load_take(block, &load->random);
    else if (random_below(&load->random, 3) == 0)
        load_resize(block, &load->random);
    else
        load_give(block);
}

static inline void load_end(struct load *load)
{
    for (size_t at = 0; at < LOAD_BLOCKS; at++)
        load_give(&load->blocks[at]);
}

static inline void load_run(uint64_t seed, unsigned steps)
{
    struct load *load = calloc(1, sizeof *load);

    REQUIRE(load != NULL);
    load->random = seed;
    while (steps-- > 0)
        load_step(load);
    load_end(load);
    free(load);
}

enum { LOAD_THREADS = 4, LOAD_STEPS = 1500 };

static inline void *load_thread(void *seed)
{
    load_run((uintptr_t)seed, LOAD_STEPS);
    return NULL;
}

/* Here and in threads at once. */
static inline void load_threads(void)
{
    pthread_t threads[LOAD_THREADS];

    for (uintptr_t at = 0; at < LOAD_THREADS; at++)
        REQUIRE(pthread_create(&threads[at], NULL, load_thread, (void *)(at + 1)) == 0);
    (void)load_thread((void *)99);
    for (size_t at = 0; at < LOAD_THREADS; at++)
        REQUIRE(pthread_join(threads[at], NULL) == 0);
}

#endif
