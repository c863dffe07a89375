/* The structure of runs: filing, merging, carving. Everything here runs under arena->lock. The invariants
 * are those of arena.h. Read next: grow.c, purge.c. */
#include "run.h"

#include "bits.h"
#include "check.h"
#include "kept.h"
#include "os.h"
#include "returned.h"
#include "window.h"

struct np_pool np_run_pool = NP_POOL_INIT(struct np_run);

/* How many free runs of nearly the size are looked at for one that is aligned by luck, before one that is
 * large enough in any case is cut. */
#define ALIGNED_TRIES 8

/* Kept runs that have less together are not joined for one that would rather be lent from memory that is not there yet:
 * few runs seldom lie side by side, and then all of them were filed in vain. */
#define JOINED_FROM_GRANULES ((size_t)64)
#define JOINED_FROM_TIMES 8

/* The record of the unit at this address of a window (R9). */
static struct np_run *unit_record(struct np_window *window, uintptr_t address)
{
    return np_window_run_record(window, address);
}

struct np_run *np_run_record_take(uintptr_t start)
{
    struct np_window *window;

    if (start % NP_UNIT_BYTES != 0)
        return np_pool_take(&np_run_pool);
    window = np_window_find(start);
    return unit_record(window, start);
}

void np_run_record_give(struct np_run *record, uintptr_t start)
{
    atomic_store_explicit(&record->state, NP_RUN_NONE, memory_order_relaxed);
    if (start % NP_UNIT_BYTES != 0)
        np_pool_give(&np_run_pool, record);
}

/* So many an arena keeps: cutting and joining take turns mostly, and the pool's lock is shared by all arenas. */
#define SPARE_MAX 16

/* The same two under the arena's lock. */
static struct np_run *take_record(struct np_arena *arena, uintptr_t start)
{
    struct np_run *record = arena->spare;

    if (start % NP_UNIT_BYTES == 0 || record == NULL)
        return np_run_record_take(start);
    arena->spare = (struct np_run *)record->node.left;
    arena->spare_count--;
    return record;
}

static void give_record(struct np_arena *arena, struct np_run *record)
{
    if (record->start % NP_UNIT_BYTES == 0 || arena->spare_count == SPARE_MAX) {
        np_run_record_give(record, record->start);
        return;
    }
    atomic_store_explicit(&record->state, NP_RUN_NONE, memory_order_relaxed);
    record->node.left = arena->spare != NULL ? &arena->spare->node : NULL;
    arena->spare = record;
    arena->spare_count++;
}

_Atomic(struct np_run *) *np_run_map_entry(uintptr_t address)
{
    return np_window_run_entry(np_window_find(address), address);
}

static bool is_in_use(const struct np_run *run)
{
    enum np_run_state state = atomic_load_explicit(&run->state, memory_order_relaxed);

    return state != NP_RUN_NONE && state != NP_RUN_TAIL;
}

static struct np_run *map_entry(struct np_window *window, uintptr_t address)
{
    return atomic_load_explicit(np_window_run_entry(window, address), memory_order_acquire);
}

/* The run whose last unit, or only one, ends with this granule, by that unit's record; or NULL. A record that is the
 * last one's no more may still say so; the run that it names then ends elsewhere, or has been joined to another. */
static struct np_run *unit_tail(struct np_run *record, uintptr_t address)
{
    struct np_run *run = record;

    if (atomic_load_explicit(&record->state, memory_order_relaxed) == NP_RUN_TAIL)
        run = record->head;
    return is_in_use(run) && np_run_end(run) == address + NP_GRANULE_BYTES ? run : NULL;
}

struct np_run *np_run_at_edge(uintptr_t address)
{
    struct np_window *window = np_window_find(address);
    size_t granule = address % NP_UNIT_BYTES >> NP_GRANULE_SHIFT;
    struct np_run *run;

    if (window == NULL)
        return NULL;
    if (granule == 0 || granule == NP_UNIT_GRANULES - 1) {
        run = unit_record(window, address);
        if (granule != 0)
            run = unit_tail(run, address);
        else if (!is_in_use(run))
            run = NULL;
        if (run != NULL)
            return run;
    }
    return map_entry(window, address);
}

static void map_start(struct np_window *window, struct np_run *run)
{
    /* release pairs with the acquire in map_entry: np_run_at_start reads without the lock. */
    if (run->start % NP_UNIT_BYTES != 0)
        atomic_store_explicit(np_window_run_entry(window, run->start), run, memory_order_release);
}

/* R4. Most runs are units, of slabs or once of slabs, and the map's pages are not touched for them. */
void np_run_map(struct np_run *run)
{
    uintptr_t last = np_run_end(run) - NP_GRANULE_BYTES;
    struct np_window *window = np_window_find(run->start);

    map_start(window, run);
    if (NP_UNLIKELY(last - window->base >= NP_WINDOW_BYTES))
        window = np_window_find(last);
    if (run->start % NP_UNIT_BYTES != 0 || run->granule_count % NP_UNIT_GRANULES != 0) {
        atomic_store_explicit(np_window_run_entry(window, last), run, memory_order_release);
    } else if (run->granule_count != NP_UNIT_GRANULES) {
        struct np_run *tail = unit_record(window, last);

        tail->head = run;
        atomic_store_explicit(&tail->state, NP_RUN_TAIL, memory_order_relaxed);
    }
}

/* What is done to the resident bits under a mask. */
enum bits_action { BITS_COUNT, BITS_SET, BITS_CLEAR };

static size_t each_bit(const struct np_run *run, size_t from, size_t to, enum bits_action action)
{
    uintptr_t granule = (run->start >> NP_GRANULE_SHIFT) + from;
    uintptr_t end = (run->start >> NP_GRANULE_SHIFT) + to;
    struct np_window *window = NULL;
    size_t count = 0;

    while (granule < end) {
        size_t index = granule % NP_WINDOW_GRANULES;
        size_t length = np_min(64 - index % 64, end - granule);
        uint64_t mask = ~UINT64_C(0) >> (64 - length) << index % 64;
        _Atomic uint64_t *word;
        uint64_t bits;

        /* Once a window: of 64 GiB and more most windows are found by a list. */
        if (window == NULL || index == 0)
            window = np_window_find(granule << NP_GRANULE_SHIFT);
        word = &window->resident[index / 64];
        bits = atomic_load_explicit(word, memory_order_relaxed);

        /* Plain loads and stores under the lock; atomic only for np_run_clear, which reads the bits of a
         * lent run without it. A word may belong to two arenas where windows are shared, so the update
         * itself is one atomic step. */
        if (action == BITS_SET && (bits & mask) != mask)
            atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
        else if (action == BITS_CLEAR && (bits & mask) != 0)
            atomic_fetch_and_explicit(word, ~mask, memory_order_relaxed);
        count += np_bit_count(bits & mask);
        granule += length;
    }
    return count;
}

size_t np_run_count_resident(const struct np_run *run, size_t from, size_t to)
{
    return from < to ? each_bit(run, from, to, BITS_COUNT) : 0;
}

void np_run_set_resident(struct np_run *run, size_t from, size_t to)
{
    if (from < to)
        (void)each_bit(run, from, to, BITS_SET);
}

void np_run_clear_resident(struct np_run *run, size_t from, size_t to)
{
    if (from < to)
        (void)each_bit(run, from, to, BITS_CLEAR);
}

/* The part of [from, to) that is whole system pages of the run, in granules; the rest may share its pages with a
 * neighbour's live bytes, and cannot be returned by us. One granule that was touched makes all of its
 * page resident, so pages that the range cuts count whole where the run has all of them. */
static void widen_to_pages(const struct np_run *run, size_t *from, size_t *to)
{
    size_t page_bytes = np_os_page_bytes();
    uintptr_t first = np_align_down(run->start + (*from << NP_GRANULE_SHIFT), page_bytes);
    uintptr_t last = np_align_up(run->start + (*to << NP_GRANULE_SHIFT), page_bytes);

    first = np_max(first, np_align_up(run->start, page_bytes));
    last = np_min(last, np_align_down(np_run_end(run), page_bytes));
    *from = (first - run->start) >> NP_GRANULE_SHIFT;
    *to = first < last ? (last - run->start) >> NP_GRANULE_SHIFT : *from;
}

size_t np_run_count_returnable(const struct np_run *run, size_t from, size_t to)
{
    size_t page = np_os_page_bytes() >> NP_GRANULE_SHIFT;
    size_t count = 0;

    if (page == 1)
        return np_run_count_resident(run, from, to);
    widen_to_pages(run, &from, &to);
    for (; from < to; from += page)
        if (np_run_count_resident(run, from, from + page) != 0)
            count += page;
    return count;
}

void np_run_recount(struct np_run *run, size_t from, size_t to)
{
    if (from < to && np_os_page_bytes() > NP_GRANULE_BYTES)
        widen_to_pages(run, &from, &to);
    run->resident_count = (uint32_t)np_run_count_returnable(run, from, to);
    run->resident_from = run->resident_count > 0 ? (uint32_t)from : 0;
    run->resident_to = run->resident_count > 0 ? (uint32_t)to : 0;
    run->is_refused &= run->resident_count > 0;
}

void np_run_mark_touched(struct np_run *run, size_t touched_count)
{
    size_t box_from = touched_count > 0 ? 0 : run->resident_from;
    size_t box_to = np_max(touched_count, run->resident_to);

    if (NP_LIKELY(touched_count == run->granule_count && run->resident_count == touched_count &&
                  np_os_page_bytes() == NP_GRANULE_BYTES)) {
        run->resident_from = 0; /* all of it was resident when it was lent, and its bits say so still */
        run->resident_to = run->granule_count;
        return;
    }
    np_run_set_resident(run, 0, touched_count);
    run->is_refused &= touched_count == 0;
    np_run_recount(run, box_from, np_min(box_to, run->granule_count));
}

static bool is_newest_end(const struct np_arena *arena, const struct np_run *run)
{
    return np_run_end(run) == arena->stretches->end;
}

/* R7. */
static size_t retained_count(const struct np_run *run)
{
    return run->is_refused ? 0 : run->resident_count;
}

static void uncount_free(struct np_arena *arena, const struct np_run *run)
{
    np_run_count_free(arena, (size_t)0 - retained_count(run), (size_t)0 - run->granule_count);
}

/* Without the counts, which are a matter of the caller's: what is joined or cut changes them by the
 * difference only. */
static void file(struct np_arena *arena, struct np_run *run)
{
    run->node.key = np_filed_key(run->granule_count) | (run->start >> NP_GRANULE_SHIFT);
    atomic_store_explicit(&run->state, NP_RUN_FREE, memory_order_relaxed);
    if (is_newest_end(arena, run)) {
        /* Its end moves with every growth: entries there would touch every page of the map. */
        map_start(np_window_find(run->start), run);
        arena->top = run;
    } else {
        np_run_map(run);
        np_filed_insert(run->resident_count > 0 ? &arena->warm : &arena->cold, &run->node);
    }
}

static void unfile(struct np_arena *arena, struct np_run *run)
{
    if (arena->top == run)
        arena->top = NULL;
    else
        np_filed_remove(run->resident_count > 0 ? &arena->warm : &arena->cold, &run->node);
}

void np_run_unfile(struct np_arena *arena, struct np_run *run)
{
    unfile(arena, run);
    uncount_free(arena, run);
}

/* Stretches of an arena may touch by chance; runs do not join across. They begin at a window, except where so
 * little could be reserved that has_odd_stretches says to look every time. */
bool np_run_is_stretch_start(const struct np_arena *arena, uintptr_t address)
{
    if (NP_LIKELY(address % NP_WINDOW_BYTES != 0 && !arena->has_odd_stretches))
        return false;
    for (const struct np_stretch *stretch = arena->stretches; stretch != NULL;
         stretch = stretch->next)
        if (stretch->start == address)
            return true;
    return false;
}

/* Relaxed: a map entry that was left over may lead to a record that another arena has now, and writes. */
static bool is_free_run_of(const struct np_run *run, const struct np_arena *arena)
{
    return run != NULL && NP_OWNER_GET(run->arena) == arena &&
           atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_FREE;
}

/* Map entries inside a run may be left over from runs that were joined into it, so an entry counts only if its run
 * does have its edge there. */
static struct np_run *free_run_before(const struct np_arena *arena, uintptr_t address)
{
    struct np_run *run;

    /* Before the look at the top, which may end where an older stretch begins. */
    if (np_run_is_stretch_start(arena, address))
        return NULL;
    if (arena->top != NULL && np_run_end(arena->top) == address)
        return arena->top;
    run = np_run_at_edge(address - NP_GRANULE_BYTES);
    return is_free_run_of(run, arena) && np_run_end(run) == address ? run : NULL;
}

struct np_run *np_run_free_after(const struct np_arena *arena, uintptr_t address)
{
    struct np_run *run =
        np_run_is_stretch_start(arena, address) ? NULL : np_run_at_edge(address);

    return is_free_run_of(run, arena) && run->start == address ? run : NULL;
}

/* Joins two unfiled runs, the first directly before the second, into the first. */
static struct np_run *join(struct np_run *first, struct np_run *second)
{
    uint32_t shift = first->granule_count;
    size_t page_granules = np_os_page_bytes() >> NP_GRANULE_SHIFT;

    first->granule_count += second->granule_count;
    if (page_granules > 1) {
        /* A system page that both had a part of may have become whole. */
        size_t from = first->resident_count > 0 ? first->resident_from : shift;
        size_t to = second->resident_count > 0 ? shift + second->resident_to : shift;

        from = np_min(from, shift > page_granules ? shift - page_granules : 0);
        to = np_min(np_max(to, shift + page_granules), first->granule_count);
        np_run_recount(first, from, to);
        first->is_refused = false;
    } else if (second->resident_count > 0) {
        /* Worth another try as soon as some of it is. */
        first->is_refused =
            second->is_refused && (first->is_refused || first->resident_count == 0);
        if (first->resident_count == 0)
            first->resident_from = shift + second->resident_from;
        first->resident_to = shift + second->resident_to;
        first->resident_count += second->resident_count;
    }
    give_record(first->arena, second);
    return first;
}

/* Files a run of which so many granules are counted as retained, and as free, already. */
static struct np_run *file_counted(struct np_arena *arena, struct np_run *run, size_t retained,
                                   size_t free)
{
    struct np_run *before;
    struct np_run *after;

    /* A kept run that is joined to it makes all of it count as retained (R7). That is for who gives a run back, and looks
     * then whether it is too much; not for who files kept runs and does not look. */
    if (NP_UNLIKELY(run->is_refused && !arena->has_refused)) {
        arena->has_refused = true;
        np_kept_file_all(arena);
    }
    before = free_run_before(arena, run->start);
    after = np_run_free_after(arena, np_run_end(run));
    if (before != NULL) {
        retained += retained_count(before);
        free += before->granule_count;
        unfile(arena, before);
        run = join(before, run);
    }
    if (after != NULL) {
        retained += retained_count(after);
        free += after->granule_count;
        unfile(arena, after);
        run = join(run, after);
    }
    file(arena, run);
    np_run_count_free(arena, retained_count(run) - retained, run->granule_count - free);
    return run;
}

struct np_run *np_run_file(struct np_arena *arena, struct np_run *run)
{
    return file_counted(arena, run, 0, 0);
}

void np_run_append(struct np_arena *arena, uintptr_t start, uintptr_t end, struct np_run *record)
{
    arena->stretches->end = end;
    record->start = start;
    record->granule_count = (uint32_t)((end - start) >> NP_GRANULE_SHIFT);
    record->resident_count = 0;
    record->resident_from = 0;
    record->resident_to = 0;
    record->is_refused = false;
    NP_OWNER_SET(record->arena, arena);
    np_run_file(arena, record);
}

static uintptr_t aligned_start(const struct np_run *run, size_t alignment_bytes)
{
    return np_align_up(run->start, alignment_bytes);
}

static bool fits(const struct np_run *run, size_t granule_count, size_t alignment_bytes)
{
    uintptr_t lead = (aligned_start(run, alignment_bytes) - run->start) >> NP_GRANULE_SHIFT;

    return lead + granule_count <= run->granule_count;
}

static struct np_run *best_fit(const struct np_filed *filed, size_t granule_count,
                               size_t alignment_bytes)
{
    struct np_tree_node *node = np_filed_first_from(filed, np_filed_key(granule_count));

    for (unsigned tries = 0; node != NULL && tries < ALIGNED_TRIES; tries++) {
        if (fits((struct np_run *)node, granule_count, alignment_bytes))
            return (struct np_run *)node;
        node = np_filed_first_from(filed, node->key + 1);
    }
    if (node == NULL)
        return NULL;
    granule_count += (alignment_bytes >> NP_GRANULE_SHIFT) - 1;
    return (struct np_run *)np_filed_first_from(filed, np_filed_key(granule_count));
}

static bool is_kept(const struct np_run *run)
{
    return atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_KEPT;
}

/* The kept run of this length that came last, or of the next length that there is; or NULL. */
static struct np_run *kept_from(const struct np_arena *arena, size_t granule_count)
{
    uint64_t lengths;

    if (granule_count > NP_KEPT_MAX_GRANULES)
        return NULL;
    lengths = np_kept_lengths(arena) >> (granule_count - 1);
    return lengths != 0 ? arena->kept[granule_count + (unsigned)__builtin_ctzll(lengths)] : NULL;
}

/* Memory that is there already is worth a quarter of slack, no more: larger pieces are kept whole. */
static bool is_near(const struct np_run *run, size_t granule_count)
{
    return run != NULL && run->granule_count <= granule_count + granule_count / 4;
}

/* The best of those with memory, the top left out. Kept runs are joined to what lies beside them only when no run with
 * memory is long enough as it is: cutting a kept one is as good as cutting a filed one, or cutting a filed one that is much
 * too long, and the others stay what they are wanted for. */
static struct np_run *choose_warm(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    struct np_run *warm = best_fit(&arena->warm, granule_count, alignment_bytes);
    struct np_run *kept;

    if (np_kept_lengths(arena) == 0 || is_near(warm, granule_count))
        return warm;
    kept = kept_from(arena, granule_count);
    if (kept != NULL && fits(kept, granule_count, alignment_bytes))
        return kept;
    if (warm != NULL ||
        arena->kept_granules < np_min(JOINED_FROM_TIMES * granule_count, JOINED_FROM_GRANULES))
        return warm;
    np_kept_file_all(arena);
    return best_fit(&arena->warm, granule_count, alignment_bytes);
}

static struct np_run *choose(struct np_arena *arena, size_t granule_count, size_t alignment_bytes)
{
    struct np_run *warm = choose_warm(arena, granule_count, alignment_bytes);
    struct np_run *cold;

    if (warm != NULL && is_kept(warm))
        return warm;
    cold = best_fit(&arena->cold, granule_count, alignment_bytes);
    if (warm != NULL && (cold == NULL || is_near(warm, cold->granule_count)))
        return warm;
    if (cold != NULL)
        return cold;
    if (arena->top != NULL && fits(arena->top, granule_count, alignment_bytes))
        return arena->top;
    if (np_kept_lengths(arena) == 0)
        return NULL;
    np_kept_file_all(arena); /* few as they are, there is nothing else */
    return choose(arena, granule_count, alignment_bytes);
}

/* Cuts an unfiled run after granule_count granules; tail is a record for the rest. */
static void cut(struct np_run *run, size_t granule_count, struct np_run *tail)
{
    size_t box_from = run->resident_from;
    size_t box_to = run->resident_to;
    size_t total = run->granule_count;

    tail->start = run->start + (granule_count << NP_GRANULE_SHIFT);
    tail->granule_count = (uint32_t)(total - granule_count);
    NP_OWNER_SET(tail->arena, run->arena);
    tail->is_refused = run->is_refused;
    run->granule_count = (uint32_t)granule_count;
    if (np_os_page_bytes() == NP_GRANULE_BYTES) {
        /* The head is what was asked for, mostly: counting it is cheap, the tail's count follows. */
        uint32_t count = run->resident_count;

        if (count == total)
            run->resident_count = run->resident_to = run->granule_count;
        else
            np_run_recount(run, np_min(box_from, granule_count), np_min(box_to, granule_count));
        tail->resident_count = count - run->resident_count;
        tail->resident_from =
            tail->resident_count > 0 ? (uint32_t)(np_max(box_from, granule_count) - granule_count) : 0;
        tail->resident_to = tail->resident_count > 0 ? (uint32_t)(box_to - granule_count) : 0;
        tail->is_refused &= tail->resident_count > 0;
        return;
    }
    np_run_recount(run, 0, granule_count);
    np_run_recount(tail, 0, total - granule_count);
}

/* Files what is left of a free run, or keeps it, if that was kept: it may lie beside another free one.
 * It stays counted. */
static void file_rest(struct np_arena *arena, struct np_run *rest, bool was_kept)
{
    if (!was_kept) {
        file(arena, rest);
        return;
    }
    np_run_map(rest);
    rest->lent.cleared = 0;
    if (!np_kept_add(arena, rest, SIZE_MAX)) {
        np_kept_note_freed(rest, rest->granule_count);
        (void)file_counted(arena, rest, retained_count(rest), rest->granule_count);
    }
}

/* Lends granules of a free run that they fit in. NULL: no memory for records. */
static struct np_run *carve_from(struct np_arena *arena, struct np_run *run, size_t granule_count,
                                 size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *own = NULL;  /* the record of what is lent, if it does not begin where the free run does */
    struct np_run *rest = NULL; /* of what stays free behind it */
    uintptr_t start = aligned_start(run, alignment_bytes);
    uintptr_t end = start + (granule_count << NP_GRANULE_SHIFT);
    bool was_kept = is_kept(run);
    size_t retained = retained_count(run); /* of it, what is not any more afterwards */
    bool is_in_flow;

    if (start > run->start && (own = take_record(arena, start)) == NULL)
        return NULL;
    if (end < np_run_end(run) && (rest = take_record(arena, end)) == NULL) {
        /* Records that lie in windows are there always: so rather more is lent, up to where one may begin. */
        end = np_min(np_align_up(end, NP_UNIT_BYTES), np_run_end(run));
        granule_count = (end - start) >> NP_GRANULE_SHIFT;
        if (end < np_run_end(run))
            rest = take_record(arena, end);
    }
    if (was_kept)
        (void)np_kept_remove(arena, run->granule_count, NP_GRANULE_BYTES);
    else
        unfile(arena, run);
    is_in_flow = !was_kept || run->is_in_flow;
    if (own != NULL) {
        struct np_run *before = run;

        run = own;
        cut(before, (start - before->start) >> NP_GRANULE_SHIFT, run);
        retained -= retained_count(before);
        file_rest(arena, before, was_kept);
    }
    if (rest != NULL) {
        cut(run, granule_count, rest);
        rest->is_in_flow = is_in_flow;
        retained -= retained_count(rest);
        file_rest(arena, rest, was_kept);
    }
    np_run_count_free(arena, (size_t)0 - retained, (size_t)0 - granule_count);
    /* Lent runs count every resident granule, also on system pages shared with neighbours: this is
     * what tells zero memory from used. */
    if (run->resident_count < granule_count)
        run->resident_count = (uint32_t)np_run_count_resident(
            run, 0, np_os_page_bytes() > NP_GRANULE_BYTES ? granule_count : run->resident_to);
    run->is_in_flow = is_in_flow;
    np_run_map(run);
    np_run_lend(arena, run, state);
    return run;
}

struct np_run *np_run_carve(struct np_arena *arena, size_t granule_count, size_t alignment_bytes,
                            enum np_run_state state)
{
    struct np_run *run = choose(arena, granule_count, alignment_bytes);

    return run != NULL ? carve_from(arena, run, granule_count, alignment_bytes, state) : NULL;
}

struct np_run *np_run_carve_warm(struct np_arena *arena, size_t granule_count,
                                 size_t alignment_bytes, enum np_run_state state)
{
    struct np_run *run = choose_warm(arena, granule_count, alignment_bytes);

    if (run == NULL && arena->top != NULL && arena->top->resident_count >= granule_count &&
        fits(arena->top, granule_count, alignment_bytes))
        run = arena->top;
    return run != NULL ? carve_from(arena, run, granule_count, alignment_bytes, state) : NULL;
}

/* In touched_count, which has 28 bits, of a deferred run that np_run_retained_most has in it. */
#define POSTED (UINT32_C(1) << 31)

/* From first to last, which are linked. */
static void push_deferred(struct np_arena *arena, struct np_run *first, struct np_run *last)
{
    struct np_run *head = atomic_load_explicit(&arena->deferred, memory_order_relaxed);

    do
        last->node.left = head != NULL ? &head->node : NULL;
    while (!atomic_compare_exchange_weak_explicit(&arena->deferred, &head, first,
                                                  memory_order_release, memory_order_relaxed));
}

/* Should a fork begin just now, it files what is on the list at its end. */
void np_run_post(struct np_run *run, size_t touched_count)
{
    /* Before anybody can take it off; and before its giver asks whether too much is retained. */
    atomic_fetch_add_explicit(&np_run_retained_most, run->granule_count, memory_order_relaxed);
    run->touched_count = (uint32_t)touched_count | POSTED;
    push_deferred(run->arena, run, run);
}

void np_run_defer(struct np_run *run, size_t touched_count)
{
    struct np_arena *arena = run->arena;

    run->touched_count = (uint32_t)touched_count;
    push_deferred(arena, run, run);
    /* The fork may have looked at the list just before. The fences here and in np_run_settle_deferred keep each side's
     * look behind its own store: one of the two sees the other's. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!np_lock_is_held_for_fork(&arena->lock))
        np_run_settle_deferred(arena);
}

NP_COLD void np_run_part_deferred(struct np_arena *arena)
{
    /* acquire as in np_run_take_over_deferred. */
    arena->deferred_at_fork = atomic_exchange_explicit(&arena->deferred, NULL, memory_order_acquire);
}

NP_COLD void np_run_join_deferred(struct np_arena *arena, enum np_fork_phase phase)
{
    struct np_run *first = arena->deferred_at_fork;
    struct np_run *last = first;

    if (phase == NP_FORK_CHILD)
        atomic_store(&arena->deferred, NULL); /* may have been half pushed: lost to the child */
    if (first == NULL)
        return;
    while (last->node.left != NULL)
        last = (struct np_run *)last->node.left;
    push_deferred(arena, first, last);
}

NP_COLD size_t np_run_posted_granules(const struct np_arena *arena)
{
    size_t posted = 0;

    for (const struct np_run *run = atomic_load(&arena->deferred); run != NULL;
         run = (const struct np_run *)run->node.left)
        posted += (run->touched_count & POSTED) != 0 ? run->granule_count : 0;
    return posted;
}

/* The list is only pushed to and taken whole, so no push can be fooled by a head that went and came back. */
NP_COLD void np_run_take_over_deferred(struct np_arena *arena, size_t most_kept_granules)
{
    struct np_run *run;
    size_t posted = 0;

    atomic_store_explicit(&arena->is_filing_deferred, true, memory_order_relaxed);
    /* acquire pairs with the release in push_deferred; release with the acquire in np_run_settle_deferred: who finds the
     * list empty sees that its runs are being filed, and waits for the lock. */
    run = atomic_exchange_explicit(&arena->deferred, NULL, memory_order_acq_rel);

    while (run != NULL) {
        struct np_run *next = (struct np_run *)run->node.left;
        size_t touched_count = run->touched_count & ~POSTED;
        bool was_lent = run->is_counted;

        if ((run->touched_count & POSTED) != 0)
            posted += run->granule_count;
        np_run_count_given(run);
        np_run_mark_touched(run, touched_count);
        if (!was_lent || !np_kept_try(arena, run, most_kept_granules)) {
            if (was_lent)
                np_kept_note_freed(run, touched_count);
            np_run_file(arena, run);
        }
        run = next;
    }
    /* Not before the arena has told what it retains now (R13). */
    if (posted != 0)
        atomic_fetch_sub_explicit(&np_run_retained_most, posted, memory_order_relaxed);
    atomic_store_explicit(&arena->is_filing_deferred, false, memory_order_release);
}

void np_run_settle_deferred(struct np_arena *arena)
{
    atomic_thread_fence(memory_order_seq_cst);
    if ((atomic_load_explicit(&arena->deferred, memory_order_acquire) == NULL &&
         !atomic_load_explicit(&arena->is_filing_deferred, memory_order_acquire)) ||
        !np_lock_acquire(&arena->lock))
        return;
    if (np_run_has_deferred(arena))
        np_run_take_over_deferred(arena, 0);
    np_lock_release(&arena->lock);
}

void np_kept_file_all(struct np_arena *arena)
{
    struct np_run *run;
    size_t noted = 0;

    while ((run = kept_from(arena, 1)) != NULL) {
        (void)np_kept_remove(arena, run->granule_count, NP_GRANULE_BYTES);
        noted += run->is_in_flow ? 0 : run->granule_count;
        (void)file_counted(arena, run, run->granule_count, run->granule_count);
    }
    if (noted != 0)
        np_returned_note_freed(noted << NP_GRANULE_SHIFT);
}

struct np_run *np_kept_free_after(struct np_arena *arena, uintptr_t address)
{
    const struct np_run *run = np_run_at_edge(address);

    if (run != NULL && run->arena == arena &&
        atomic_load_explicit(&run->state, memory_order_relaxed) == NP_RUN_KEPT)
        np_kept_file_all(arena);
    return np_run_free_after(arena, address);
}
