/* Runs that were given back and are kept as they are for the next taker of their length (R11 in arena.h), so that blocks
 * which come and go cost neither a search nor joining and cutting. Inside the arena layer, all under arena->lock.
 *
 * Kept are runs of up to 256 KiB all of which is resident: of an arena 512 KiB, and half of the thrash allowance, or of a
 * threshold that was set, up to 4 MiB. They are retained as free runs are, and are returned as soon as the threshold
 * says so: whoever returns memory files them first.
 *
 * Leaves out: how much is kept (arena.c), when a kept run will do, and when all have to be filed (run.c, purge.c).
 * np_kept_file_all and np_kept_free_after are defined in run.c, which files.
 */
#ifndef NP_ARENA_KEPT_H
#define NP_ARENA_KEPT_H

#include "arena.h"

/* Keeps a run that was given back, whose resident fields are set, if no more than most_granules are kept then; false: it
 * is to be filed. */
bool np_kept_try(struct np_arena *arena, struct np_run *run, size_t most_granules);

/* The same for a lent run that was resident as a whole when it was lent and may have been written all over, for which nothing
 * has been done yet. */
bool np_kept_try_whole(struct np_arena *arena, struct np_run *run, size_t most_granules);

/* The same without a change to the counts of what is free. */
bool np_kept_add(struct np_arena *arena, struct np_run *run, size_t most_granules);

/* The run of this length that was kept last; it is nobody's now, and still counted as free. NULL: there
 * is none, or it is not aligned. */
struct np_run *np_kept_remove(struct np_arena *arena, size_t granule_count, size_t alignment_bytes);

/* Relaxed: without the lock it is a hint. */
NP_INLINE uint64_t np_kept_lengths(const struct np_arena *arena)
{
    return atomic_load_explicit(&arena->kept_lengths, memory_order_relaxed);
}

/* Files all runs that are kept. */
void np_kept_file_all(struct np_arena *arena);

/* As np_run_free_after; a kept run that starts there is filed first. */
struct np_run *np_kept_free_after(struct np_arena *arena, uintptr_t address);

/* So many of the granules of a run that was given back have become free: notes it if that was put off (is_in_flow). */
void np_kept_note_freed(struct np_run *run, size_t granule_count);

#endif
