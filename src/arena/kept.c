/* Kept runs, and what every block that comes and goes takes: its run is found, counted, kept and lent again. All but the
 * finding is under arena->lock. See kept.h; filing, cutting and joining are run.c's, which builds on this. */
#include "kept.h"

#include <string.h>

#include "bits.h"
#include "os.h"
#include "returned.h"
#include "run.h"
#include "window.h"

struct np_run *np_run_at_start(uintptr_t address)
{
    struct np_window *window = np_window_find(address);
    struct np_run *run;
    enum np_run_state state;

    if (window == NULL)
        return NULL;
    run = address % NP_UNIT_BYTES == 0
              ? np_window_run_record(window, address)
              : atomic_load_explicit(np_window_run_entry(window, address), memory_order_acquire);
    if (run == NULL)
        return NULL;
    state = atomic_load_explicit(&run->state, memory_order_relaxed);
    return state != NP_RUN_NONE && state != NP_RUN_TAIL && run->start == address ? run : NULL;
}

struct np_run *np_run_find(uintptr_t address)
{
    struct np_run *run;
    uint32_t state;

    if (address % NP_GRANULE_BYTES != 0)
        return NULL;
    run = np_run_at_start(address);
    if (run == NULL)
        return NULL;
    state = atomic_load_explicit(&run->state, memory_order_relaxed);
    return state == NP_RUN_SLAB || state == NP_RUN_MEDIUM ? run : NULL;
}

/* Relaxed: no memory is reached by it. Whoever gives a run back has told his arena's part, under its lock, before he asks
 * (np_return_excess), so he sees at least his own; what another thread tells after that, that thread asks about itself. */
_Alignas(NP_CACHE_LINE_BYTES) _Atomic size_t np_run_retained_most;

/* The half of what an arena may be said to retain too much. What all say together comes off what may be retained in quiet
 * (heap/return.c), so the more there are, the less it is. */
#define STEP_GRANULES ((size_t)16)

static NP_COLD void tell_retained(struct np_arena *arena, size_t retained)
{
    size_t step = STEP_GRANULES / (arena->index / 2 + 1);
    size_t most = retained + step;

    atomic_fetch_add_explicit(&np_run_retained_most, most - arena->retained_most,
                              memory_order_relaxed);
    arena->retained_most = most;
    arena->retained_slack = 2 * step;
}

/* Changes a count that others read and only the holder of the arena's lock changes. */
NP_INLINE size_t add(_Atomic size_t *count, size_t delta)
{
    size_t sum = atomic_load_explicit(count, memory_order_relaxed) + delta;

    atomic_store_explicit(count, sum, memory_order_relaxed);
    return sum;
}

NP_INLINE void count_free(struct np_arena *arena, size_t retained_more, size_t free_more)
{
    size_t retained = add(&arena->retained_granules, retained_more);

    (void)add(&arena->free_granules, free_more);
    /* Also where it is less than nothing: where more is retained than was told. */
    if (NP_UNLIKELY(arena->retained_most - retained > arena->retained_slack))
        tell_retained(arena, retained);
}

void np_run_count_free(struct np_arena *arena, size_t retained_more, size_t free_more)
{
    count_free(arena, retained_more, free_more);
}

NP_INLINE void count_lent(struct np_arena *arena, size_t granule_count)
{
    size_t lent = add(&arena->lent_granules, granule_count);

    if (NP_UNLIKELY(lent > atomic_load_explicit(&arena->lent_granules_max, memory_order_relaxed)))
        atomic_store_explicit(&arena->lent_granules_max, lent, memory_order_relaxed);
}

void np_run_count_lent(struct np_arena *arena, size_t granule_count)
{
    count_lent(arena, granule_count);
}

void np_run_count_given(struct np_run *run)
{
    if (run->is_counted)
        (void)add(&run->arena->lent_granules, (size_t)0 - run->granule_count);
    run->is_counted = false;
}

void np_kept_note_freed(struct np_run *run, size_t granule_count)
{
    if (!run->is_in_flow)
        np_returned_note_freed(granule_count << NP_GRANULE_SHIFT);
    run->is_in_flow = true;
}

/* Kept runs that are taken again have not been in the flow, which spares everybody two shared counters. But from the flow
 * the helper tells whether a program is at work (core/helper.c), and where so much is kept as an allowance lets be, it would
 * seem to rest: so then they are noted, by the MiB. */
#define NOTED_GRANULES 256

static NP_NOINLINE void note_passed(struct np_arena *arena, size_t granule_count)
{
    arena->passed_granules += granule_count;
    if (arena->passed_granules < NOTED_GRANULES)
        return;
    np_returned_note_freed(arena->passed_granules << NP_GRANULE_SHIFT);
    np_returned_note_reused(arena->passed_granules << NP_GRANULE_SHIFT);
    arena->passed_granules = 0;
}

/* All but what was cleared. */
NP_INLINE void lend(struct np_arena *arena, struct np_run *run, enum np_run_state state)
{
    run->is_refused = false;
    run->is_counted = true;
    run->lent.requested_bytes = 0;
    run->room_count = 0;
    run->lent.is_zeroed = false;
    run->lent.form = 0;
    if (state == NP_RUN_SLAB)
        np_kept_note_freed(run, run->granule_count); /* those who have slabs note in any case */
    if (!run->is_in_flow && NP_UNLIKELY(arena->kept_granules >= NP_KEPT_USUAL_GRANULES))
        note_passed(arena, run->granule_count);
    atomic_store_explicit(&run->state, (uint8_t)state, memory_order_relaxed);
    count_lent(arena, run->granule_count);
}

void np_run_lend(struct np_arena *arena, struct np_run *run, enum np_run_state state)
{
    run->lent.cleared = 0;
    lend(arena, run, state);
}

/* The list for runs of a length; for lengths that are not kept, one that stays empty. */
static struct np_run **list_of(struct np_arena *arena, size_t granule_count)
{
    return &arena->kept[granule_count <= NP_KEPT_MAX_GRANULES ? granule_count : 0];
}

static void set_lengths(struct np_arena *arena, uint64_t lengths)
{
    atomic_store_explicit(&arena->kept_lengths, lengths, memory_order_relaxed);
}

NP_INLINE bool add_kept(struct np_arena *arena, struct np_run *run, size_t most_granules)
{
    size_t granule_count = run->granule_count;
    struct np_run **list = list_of(arena, granule_count);

    /* What has little memory is worth more as a part of something larger. */
    if (list == &arena->kept[0] || run->resident_count < granule_count || arena->has_refused ||
        arena->kept_granules + granule_count > most_granules)
        return false;
    run->node.left = *list != NULL ? &(*list)->node : NULL;
    atomic_signal_fence(memory_order_seq_cst); /* for np_run_find_overwritten in a handler that ends the process */
    *list = run;
    arena->kept_granules += granule_count;
    set_lengths(arena, np_kept_lengths(arena) | UINT64_C(1) << (granule_count - 1));
    atomic_store_explicit(&run->state, NP_RUN_KEPT, memory_order_relaxed);
    return true;
}

bool np_kept_add(struct np_arena *arena, struct np_run *run, size_t most_granules)
{
    return add_kept(arena, run, most_granules);
}

bool np_kept_try(struct np_arena *arena, struct np_run *run, size_t most_granules)
{
    if (!add_kept(arena, run, most_granules))
        return false;
    count_free(arena, run->granule_count, run->granule_count); /* all of it is resident */
    return true;
}

bool np_kept_try_whole(struct np_arena *arena, struct np_run *run, size_t most_granules)
{
    size_t granule_count = run->granule_count;

    if (np_os_page_bytes() != NP_GRANULE_BYTES || !add_kept(arena, run, most_granules))
        return false;
    run->resident_from = 0;
    run->resident_to = (uint32_t)granule_count;
    np_run_count_given(run);
    count_free(arena, granule_count, granule_count);
    return true;
}

NP_INLINE struct np_run *remove_kept(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    struct np_run **list = list_of(arena, granule_count);
    struct np_run *run = *list;

    if (run == NULL || (run->start & (alignment_bytes - 1)) != 0)
        return NULL;
    *list = (struct np_run *)run->node.left;
    if (*list == NULL)
        set_lengths(arena, np_kept_lengths(arena) & ~(UINT64_C(1) << (granule_count - 1)));
    arena->kept_granules -= granule_count;
    return run;
}

struct np_run *np_kept_remove(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    return remove_kept(arena, granule_count, alignment_bytes);
}

struct np_run *np_run_carve_kept(struct np_arena *arena, size_t granule_count,
                                 size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *run = remove_kept(arena, granule_count, alignment_bytes);

    if (run == NULL)
        return NULL;
    /* All of it is resident, and the map has it. */
    count_free(arena, (size_t)0 - granule_count, (size_t)0 - granule_count);
    if (state != NP_RUN_MEDIUM)
        run->lent.cleared = 0;
    lend(arena, run, state);
    return run;
}

struct np_run *np_run_take_kept(struct np_arena *arena, size_t granule_count)
{
    struct np_run *run;

    if (granule_count > NP_KEPT_MAX_GRANULES || arena == NULL || arena->is_for_forks ||
        (np_kept_lengths(arena) >> (granule_count - 1) & 1) == 0 || np_run_has_deferred(arena) ||
        !np_lock_try(&arena->lock))
        return NULL;
    run = np_run_carve_kept(arena, granule_count, NP_GRANULE_BYTES, NP_RUN_MEDIUM);
    np_lock_release(&arena->lock);
    return run;
}

bool np_run_is_clear(const struct np_run *run)
{
    const char *bytes = (const char *)run->start;
    size_t count = run->lent.cleared * NP_RUN_CLEARED_BYTES;
    uint64_t words[NP_RUN_CLEARED_BYTES / sizeof(uint64_t)];
    uint64_t all;

    if (count == 0)
        return true;
    memcpy(words, bytes, sizeof words);
    all = words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] | words[7];
    /* Each further byte is as the one that many before it. */
    return all == 0 && (NP_LIKELY(count == sizeof words) ||
                        memcmp(bytes, bytes + sizeof words, count - sizeof words) == 0);
}
