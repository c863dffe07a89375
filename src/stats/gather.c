/* The walk. Every granule of an arena is counted as exactly one of live, free and resident, or
 * cold, which is how A1 comes to hold. Nothing here is written by others meanwhile except what a
 * slab's holder counts: those words are read once each, and bounded, because two of them may be
 * of different moments. */
#include "gather.h"

#include "bits.h"
#include "meta.h"
#include "mxfast.h"
#include "slab.h"
#include "thread.h"

struct np_arena *np_stats_arena(unsigned index)
{
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        if (arena->index == index)
            return arena;
    return NULL;
}

static unsigned bin_of(size_t bytes)
{
    if (bytes <= NP_SMALL_MAX_BYTES)
        return np_class_of(bytes);
    return NP_CLASS_COUNT + np_log2_floor(bytes - 1) - np_log2_floor(NP_SMALL_MAX_BYTES);
}

static void add_to_bin(struct np_gathered *gathered, size_t piece_bytes, size_t count)
{
    struct np_bin *bin = &gathered->bins[bin_of(piece_bytes)];

    if (count == 0)
        return;
    bin->least = bin->count == 0 ? piece_bytes : np_min(bin->least, piece_bytes);
    bin->most = np_max(bin->most, piece_bytes);
    bin->count += count;
    bin->bytes += count * piece_bytes;
}

/* A run that nobody has; its size as a piece is the memory behind it. */
static void add_free_run(struct np_gathered *gathered, const struct np_run *run)
{
    struct np_stats_sums *sums = &gathered->sums;
    size_t run_bytes = (size_t)run->granule_count << NP_GRANULE_SHIFT;
    bool is_filed = atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_FREE;
    size_t resident_bytes;

    /* The run's own count leaves out parts of system pages; and of a run that is being purged it
     * is the purger's, while its bits may be read by all. */
    if (is_filed && np_page_bytes() == NP_GRANULE_BYTES)
        resident_bytes = (size_t)run->resident_count << NP_GRANULE_SHIFT;
    else
        resident_bytes = np_run_count_resident(run, 0, run->granule_count) << NP_GRANULE_SHIFT;
    sums->free_resident_bytes += resident_bytes;
    sums->cold_bytes += run_bytes - resident_bytes;
    if (resident_bytes > 0) {
        sums->free_run_count++;
        add_to_bin(gathered, resident_bytes, 1);
    }
    /* glibc's keepcost is the main arena's too: what a trim can take off the break. */
    if (run == run->arena->top && run->arena->index == 0)
        sums->top_resident_bytes = resident_bytes;
}

static void add_slab(struct np_gathered *gathered, const struct np_run *run,
                     const struct np_slab *slab)
{
    struct np_stats_sums *sums = &gathered->sums;
    size_t run_bytes = (size_t)run->granule_count << NP_GRANULE_SHIFT;
    size_t resident_bytes;
    size_t live_bytes;
    struct np_slab_view view;

    np_slab_view(slab, &view);
    resident_bytes = np_min(view.resident_bytes, run_bytes);
    live_bytes = np_min((size_t)view.live_count * view.slot_bytes, resident_bytes);
    sums->live_count += view.live_count;
    sums->live_bytes += live_bytes;
    sums->free_resident_bytes += resident_bytes - live_bytes;
    sums->cold_bytes += run_bytes - resident_bytes;
    sums->free_slot_count += view.free_count;
    add_to_bin(gathered, view.slot_bytes, view.free_count);
    if (np_mxfast_is_held(slab->class_index)) {
        sums->held_count += view.free_count;
        sums->held_bytes += (size_t)view.free_count * view.slot_bytes;
    }
}

static void visit(const struct np_run *run, void *context)
{
    struct np_gathered *gathered = context;
    size_t run_bytes = (size_t)run->granule_count << NP_GRANULE_SHIFT;
    uint32_t state = atomic_load_explicit(&run->state, memory_order_relaxed);
    const struct np_slab *slab = state == NP_RUN_SLAB ? np_slab_find(run->start) : NULL;

    gathered->sums.system_bytes += run_bytes;
    if (state == NP_RUN_MEDIUM) {
        gathered->sums.live_count++;
        gathered->sums.live_bytes += run_bytes;
    } else if (slab != NULL) {
        add_slab(gathered, run, slab);
    } else {
        /* Also a slab that is just being made or given back: it has no live slot. */
        add_free_run(gathered, run);
    }
}

/* A fork has the arena: what is counted without a walk has to do. */
static void estimate(struct np_arena *arena, struct np_stats_sums *sums)
{
    size_t free_bytes = atomic_load_explicit(&arena->free_granules, memory_order_relaxed)
                        << NP_GRANULE_SHIFT;
    size_t retained_bytes = atomic_load_explicit(&arena->retained_granules, memory_order_relaxed)
                            << NP_GRANULE_SHIFT;

    sums->system_bytes = atomic_load_explicit(&arena->system_bytes, memory_order_relaxed);
    free_bytes = np_min(free_bytes, sums->system_bytes);
    sums->free_resident_bytes = np_min(retained_bytes, free_bytes);
    sums->cold_bytes = free_bytes - sums->free_resident_bytes;
    sums->live_bytes = sums->system_bytes - free_bytes;
    sums->free_run_count = sums->free_resident_bytes > 0;
}

void np_stats_gather(struct np_arena *arena, struct np_gathered *gathered)
{
    *gathered = (struct np_gathered){0};
    if (!np_arena_walk(arena, visit, gathered))
        estimate(arena, &gathered->sums);
    gathered->sums.system_max_bytes =
        np_max(atomic_load_explicit(&arena->system_bytes_max, memory_order_relaxed),
               gathered->sums.system_bytes);
}

void np_stats_add(struct np_stats_sums *sums, const struct np_stats_sums *more)
{
    sums->system_bytes += more->system_bytes;
    sums->system_max_bytes += more->system_max_bytes;
    sums->live_bytes += more->live_bytes;
    sums->live_count += more->live_count;
    sums->free_resident_bytes += more->free_resident_bytes;
    sums->cold_bytes += more->cold_bytes;
    sums->free_slot_count += more->free_slot_count;
    sums->free_run_count += more->free_run_count;
    sums->held_count += more->held_count;
    sums->held_bytes += more->held_bytes;
    sums->top_resident_bytes += more->top_resident_bytes;
}

void np_stats_sum(struct np_stats_sums *sums)
{
    struct np_gathered gathered;

    *sums = (struct np_stats_sums){0};
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        np_stats_gather(arena, &gathered);
        np_stats_add(sums, &gathered.sums);
    }
}
