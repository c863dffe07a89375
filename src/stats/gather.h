/* Inside the stats layer: what one walk of one arena finds. */
#ifndef NP_STATS_GATHER_H
#define NP_STATS_GATHER_H

#include "arena.h"
#include "classes.h"
#include "stats.h"

/* Free pieces by size: up to NP_SMALL_MAX_BYTES a bin for each class, a bin for each doubling
 * above. 2^48 bytes are all addresses there are. */
#define NP_BIN_COUNT (NP_CLASS_COUNT + 48 - 14)

/* [B1] least * count <= bytes <= most * count, and no size lies in two bins. */
struct np_bin {
    size_t count;
    size_t bytes;
    size_t least; /* smallest and largest piece */
    size_t most;
};

struct np_gathered {
    struct np_stats_sums sums;
    struct np_bin bins[NP_BIN_COUNT];
};

/* Overwrites *gathered with what the arena holds. Takes and releases the arena's lock. */
void np_stats_gather(struct np_arena *arena, struct np_gathered *gathered);

/* To be called before a walk: what this thread's heap has on private lists is free by its bits
 * then, and so the walk sees which pages of its slabs are free. Those of other threads it sees in
 * part. */
void np_stats_settle(void);

/* Adds the second to the first. */
void np_stats_add(struct np_stats_sums *sums, const struct np_stats_sums *more);

/* The arena with this index, or NULL. Arenas are numbered from 0, without gaps. */
struct np_arena *np_stats_arena(unsigned index);

#endif
