/* The lists of kept runs, one for each length. See kept.h. */
#include "kept.h"

#include "returned.h"
#include "run.h"

#define KEPT_MAX_GRANULES ((size_t)128)

/* The list for runs of a length; for lengths that are not kept, one that stays empty. */
static struct np_run **list_of(struct np_arena *arena, size_t granule_count)
{
    return &arena->kept[granule_count <= NP_KEPT_MAX_GRANULES ? granule_count : 0];
}

void np_kept_note_freed(struct np_run *run, size_t granule_count)
{
    if (!run->is_in_flow)
        np_returned_note_freed(granule_count << NP_GRANULE_SHIFT);
    run->is_in_flow = true;
}

bool np_kept_try(struct np_arena *arena, struct np_run *run)
{
    struct np_run **list = list_of(arena, run->granule_count);

    /* What has little memory is worth more as a part of something larger. */
    if (list == &arena->kept[0] || run->resident_count < run->granule_count || arena->has_refused ||
        arena->kept_granules + run->granule_count > KEPT_MAX_GRANULES)
        return false;
    run->node.left = *list != NULL ? &(*list)->node : NULL;
    *list = run;
    arena->kept_granules += run->granule_count;
    atomic_store_explicit(&run->state, NP_RUN_KEPT, memory_order_relaxed);
    np_run_count_free(arena, run);
    return true;
}

struct np_run *np_kept_take(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    struct np_run **list = list_of(arena, granule_count);
    struct np_run *run = *list;

    if (run == NULL || run->start % alignment_bytes != 0)
        return NULL;
    *list = (struct np_run *)run->node.left;
    arena->kept_granules -= granule_count;
    np_run_uncount_free(arena, run);
    return run;
}

void np_kept_file_all(struct np_arena *arena)
{
    for (size_t length = 1; arena->kept_granules > 0; length++) {
        struct np_run *run;

        while ((run = np_kept_take(arena, length, NP_GRANULE_BYTES)) != NULL) {
            np_kept_note_freed(run, run->granule_count);
            np_run_file(arena, run);
        }
    }
}

struct np_run *np_kept_free_after(struct np_arena *arena, uintptr_t address)
{
    const struct np_run *run = np_run_at_edge(address);

    if (run != NULL && run->arena == arena &&
        atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_KEPT)
        np_kept_file_all(arena);
    return np_run_free_after(arena, address);
}
