/* The walk. Every byte of an arena is counted in exactly one place, which is how A1 comes to hold.
 * Nothing here is written by others meanwhile except what a slab's holder and those who free into
 * it count: those words are read once each, and bounded by each other, because two of them may be
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

void np_stats_settle(void)
{
    struct np_heap *heap = np_thread_heap_if_any();

    if (heap != NULL)
        np_heap_settle(heap);
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

static size_t run_bytes_of(const struct np_run *run)
{
    return (size_t)run->granule_count << NP_GRANULE_SHIFT;
}

/* The place of what could be returned of a free run. */
static size_t *place_of_retained(struct np_stats_sums *sums, const struct np_run *run)
{
    if (run->is_refused)
        return &sums->refused_bytes;
    return run == run->arena->top ? &sums->top_bytes : &sums->run_bytes;
}

/* A run that nobody has; its size as a piece is the memory behind it. */
static void add_free_run(struct np_gathered *gathered, const struct np_run *run)
{
    struct np_stats_sums *sums = &gathered->sums;
    bool is_filed = atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_FREE;
    size_t returnable_bytes = is_filed ? (size_t)run->resident_count << NP_GRANULE_SHIFT : 0;
    size_t resident_bytes = returnable_bytes;

    /* A filed run's own count leaves out parts of system pages, which are holes, and has the whole
     * of a page of which one granule was touched. While a run is being purged its count is the
     * purger's; its bits may be read by all. */
    if (!is_filed || np_page_bytes() != NP_GRANULE_BYTES)
        resident_bytes =
            np_max(np_run_count_resident(run, 0, run->granule_count) << NP_GRANULE_SHIFT,
                   returnable_bytes);
    if (!is_filed) {
        sums->run_bytes += resident_bytes;
    } else {
        *place_of_retained(sums, run) += returnable_bytes;
        sums->hole_bytes += resident_bytes - returnable_bytes;
    }
    sums->cold_bytes += run_bytes_of(run) - resident_bytes;
    if (resident_bytes > 0) {
        sums->free_run_count++;
        add_to_bin(gathered, resident_bytes, 1);
    } else {
        sums->cold_run_count++;
    }
    sums->largest_free_bytes = np_max(sums->largest_free_bytes, run_bytes_of(run));
    /* glibc's keepcost is the main arena's: what a trim can take off the break. */
    if (run == run->arena->top && run->arena->index == 0)
        sums->keep_bytes = returnable_bytes;
}

/* Slots that overlap cold granules; all of them are free (S1). */
static unsigned count_cold_slots(const struct np_slab *slab)
{
    uint32_t pages = NP_OWNER_GET(slab->cold_pages);
    unsigned count = 0;
    unsigned next = 0; /* the first slot that is not counted */

    if (slab->slots_per_page != 0)
        return np_bit_count(pages) * slab->slots_per_page;
    for (; pages != 0; pages &= pages - 1) {
        size_t start = (size_t)__builtin_ctz(pages) << NP_GRANULE_SHIFT;
        unsigned first = (unsigned)(start / slab->slot_bytes);
        unsigned end = (unsigned)((start + NP_GRANULE_BYTES - 1) / slab->slot_bytes) + 1;

        first = (unsigned)np_max(first, next);
        end = (unsigned)np_min(end, slab->slot_count);
        if (first < end) {
            count += end - first;
            next = end;
        }
    }
    return count;
}

/* As np_slab_view, bounded by the slab's run, and with what the bits tell of an open slab. */
static void view_slab(const struct np_slab *slab, size_t run_bytes, struct np_slab_view *view)
{
    np_slab_view(slab, view);
    view->resident_bytes = np_min(view->resident_bytes, run_bytes);
    if (view->live_count == 0)
        view->retained_bytes = view->resident_bytes;
    else if (view->is_open)
        view->retained_bytes = (size_t)np_bit_count(np_slab_free_pages(slab)) << NP_GRANULE_SHIFT;
    view->retained_bytes = np_min(view->retained_bytes, view->resident_bytes);
}

static void add_slab(struct np_gathered *gathered, const struct np_run *run,
                     const struct np_slab *slab)
{
    struct np_stats_sums *sums = &gathered->sums;
    struct np_slab_view view;
    size_t live_bytes;
    size_t cold_count;
    size_t warm_count;

    view_slab(slab, run_bytes_of(run), &view);
    live_bytes = np_min((size_t)view.live_count * view.slot_bytes,
                        view.resident_bytes - view.retained_bytes);
    cold_count = np_min(count_cold_slots(slab), view.free_count);
    warm_count = view.free_count - cold_count;
    warm_count = np_min(warm_count, (view.resident_bytes - live_bytes) / view.slot_bytes);
    sums->live_count += view.live_count;
    sums->live_bytes += live_bytes;
    sums->hole_bytes += view.resident_bytes - view.retained_bytes - live_bytes;
    if (NP_OWNER_GET(slab->is_refused))
        sums->refused_bytes += view.retained_bytes;
    else if (view.is_open)
        sums->open_bytes += view.retained_bytes;
    else
        sums->closed_bytes += view.retained_bytes;
    sums->cold_bytes += run_bytes_of(run) - view.resident_bytes;
    sums->free_slot_count += warm_count;
    sums->cold_slot_count += cold_count;
    add_to_bin(gathered, view.slot_bytes, warm_count);
    if (view.free_count > 0)
        sums->largest_free_bytes = np_max(sums->largest_free_bytes, view.slot_bytes);
    if (np_mxfast_is_held(slab->class_index)) {
        sums->held_count += warm_count;
        sums->held_bytes += warm_count * view.slot_bytes;
    }
}

static void visit(const struct np_run *run, void *context)
{
    struct np_gathered *gathered = context;
    struct np_stats_sums *sums = &gathered->sums;
    uint32_t state = atomic_load_explicit(&run->state, memory_order_relaxed);
    const struct np_slab *slab = state == NP_RUN_SLAB ? np_slab_find(run->start) : NULL;

    sums->system_bytes += run_bytes_of(run);
    if (state == NP_RUN_MEDIUM) {
        sums->live_count++;
        sums->live_bytes += run_bytes_of(run);
        sums->medium_count++;
        sums->medium_bytes += run_bytes_of(run);
        sums->medium_requested_bytes +=
            np_min(NP_OWNER_GET(run->lent.requested_bytes), run_bytes_of(run));
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
    sums->run_bytes = np_min(retained_bytes, free_bytes);
    sums->cold_bytes = free_bytes - sums->run_bytes;
    sums->live_bytes = sums->system_bytes - free_bytes;
    sums->free_run_count = sums->run_bytes > 0;
}

void np_stats_gather(struct np_arena *arena, struct np_gathered *gathered)
{
    struct np_stats_sums *sums = &gathered->sums;

    *gathered = (struct np_gathered){0};
    if (!np_arena_walk(arena, visit, gathered))
        estimate(arena, sums);
    sums->system_max_bytes =
        np_max(atomic_load_explicit(&arena->system_bytes_max, memory_order_relaxed),
               sums->system_bytes);
    sums->used_max_bytes =
        np_max(atomic_load_explicit(&arena->lent_granules_max, memory_order_relaxed)
                   << NP_GRANULE_SHIFT,
               sums->live_bytes);
}

void np_stats_add(struct np_stats_sums *sums, const struct np_stats_sums *more)
{
    size_t largest_free_bytes = np_max(sums->largest_free_bytes, more->largest_free_bytes);
    size_t *to = (size_t *)sums;
    const size_t *from = (const size_t *)more;

    for (size_t i = 0; i < sizeof *sums / sizeof *to; i++)
        to[i] += from[i];
    sums->largest_free_bytes = largest_free_bytes; /* the one figure that does not add up */
}

void np_stats_sum(struct np_stats_sums *sums)
{
    struct np_gathered gathered;

    np_stats_settle();
    *sums = (struct np_stats_sums){0};
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        np_stats_gather(arena, &gathered);
        np_stats_add(sums, &gathered.sums);
    }
}

bool np_stats_sum_arena(unsigned index, struct np_stats_sums *sums)
{
    struct np_arena *arena = np_stats_arena(index);
    struct np_gathered gathered;

    if (arena == NULL)
        return false;
    np_stats_settle();
    np_stats_gather(arena, &gathered);
    *sums = gathered.sums;
    return true;
}
