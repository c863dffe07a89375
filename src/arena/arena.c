/* Taking and giving runs: which arena, and when it grows. The structure is run.c's, the kernel's part is grow.c's
 * and purge.c's. */
#include "arena.h"

#include <string.h>

#include "bits.h"
#include "check.h"
#include "grow.h"
#include "kept.h"
#include "os.h"
#include "returned.h"
#include "run.h"
#include "tune.h"
#include "window.h"

/* glibc's rule where M_ARENA_MAX is 0: this many arenas a processor. */
#define ARENAS_PER_CPU 8

static bool is_fork_under_way(void)
{
    return atomic_load_explicit(&np_is_fork_under_way, memory_order_relaxed);
}

/* Arenas that compete for runs, the main one and those in the making among them: those that M_ARENA_MAX limits. */
static _Atomic size_t arena_count = 1;

static size_t most_arenas(size_t count)
{
    size_t most = (size_t)np_tune_get(NP_KNOB_ARENA_MAX);

    if (most != 0)
        return most;
    if (count < (size_t)np_tune_get(NP_KNOB_ARENA_TEST))
        return count + 1;
    return (size_t)ARENAS_PER_CPU * np_os_cpu_count();
}

/* The break may be blocked for good; then one arena on mmap is needed even if the limit is 1. */
enum need { IF_ALLOWED, IF_THERE_IS_NONE };

/* One more arena, if that is allowed. It is counted before it is made: of threads that ask at once, only so many may. */
static struct np_arena *add_arena(enum need need)
{
    size_t count = atomic_load_explicit(&arena_count, memory_order_relaxed);
    struct np_arena *arena;

    /* A child could not use it; there is one that serves during forks. */
    if (is_fork_under_way())
        return NULL;
    do {
        if (count >= most_arenas(count) && !(need == IF_THERE_IS_NONE && count == 1))
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&arena_count, &count, count + 1,
                                                    memory_order_relaxed, memory_order_relaxed));
    arena = np_arena_make();
    if (arena == NULL)
        atomic_fetch_sub_explicit(&arena_count, 1, memory_order_relaxed);
    return arena;
}

/* What is cut from longer runs leaves rests, which cannot be joined while their neighbours are kept: a third of what is kept
 * at worst. So it is no more than this beyond the usual, however much may be retained. */
#define KEPT_MORE_BYTES ((size_t)4 << 20)

/* Half of what may be retained beyond the usual: as much is left that can be joined for what is longer. */
static size_t most_kept_granules(void)
{
    size_t more_bytes = np_arena_allowance_bytes();

    if (NP_UNLIKELY(np_tune_is_set(NP_KNOB_TRIM_THRESHOLD)))
        more_bytes = (size_t)np_tune_get(NP_KNOB_TRIM_THRESHOLD); /* of -1 as well */
    return NP_KEPT_USUAL_GRANULES + (np_min(more_bytes / 2, KEPT_MORE_BYTES) >> NP_GRANULE_SHIFT);
}

/* Files or keeps what others have put aside. */
static NP_NOINLINE void collect_deferred(struct np_arena *arena)
{
    np_run_take_over_deferred(arena, most_kept_granules());
}

NP_INLINE void collect(struct np_arena *arena)
{
    if (NP_UNLIKELY(np_run_has_deferred(arena)))
        collect_deferred(arena);
}

/* Carves from an arena whose lock is held; releases it. */
static struct np_run *carve_and_release(struct np_arena *arena, size_t granule_count,
                                        size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *run;

    collect(arena);
    run = np_run_carve(arena, granule_count, alignment_bytes, state);
    np_lock_release(&arena->lock);
    return run;
}

static struct np_run *carve(struct np_arena *arena, size_t granule_count, size_t alignment_bytes,
                            enum np_run_state state)
{
    if (!np_lock_acquire(&arena->lock))
        return NULL;
    return carve_and_release(arena, granule_count, alignment_bytes, state);
}

/* Growing is not atomic with carving: another thread may lend what was got. It made progress then; a few tries
 * are enough, since each leaves more behind. */
static struct np_run *grow_and_carve(struct np_arena *arena, size_t granule_count,
                                     size_t alignment_bytes, enum np_run_state state)
{
    for (unsigned try = 0; try < 4; try++) {
        struct np_run *run;

        if (!np_arena_grow(arena, granule_count, alignment_bytes))
            return NULL;
        run = carve(arena, granule_count, alignment_bytes, state);
        if (run != NULL)
            return run;
    }
    return NULL;
}

/* The home arena is contended: another that is not, a new one if that is allowed, or the same one after waiting; while a
 * fork holds them, the one for forks. NULL: there is no memory. */
static struct np_arena *lock_another(struct np_arena **home)
{
    struct np_arena *arena = *home;
    struct np_arena *fresh;

    for (struct np_arena *other = np_arena_list(); other != NULL; other = other->next)
        if (other != arena && !other->is_for_forks && np_lock_try(&other->lock))
            return *home = other;
    fresh = add_arena(IF_ALLOWED);
    if (fresh != NULL && np_lock_acquire(&fresh->lock))
        return *home = fresh;
    if (np_lock_acquire(&arena->lock))
        return arena;
    arena = np_arena_for_forks();
    return arena != NULL && np_lock_acquire(&arena->lock) ? (*home = arena) : NULL;
}

/* The caller's arena with its lock held, or another. */
static struct np_arena *lock_some(struct np_arena **home)
{
    struct np_arena *arena = *home;

    if (arena == NULL || (arena->is_for_forks && !is_fork_under_way()))
        arena = np_arena_main();
    *home = arena;
    return NP_LIKELY(np_lock_try(&arena->lock)) ? arena : lock_another(home);
}

/* The home arena could not grow: any other that has or gets room, at last a new one. */
static struct np_run *take_elsewhere(struct np_arena **home, size_t granule_count,
                                     size_t alignment_bytes, enum np_run_state state)
{
    struct np_arena *fresh;
    struct np_run *run;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        if (arena == *home || arena->is_for_forks)
            continue;
        run = carve(arena, granule_count, alignment_bytes, state);
        if (run == NULL)
            run = grow_and_carve(arena, granule_count, alignment_bytes, state);
        if (run != NULL) {
            *home = arena;
            return run;
        }
    }
    fresh = add_arena(IF_THERE_IS_NONE);
    if (fresh == NULL)
        return NULL;
    run = grow_and_carve(fresh, granule_count, alignment_bytes, state);
    if (run != NULL)
        *home = fresh;
    return run;
}

/* Whether an arena has so much memory to lend, perhaps in pieces. */
static bool may_be_warm(const struct np_arena *arena, size_t granule_count)
{
    return !arena->is_for_forks && atomic_load_explicit(&arena->retained_granules,
                                                        memory_order_relaxed) >= granule_count;
}

/* Of all but one, whose lock is held. */
static bool is_any_warm(const struct np_arena *but, size_t granule_count)
{
    return atomic_load_explicit(&np_run_retained_most, memory_order_relaxed) - but->retained_most >=
           granule_count;
}

/* From any other arena that has memory and nobody is at work in. */
static struct np_run *try_warm_elsewhere(const struct np_arena *home, size_t granule_count,
                                         size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *run = NULL;

    for (struct np_arena *arena = np_arena_list(); arena != NULL && run == NULL; arena = arena->next) {
        if (arena == home || !may_be_warm(arena, granule_count) || !np_lock_try(&arena->lock))
            continue;
        run = np_run_carve_kept(arena, granule_count, alignment_bytes, state);
        if (run == NULL)
            run = np_run_carve_warm(arena, granule_count, alignment_bytes, state);
        np_lock_release(&arena->lock);
    }
    return run;
}

/* Carves from an arena whose lock is held, and releases it; but where that would take memory that is not there yet, and
 * another arena has some that is, from that one: faulting in costs more than a second lock, and threads that have changed
 * their arenas leave memory behind. */
static struct np_run *carve_somewhere(struct np_arena *arena, size_t granule_count,
                                      size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *run;

    collect(arena);
    /* First, since asking other arenas reads what their users write. */
    run = np_run_carve_kept(arena, granule_count, alignment_bytes, state);
    if (run != NULL) {
        np_lock_release(&arena->lock);
        return run;
    }
    if (NP_LIKELY(!is_any_warm(arena, granule_count)))
        return carve_and_release(arena, granule_count, alignment_bytes, state);
    run = np_run_carve_warm(arena, granule_count, alignment_bytes, state);
    np_lock_release(&arena->lock);
    if (run == NULL)
        run = try_warm_elsewhere(arena, granule_count, alignment_bytes, state);
    return run != NULL ? run : carve(arena, granule_count, alignment_bytes, state);
}

struct np_run *np_run_take(struct np_arena **home, size_t granule_count, size_t alignment_bytes,
                           enum np_run_state state, enum np_growth growth)
{
    struct np_arena *arena;
    struct np_run *run;

    if (granule_count > UINT32_MAX >> 4 || alignment_bytes > (size_t)UINT32_MAX)
        return NULL; /* beyond a key's bits: the caller has other ways for such sizes */
    arena = lock_some(home);
    if (arena != NULL) {
        run = carve_somewhere(arena, granule_count, alignment_bytes, state);
        if (run != NULL || growth == NP_EXISTING_ONLY)
            return run;
        run = grow_and_carve(arena, granule_count, alignment_bytes, state);
        if (run != NULL)
            return run;
    }
    return growth == NP_EXISTING_ONLY
               ? NULL
               : take_elsewhere(home, granule_count, alignment_bytes, state);
}

void np_run_give(struct np_run *run, size_t touched_count)
{
    struct np_arena *arena = run->arena;
    size_t most;

    atomic_store_explicit(&run->state, NP_RUN_BUSY, memory_order_relaxed);
    run->is_in_flow = touched_count == 0;
    /* What comes cold, or in part, may leave bookkeeping behind that has to go with it: np_run_file_and_release. */
    if (NP_UNLIKELY(np_lock_is_taken(&arena->lock)) && touched_count == run->granule_count) {
        np_run_post(run, touched_count);
        return;
    }
    if (NP_UNLIKELY(!np_lock_acquire(&arena->lock))) {
        np_run_defer(run, touched_count);
        return;
    }
    collect(arena);
    most = most_kept_granules();
    if (touched_count == run->granule_count && NP_LIKELY(np_kept_try_whole(arena, run, most))) {
        np_lock_release(&arena->lock);
        return;
    }
    np_run_count_given(run);
    np_run_mark_touched(run, touched_count);
    if (np_kept_try(arena, run, most)) {
        np_lock_release(&arena->lock);
        return;
    }
    np_kept_note_freed(run, touched_count);
    np_run_file_and_release(arena, run);
}

/* The word of resident bits that has those of the unit at this address, and where they begin in it. */
static _Atomic uint64_t *unit_bits(uintptr_t start, unsigned *shift)
{
    struct np_window *window = np_window_find(start);
    size_t granule = (start - window->base) >> NP_GRANULE_SHIFT;

    *shift = granule % 64;
    return &window->resident[granule / 64];
}

#define UNIT_MASK ((UINT64_C(1) << NP_UNIT_GRANULES) - 1)

/* Memory comes and goes by system pages, of which perhaps not all granules were touched. */
static uint32_t widen_to_system_pages(uint32_t mask)
{
    unsigned granules = (unsigned)(np_os_page_bytes() >> NP_GRANULE_SHIFT);

    for (unsigned from = 0; granules > 1 && from < 32; from += granules) {
        uint32_t page = (UINT32_MAX >> (32 - granules)) << from;

        if ((mask & page) != 0)
            mask |= page;
    }
    return mask;
}

uint32_t np_run_resident_mask(const struct np_run *run)
{
    uint32_t mask = 0;

    if (run->resident_count == 0)
        return 0;
    for (unsigned at = 0; at < run->granule_count; at += NP_UNIT_GRANULES) {
        unsigned shift;
        const _Atomic uint64_t *word = unit_bits(run->start + ((size_t)at << NP_GRANULE_SHIFT), &shift);

        mask |= (uint32_t)(atomic_load_explicit(word, memory_order_relaxed) >> shift & UNIT_MASK) << at;
    }
    return widen_to_system_pages(mask);
}

void np_run_give_masked(struct np_run *run, uint32_t resident_mask)
{
    /* The bits of a lent run are its borrower's; others of the same word are not. */
    for (unsigned at = 0; at < run->granule_count; at += NP_UNIT_GRANULES) {
        unsigned shift;
        _Atomic uint64_t *word = unit_bits(run->start + ((size_t)at << NP_GRANULE_SHIFT), &shift);
        uint64_t wanted = resident_mask >> at & UNIT_MASK;
        uint64_t differing = (atomic_load_explicit(word, memory_order_relaxed) >> shift & UNIT_MASK) ^
                             wanted;

        if (differing != 0)
            atomic_fetch_xor_explicit(word, differing << shift, memory_order_relaxed);
    }
    run->resident_from = 0;
    run->resident_to = run->granule_count;
    np_run_give(run, 0);
}

NP_COLD bool np_run_try_shrink(struct np_run *run, size_t granule_count)
{
    uintptr_t tail_start = run->start + (granule_count << NP_GRANULE_SHIFT);
    struct np_run *tail = np_run_record_take(tail_start);
    size_t tail_count = run->granule_count - granule_count;

    if (tail == NULL)
        return false;
    if (!np_lock_acquire(&run->arena->lock)) {
        np_run_record_give(tail, tail_start);
        return false;
    }
    tail->start = tail_start;
    tail->granule_count = (uint32_t)tail_count;
    NP_OWNER_SET(tail->arena, run->arena);
    tail->resident_count = tail->resident_from = 0;
    tail->resident_to = (uint32_t)tail_count; /* of room the system may have refused to take what it had */
    tail->is_refused = false;
    tail->is_counted = true;
    tail->lent.cleared = 0;
    run->granule_count = (uint32_t)granule_count;
    run->resident_count = (uint32_t)np_run_count_resident(run, 0, granule_count);
    np_run_map(run);
    np_run_map(tail);
    atomic_store_explicit(&tail->state, NP_RUN_BUSY, memory_order_relaxed);
    np_lock_release(&run->arena->lock);
    np_run_give(tail, tail_count - np_min(tail_count, run->room_count));
    return true;
}

/* Moves the start of an unfiled free run up by `more` granules: to another record, since a record's place
 * follows from its run's start (R9). The resident bits stay where they are. */
static void move_start_up(struct np_run *run, size_t more, struct np_run *record)
{
    size_t from = np_max(run->resident_from, more);
    size_t to = np_max(run->resident_to, more);

    record->start = run->start + (more << NP_GRANULE_SHIFT);
    NP_OWNER_SET(record->arena, run->arena);
    record->granule_count = run->granule_count - (uint32_t)more;
    record->is_refused = run->is_refused;
    np_run_recount(record, from - more, to - more);
    np_run_record_give(run, run->start);
}

/* Takes the first `more` granules of the free run behind a lent one. Under the lock. */
static bool absorb(struct np_run *run, size_t more)
{
    struct np_arena *arena = run->arena;
    struct np_run *next = np_kept_free_after(arena, np_run_end(run));
    struct np_run *rest = NULL;
    size_t retained = atomic_load_explicit(&arena->retained_granules, memory_order_relaxed);

    if (next == NULL || next->granule_count < more)
        return false;
    if (next->granule_count > more &&
        (rest = np_run_record_take(next->start + (more << NP_GRANULE_SHIFT))) == NULL)
        return false;
    np_run_unfile(arena, next);
    if (rest != NULL)
        move_start_up(next, more, rest);
    else
        np_run_record_give(next, next->start);
    run->granule_count += (uint32_t)more;
    np_run_map(run); /* before filing: the free run's old edge lies in the lent one now */
    if (rest != NULL)
        np_run_file(arena, rest);
    np_run_count_lent(arena, more);
    retained -= atomic_load_explicit(&arena->retained_granules, memory_order_relaxed);
    np_returned_note_reused(retained << NP_GRANULE_SHIFT);
    return true;
}

/* Whether the space behind a run is the end of its arena, which may grow. Under the lock. */
static bool is_before_end(const struct np_run *run)
{
    const struct np_arena *arena = run->arena;

    return np_run_end(run) == arena->stretches->end ||
           (arena->top != NULL && np_run_end(run) == arena->top->start);
}

NP_COLD bool np_run_try_extend(struct np_run *run, size_t granule_count)
{
    size_t more = granule_count - run->granule_count;
    bool is_done = false;
    bool may_grow = true;

    /* A second try after growing; a third would mean that somebody else took what was got. */
    for (unsigned try = 0; try < 2 && !is_done && may_grow; try++) {
        if (granule_count > UINT32_MAX >> 4 || !np_lock_acquire(&run->arena->lock))
            return false;
        collect(run->arena);
        is_done = absorb(run, more);
        may_grow = is_before_end(run);
        np_lock_release(&run->arena->lock);
        if (!is_done && may_grow)
            may_grow = try == 0 && np_arena_grow(run->arena, more, NP_GRANULE_BYTES);
    }
    return is_done;
}

/* The first granule in [from, to) that is resident, or that is not; to if there is none. */
static size_t first_that_is(bool is_resident, const struct np_run *run, size_t from, size_t to)
{
    size_t of_64 = is_resident ? 0 : 64;

    while (from + 64 <= to && np_run_count_resident(run, from, from + 64) == of_64)
        from += 64;
    while (from < to && (np_run_count_resident(run, from, from + 1) != 0) != is_resident)
        from++;
    return from;
}

void np_run_clear(struct np_run *run, size_t byte_count)
{
    size_t granule_count = (byte_count + NP_GRANULE_BYTES - 1) >> NP_GRANULE_SHIFT;
    size_t to = 0;

    while (run->resident_count > 0 && to < granule_count) {
        size_t from = first_that_is(true, run, to, granule_count);
        size_t start = from << NP_GRANULE_SHIFT;

        to = first_that_is(false, run, from, granule_count);
        memset((char *)run->start + start, 0,
               np_min(to << NP_GRANULE_SHIFT, byte_count) - np_min(start, byte_count));
    }
}

NP_COLD bool np_run_populate(struct np_run *run, size_t from, size_t granule_count)
{
    uint64_t since_ns;

    if (np_tune_get(NP_KNOB_POPULATE) == 0)
        return false;
    since_ns = np_os_fine_ns();
    if (!np_os_populate((void *)(run->start + (from << NP_GRANULE_SHIFT)),
                        granule_count << NP_GRANULE_SHIFT))
        return false;
    np_arena_note_populated(granule_count, since_ns);
    return true;
}

/* Calls visit for each run of a stretch, in order, until it answers something or the stretch ends. */
static bool walk_stretch(const struct np_stretch *stretch,
                         void (*visit)(const struct np_run *run, void *context), void *context)
{
    uintptr_t at = stretch->start;

    while (at < stretch->end) {
        const struct np_run *run = np_run_at_start(at);

        if (run == NULL)
            return false;
        visit(run, context);
        at = np_run_end(run);
    }
    return true;
}

bool np_arena_walk(struct np_arena *arena, void (*visit)(const struct np_run *run, void *context),
                   void *context)
{
    if (!np_lock_acquire(&arena->lock))
        return false;
    collect(arena); /* they are free, and are to be seen so */
    np_kept_file_all(arena);
    for (struct np_stretch *stretch = arena->stretches; stretch != NULL; stretch = stretch->next)
        (void)walk_stretch(stretch, visit, context);
    np_lock_release(&arena->lock);
    return true;
}

NP_COLD struct np_run *np_run_find_overwritten(void)
{
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        for (size_t length = 1; length <= NP_KEPT_MAX_GRANULES; length++)
            for (struct np_run *run = arena->kept[length]; run != NULL; run = (struct np_run *)run->node.left)
                if (!np_run_is_clear(run))
                    return run;
    return NULL;
}

struct around {
    uintptr_t address;
    const struct np_run *run;
};

static void compare_around(const struct np_run *run, void *context)
{
    struct around *around = context;

    if (run->start <= around->address && around->address < np_run_end(run))
        around->run = run;
}

struct np_run *np_run_around(uintptr_t address)
{
    struct around around = {address, NULL};

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        (void)np_arena_walk(arena, compare_around, &around);
    return (struct np_run *)around.run;
}

struct audit {
    const struct np_arena *arena;
    const struct np_run *previous;
    const char *fault;
    size_t retained_granules;
    size_t free_granules;
    size_t lent_granules;
    size_t counted_lent_granules; /* by the arena, before the walk */
    size_t busy_granules;         /* lent until just now, or being purged */
    size_t tree_count;            /* free runs outside the top */
};

static void audit_free_run(const struct np_run *run, struct audit *audit)
{
    const struct np_arena *arena = audit->arena;
    const struct np_run *previous = audit->previous;

    if (previous != NULL && np_run_end(previous) == run->start &&
        atomic_load_explicit(&previous->state, memory_order_relaxed) == NP_RUN_FREE)
        audit->fault = "R3: two free runs touch";
    if (arena->top != run) {
        const struct np_filed *filed = run->resident_count > 0 ? &arena->warm : &arena->cold;

        if (np_filed_first_from(filed, run->node.key) != &run->node)
            audit->fault = "R5: a free run is not in its tree";
        audit->tree_count++;
    }
    if (np_run_count_returnable(run, 0, run->granule_count) != run->resident_count)
        audit->fault = "R6: a free run's resident bits are miscounted";
    if (np_run_count_returnable(run, run->resident_from, run->resident_to) != run->resident_count)
        audit->fault = "R6: a resident bit lies outside the resident box";
    audit->retained_granules += run->is_refused ? 0 : run->resident_count;
    audit->free_granules += run->granule_count;
}

static void audit_run(const struct np_run *run, void *context)
{
    struct audit *audit = context;
    enum np_run_state state = atomic_load_explicit(&run->state, memory_order_relaxed);

    if (run->granule_count == 0 || run->arena != audit->arena)
        audit->fault = "R1: an empty run, or one of another arena";
    if (run->start % NP_UNIT_BYTES == 0 && np_run_record_take(run->start) != run)
        audit->fault = "R9: the record of a run at a unit is not its window's";
    if (run != audit->arena->top && np_run_at_edge(np_run_end(run) - NP_GRANULE_BYTES) != run)
        audit->fault = "R4: the map does not point to a run at its last granule";
    if (state == NP_RUN_FREE)
        audit_free_run(run, audit);
    else if (state == NP_RUN_BUSY)
        audit->busy_granules += run->granule_count;
    else
        audit->lent_granules += run->granule_count;
    audit->previous = run;
}

static size_t filed_size(const struct np_filed *filed)
{
    size_t count = 0;

    for (const struct np_tree_node *node = np_filed_first_from(filed, 0); node != NULL;
         node = np_filed_first_from(filed, node->key + 1))
        count++;
    return count;
}

static const char *audit_locked(struct np_arena *arena)
{
    struct audit audit = {
        .arena = arena,
        .counted_lent_granules = atomic_load_explicit(&arena->lent_granules, memory_order_acquire),
    };
    const char *fault = np_filed_audit(&arena->warm);

    if (fault == NULL)
        fault = np_filed_audit(&arena->cold);
    for (struct np_stretch *stretch = arena->stretches; fault == NULL && stretch != NULL;
         stretch = stretch->next) {
        audit.previous = NULL;
        if (!walk_stretch(stretch, audit_run, &audit))
            fault = "R2: the runs of a stretch do not tile it";
        if (audit.fault != NULL)
            fault = audit.fault;
    }
    if (fault != NULL)
        return fault;
    if (audit.tree_count != filed_size(&arena->warm) + filed_size(&arena->cold))
        return "R5: a tree holds a run that is not free";
    if (audit.retained_granules != atomic_load(&arena->retained_granules))
        return "R7: retained granules are miscounted";
    if (audit.free_granules != atomic_load(&arena->free_granules))
        return "R8: free granules are miscounted";
    if (arena->retained_most - audit.retained_granules > arena->retained_slack)
        return "R13: more is retained than was told, or much less";
    if (audit.counted_lent_granules - audit.lent_granules > audit.busy_granules ||
        audit.counted_lent_granules > atomic_load(&arena->lent_granules_max))
        return "R10: lent granules are miscounted";
    return NULL;
}

const char *np_arena_audit(struct np_arena *arena)
{
    const char *fault;

    if (!np_lock_acquire(&arena->lock))
        return NULL;
    np_kept_file_all(arena);
    fault = audit_locked(arena);
    np_lock_release(&arena->lock);
    return fault;
}

const char *np_arena_audit_all(void)
{
    const char *fault = NULL;

    for (struct np_arena *arena = np_arena_list(); fault == NULL && arena != NULL;
         arena = arena->next)
        fault = np_arena_audit(arena);
    return fault;
}
