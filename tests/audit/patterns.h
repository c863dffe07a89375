/* What the adversaries share: many blocks, and orders to free them in. */
#ifndef NEAP_TESTS_AUDIT_PATTERNS_H
#define NEAP_TESTS_AUDIT_PATTERNS_H

#include "truth.h"

struct blocks {
    struct block *at;
    size_t count;
};

static inline uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15u;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111ebu;
    return mixed ^ (mixed >> 31);
}

static inline size_t random_below(uint64_t *state, size_t limit)
{
    return (size_t)(random_next(state) % limit);
}

/* Blocks of sizes in [least, most], about total_bytes of them, each size as likely as the next. */
struct blocks blocks_take(size_t total_bytes, size_t least_bytes, size_t most_bytes,
                          uint64_t *random);

/* Puts them into a random order. */
void blocks_shuffle(struct blocks blocks, uint64_t *random);

/* By rising addresses. */
void blocks_sort(struct blocks blocks);

/* Gives those back for which `wanted` says so, from the first to the last; an audit every nth time.
 * NULL: all. */
void blocks_give(struct blocks blocks, bool (*wanted)(const struct block *block), const char *where,
                 unsigned nth);

#endif
