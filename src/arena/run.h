/* Inside the arena layer: the structure of runs, all under arena->lock. Other layers use arena.h. */
#ifndef NP_ARENA_RUN_H
#define NP_ARENA_RUN_H

#include "arena.h"
#include "meta.h"

/* The pool of records of runs that do not start at a unit; for fork. */
extern struct np_pool np_run_pool;

/* A record for a run that starts there (R9); the window exists. NULL: no memory. Takes only the pool's lock. */
struct np_run *np_run_record_take(uintptr_t start);

/* The record's run has been joined to another, or never came to be. start: as when taken. */
void np_run_record_give(struct np_run *record, uintptr_t start);

NP_INLINE uintptr_t np_run_end(const struct np_run *run)
{
    return run->start + ((uintptr_t)run->granule_count << NP_GRANULE_SHIFT);
}

/* Appends [start, end), fresh and cold, to the newest stretch, whose `end` it moves; record is a spare
 * run record, given back to the pool if not needed. */
void np_run_append(struct np_arena *arena, uintptr_t start, uintptr_t end, struct np_run *record);

/* Finds and carves; NULL: nothing fits, or no memory for records. */
struct np_run *np_run_carve(struct np_arena *arena, size_t granule_count, size_t alignment_bytes,
                            enum np_run_state state);

/* A kept run of this length, as it is, or NULL. */
struct np_run *np_run_carve_kept(struct np_arena *arena, size_t granule_count,
                                 size_t alignment_bytes, enum np_run_state state);

/* The same as np_run_carve, of memory that is there; NULL also when a run without it would fit. */
struct np_run *np_run_carve_warm(struct np_arena *arena, size_t granule_count,
                                 size_t alignment_bytes, enum np_run_state state);

/* Makes a run free: merges it and files it, and returns what it is part of then. Its resident fields are set. */
struct np_run *np_run_file(struct np_arena *arena, struct np_run *run);

/* The same where the lock is to be released: it is, and bookkeeping goes back that describes nothing any more but the
 * inside of the run. */
void np_run_file_and_release(struct np_arena *arena, struct np_run *run);

/* Takes a free run out of its tree, or from the top, and out of the counts. */
void np_run_unfile(struct np_arena *arena, struct np_run *run);

/* Sets a lent run's resident fields for filing: its first touched_count granules may be resident. */
void np_run_mark_touched(struct np_run *run, size_t touched_count);

/* R13. */
extern _Atomic size_t np_run_retained_most;

/* So much more is free, and of it retained; less by as much less than nothing. Under the lock. */
void np_run_count_free(struct np_arena *arena, size_t retained_more, size_t free_more);

/* Makes a run that nobody has one that is lent. Under the lock. */
void np_run_lend(struct np_arena *arena, struct np_run *run, enum np_run_state state);

/* So many granules more are lent. Under the lock. */
void np_run_count_lent(struct np_arena *arena, size_t granule_count);

/* A run that was given back is lent no more, if it was. Under the lock. */
void np_run_count_given(struct np_run *run);

/* Granules in the whole system pages of [from, to) of the run that have a resident bit: what purging would return. */
size_t np_run_count_returnable(const struct np_run *run, size_t from, size_t to);

/* Sets a run's resident fields from its bits, knowing that none is set outside [from, to). */
void np_run_recount(struct np_run *run, size_t from, size_t to);

/* Sets or clears the resident bits of granules in [from, to) of the run. */
void np_run_set_resident(struct np_run *run, size_t from, size_t to);
void np_run_clear_resident(struct np_run *run, size_t from, size_t to);

/* The entry of the granule at this address in its window's run map; the window exists. */
_Atomic(struct np_run *) *np_run_map_entry(uintptr_t address);

/* The run whose first or last granule holds the address, or NULL, or one that once had an edge there: for any address,
 * under the lock. */
struct np_run *np_run_at_edge(uintptr_t address);

/* The run that starts at this granule, or NULL: for any address; without the lock for a run that is the caller's. */
struct np_run *np_run_at_start(uintptr_t address);

/* The free run that starts at the address, or NULL. Under the lock. */
struct np_run *np_run_free_after(const struct np_arena *arena, uintptr_t address);

/* Whether a stretch of the arena begins at the address: runs do not join across. Under the lock. */
bool np_run_is_stretch_start(const struct np_arena *arena, uintptr_t address);

/* Points the map at the run's first and last granule, where R4 asks for it. */
void np_run_map(struct np_run *run);

/* Puts a run aside whose arena's lock another thread has: whoever has it next files it. Until then all of it counts in
 * np_run_retained_most. */
void np_run_post(struct np_run *run, size_t touched_count);

/* Puts a run aside that cannot be filed because a fork holds the lock. The fork files it at its end. */
void np_run_defer(struct np_run *run, size_t touched_count);

/* Files the runs that were put aside, or keeps them, as long as no more than so much is kept. Under the lock. */
void np_run_take_over_deferred(struct np_arena *arena, size_t most_kept_granules);

NP_INLINE bool np_run_has_deferred(const struct np_arena *arena)
{
    return atomic_load_explicit(&arena->deferred, memory_order_relaxed) != NULL;
}

/* For a fork: what has been put aside so far is kept apart while it lasts, since what is pushed meanwhile may be half pushed
 * in the child, which does without that. */
void np_run_part_deferred(struct np_arena *arena);
void np_run_join_deferred(struct np_arena *arena, enum np_fork_phase phase);

/* Of the child of a fork: what was put aside of an arena counts in np_run_retained_most with so much. */
size_t np_run_posted_granules(const struct np_arena *arena);

/* The same as np_run_take_over_deferred without the lock; if there are any, and no fork has it. */
void np_run_settle_deferred(struct np_arena *arena);

/* Grows the arena so that a run of that size and alignment fits at its top. Called without locks. */
bool np_arena_grow(struct np_arena *arena, size_t granule_count, size_t alignment_bytes);

/* A new arena, published in the list, with no addresses yet; NULL: no memory. */
struct np_arena *np_arena_make(void);

/* The arena that serves while a fork holds the others, made if need be; NULL: no memory. */
struct np_arena *np_arena_for_forks(void);

#endif
