/* How memory of free runs goes back to the system. When it does is decided in heap/return.c.
 *
 * The largest free runs with memory behind them are taken out of their arena (NP_RUN_BUSY), purged without any lock,
 * and filed again. The end of the main arena goes back by sbrk, address space and all, under the lock of the break.
 *
 * Nothing is purged twice: the resident bits say what has memory, and a bit is cleared only after
 * the kernel has taken the page.
 */
#include "bits.h"
#include "check.h"
#include "grow.h"
#include "kept.h"
#include "os.h"
#include "returned.h"
#include "run.h"
#include "thrash.h"
#include "tune.h"
#include "window.h"

static struct np_thrash thrash;

/* Runs that are being purged: free, and nobody can have them. Raised under the lock under which they are taken out, so
 * whoever has looked for them in vain sees it; lowered, with release, after they are filed: whoever then reads less, with
 * acquire, finds them. A child of fork may have it too high for ever, so nobody waits without an end. */
static _Atomic size_t busy_count;
static _Atomic size_t outstanding_granules; /* returned, and not taken back since */
/* Those of them that a call has returned, not the threshold, as far as they have not been taken back: they count as the
 * first to be. Relaxed, a sum as the one above; one may be ahead of the other for a moment, which a refault more or less in
 * the thrash controller is all there is of. */
static _Atomic size_t asked_granules;
static _Atomic size_t mapped_bytes;         /* live in mappings of their own */
static _Atomic size_t room_granules;        /* R12 */

size_t np_arena_retained_bytes(void)
{
    size_t granules = 0;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        granules += atomic_load_explicit(&arena->retained_granules, memory_order_relaxed);
    return granules << NP_GRANULE_SHIFT;
}

size_t np_arena_retained_most_bytes(void)
{
    return atomic_load_explicit(&np_run_retained_most, memory_order_relaxed) << NP_GRANULE_SHIFT;
}

void np_run_set_room(struct np_run *run, size_t granule_count)
{
    if (NP_LIKELY(granule_count == run->room_count))
        return;
    atomic_fetch_add_explicit(&room_granules, granule_count - run->room_count, memory_order_relaxed);
    run->room_count = (uint32_t)granule_count;
}

size_t np_arena_lent_bytes(void)
{
    size_t room_bytes = atomic_load_explicit(&room_granules, memory_order_relaxed)
                        << NP_GRANULE_SHIFT;
    size_t bytes = 0;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        size_t free_bytes = atomic_load_explicit(&arena->free_granules, memory_order_relaxed)
                            << NP_GRANULE_SHIFT;
        size_t system_bytes = atomic_load_explicit(&arena->system_bytes, memory_order_relaxed);

        bytes += system_bytes > free_bytes ? system_bytes - free_bytes : 0;
    }
    return bytes - np_min(bytes, room_bytes);
}

size_t np_arena_used_bytes(void)
{
    return np_arena_lent_bytes() + atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

static void note(enum np_return_way way, size_t granules, size_t calls, uint64_t since_ns)
{
    uint64_t spent_ns = np_os_fine_ns() - since_ns;

    atomic_fetch_add_explicit(&outstanding_granules, granules, memory_order_relaxed);
    np_returned_note(way, granules << NP_GRANULE_SHIFT, calls, spent_ns);
    np_thrash_note_return(&thrash, granules, spent_ns);
}

void np_arena_note_populated(size_t granules, uint64_t since_ns)
{
    np_thrash_note_fault(&thrash, granules, np_os_fine_ns() - since_ns);
}

void np_arena_note_mapped(size_t more_bytes, size_t less_bytes)
{
    atomic_fetch_add_explicit(&mapped_bytes, more_bytes - less_bytes, memory_order_relaxed);
}

void np_arena_note_unmapped(size_t bytes)
{
    if (np_tune_is_dynamic()) /* otherwise it will be a mapping again, allowance or not */
        atomic_fetch_add_explicit(&outstanding_granules, bytes >> NP_GRANULE_SHIFT,
                                  memory_order_relaxed);
}

size_t np_arena_outstanding_bytes(void)
{
    return atomic_load_explicit(&outstanding_granules, memory_order_relaxed) << NP_GRANULE_SHIFT;
}

static size_t with_mapped(size_t live_bytes)
{
    return live_bytes + atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

void np_arena_note_asked(size_t bytes)
{
    size_t old = atomic_load_explicit(&asked_granules, memory_order_relaxed);
    size_t most = atomic_load_explicit(&outstanding_granules, memory_order_relaxed);

    /* Two that ask at once each say what both have returned. */
    while (!atomic_compare_exchange_weak_explicit(
        &asked_granules, &old, np_min(old + (bytes >> NP_GRANULE_SHIFT), most),
        memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Takes up to so many off a sum; returns how many. */
static size_t take_off(_Atomic size_t *sum, size_t most)
{
    size_t old = atomic_load_explicit(sum, memory_order_relaxed);
    size_t taken;

    do {
        taken = np_min(old, most);
    } while (taken > 0 &&
             !atomic_compare_exchange_weak_explicit(sum, &old, old - taken, memory_order_relaxed,
                                                    memory_order_relaxed));
    return taken;
}

void np_arena_note_taken(size_t granules, size_t live_bytes, size_t retained_bytes)
{
    size_t back = take_off(&outstanding_granules, granules);

    if (back == 0)
        return;
    np_returned_note_refault(back << NP_GRANULE_SHIFT);
    back -= take_off(&asked_granules, back);
    np_thrash_refault(&thrash, back, with_mapped(live_bytes) >> NP_GRANULE_SHIFT,
                      retained_bytes >> NP_GRANULE_SHIFT, np_os_coarse_ns());
}

/* What was said to be retained at the last look, and when that was. Relaxed hints: of two threads that find a look due both
 * look, or one reads half of what the other has stored and looks once more, or 4 ms later. */
static _Alignas(NP_CACHE_LINE_BYTES) _Atomic size_t looked_at_bytes;
static _Atomic uint64_t looked_at_ns;

#define LOOK_STEP_BYTES ((size_t)64 << 10)

/* Or this part of the allowance: what was retained is compared with an eighth and a half of it (thrash.c). */
#define LOOK_SHARE 32

/* The clock is asked once in so many calls of a thread: it takes as long as the rest of the question together. */
#define LOOK_CALLS 16

bool np_arena_is_look_due(size_t retained_bytes)
{
    static NP_THREAD_LOCAL unsigned call_count;
    size_t step_bytes = np_max(LOOK_STEP_BYTES, np_arena_allowance_bytes() / LOOK_SHARE);
    size_t since_bytes =
        retained_bytes - atomic_load_explicit(&looked_at_bytes, memory_order_relaxed);
    bool is_far = since_bytes + step_bytes > 2 * step_bytes;
    uint64_t now_ns;

    if (NP_LIKELY(!is_far && ++call_count % LOOK_CALLS != 0))
        return false;
    now_ns = np_os_coarse_ns();
    if (NP_LIKELY(!is_far && now_ns == atomic_load_explicit(&looked_at_ns, memory_order_relaxed)))
        return false;
    atomic_store_explicit(&looked_at_bytes, retained_bytes, memory_order_relaxed);
    atomic_store_explicit(&looked_at_ns, now_ns, memory_order_relaxed);
    return true;
}

void np_arena_look_at_allowance(size_t live_bytes, size_t retained_bytes)
{
    np_thrash_look(&thrash, with_mapped(live_bytes) >> NP_GRANULE_SHIFT, retained_bytes >> NP_GRANULE_SHIFT,
                   np_os_coarse_ns());
}

size_t np_arena_allowance_bytes(void)
{
    return np_thrash_allowance_pages(&thrash) << NP_GRANULE_SHIFT;
}

void np_arena_limit_allowance(size_t bytes)
{
    np_arena_settle_deferred(); /* it may be that nobody frees any more, who would do it */
    np_thrash_limit(&thrash, bytes >> NP_GRANULE_SHIFT);
}

uint64_t np_arena_epoch_ns(void)
{
    return np_thrash_epoch_ns(&thrash);
}

size_t np_arena_purge_ranges(struct np_range *ranges, size_t count)
{
    uint64_t since_ns;
    size_t calls = 0;
    size_t bytes = 0;

    np_arena_forbid_huge_pages();
    since_ns = np_os_fine_ns();
    for (size_t at = 0; at < count;) {
        size_t gone = np_os_purge_ranges(ranges + at, count - at, &calls); /* > 0, or one is refused */

        for (size_t end = at + gone; at < end; at++)
            bytes += ranges[at].bytes;
        if (at < count)
            ranges[at++].bytes = 0; /* locked memory: it stays resident, and says so */
    }
    note(NP_RETURN_PURGE, bytes >> NP_GRANULE_SHIFT, calls, since_ns);
    return bytes >> NP_GRANULE_SHIFT;
}

/* Takes an unfiled run out of circulation for as long as its taker is at work on it without the lock. */
static void set_busy(struct np_run *run)
{
    atomic_store_explicit(&run->state, NP_RUN_BUSY, memory_order_relaxed);
    np_run_map(run); /* it may have been the top, and not be it when it comes back */
}

/* Of the shares of bookkeeping in [from, to), inside a free run, those that come first of whose granules none is
 * resident; empty if there are none. */
static struct np_range cold_shares(const struct np_run *run, uintptr_t from, uintptr_t to)
{
    size_t share = np_window_share_bytes();
    size_t share_granules = share >> NP_GRANULE_SHIFT;
    uintptr_t at;

    for (at = from; at < to; at += share) {
        size_t granule = (at - run->start) >> NP_GRANULE_SHIFT;

        if (np_run_count_resident(run, granule, granule + share_granules) == 0)
            continue;
        if (at > from)
            break;
        from = at + share;
    }
    return (struct np_range){(void *)from, at - from};
}

/* Gives back the bookkeeping of the shares that overlap [from, to) granules, lie inside the run without
 * its first and last granule, and have nothing resident any more. */
static void purge_records_around(const struct np_run *run, size_t from, size_t to)
{
    size_t share = np_window_share_bytes();
    uintptr_t first = np_align_up(run->start + NP_GRANULE_BYTES, share);
    uintptr_t last = np_align_down(np_run_end(run) - NP_GRANULE_BYTES, share);
    /* The share beside it, too, where it begins or ends with one: that was an edge until the runs were joined. */
    uintptr_t at = np_align_down(run->start + (from << NP_GRANULE_SHIFT) - NP_GRANULE_BYTES, share);
    uintptr_t stop = np_align_up(run->start + (to << NP_GRANULE_SHIFT) + NP_GRANULE_BYTES, share);

    for (at = np_max(at, first), stop = np_min(stop, last); at < stop;) {
        struct np_range cold = cold_shares(run, at, stop);

        at = (uintptr_t)cold.address + cold.bytes;
        np_window_purge_records((uintptr_t)cold.address, at);
    }
}

/* Of a free run into which [start, end) has just been joined: the shares of bookkeeping at the two ends of that piece
 * that lie inside the run without its first and last granule, and whose granules are all cold. Those that had memory
 * give their bookkeeping back when they are purged, as do those inside the piece; these came cold, slab by slab. */
static void stale_shares(const struct np_run *run, uintptr_t start, uintptr_t end,
                         struct np_range stale[2])
{
    size_t share = np_window_share_bytes();
    uintptr_t first = np_max(np_align_down(start - NP_GRANULE_BYTES, share),
                             np_align_up(run->start + NP_GRANULE_BYTES, share));
    uintptr_t last = np_min(np_align_up(end + NP_GRANULE_BYTES, share),
                            np_align_down(np_run_end(run) - NP_GRANULE_BYTES, share));
    uintptr_t low_end = np_max(first, np_align_up(start + NP_GRANULE_BYTES, share));

    stale[0] = cold_shares(run, first, np_min(low_end, last));
    stale[1] = cold_shares(run, np_max(low_end, np_align_down(end - NP_GRANULE_BYTES, share)), last);
}

void np_run_file_and_release(struct np_arena *arena, struct np_run *run)
{
    uintptr_t start = run->start;
    uintptr_t end = np_run_end(run);
    struct np_range stale[2];

    run = np_run_file(arena, run);
    stale_shares(run, start, end, stale);
    if (NP_LIKELY(stale[0].bytes == 0 && stale[1].bytes == 0)) {
        np_lock_release(&arena->lock);
        return;
    }
    np_run_unfile(arena, run);
    set_busy(run);
    np_lock_release(&arena->lock);
    for (unsigned at = 0; at < 2; at++)
        np_window_purge_records((uintptr_t)stale[at].address,
                                (uintptr_t)stale[at].address + stale[at].bytes);
    if (!np_lock_acquire(&arena->lock)) {
        np_run_defer(run, 0);
        return;
    }
    (void)np_run_file(arena, run);
    np_lock_release(&arena->lock);
}

/* The end of the highest system page with a resident granule in [floor, to), or floor; pages are counted from `to`. */
static size_t skip_cold(const struct np_run *run, size_t floor, size_t to, size_t page)
{
    size_t at = to;

    while (at > floor) {
        uintptr_t granule = (run->start >> NP_GRANULE_SHIFT) + at - 1;
        const struct np_window *window = np_window_find(granule << NP_GRANULE_SHIFT);
        size_t index = granule % NP_WINDOW_GRANULES;
        /* Of the word that has the granule, the bits up to its own, on top. */
        uint64_t bits = atomic_load_explicit(&window->resident[index / 64], memory_order_relaxed)
                        << (63 - index % 64);

        if (bits != 0) {
            at -= np_min(at - floor, (size_t)__builtin_clzll(bits));
            break;
        }
        at -= np_min(at - floor, index % 64 + 1);
    }
    return to - np_align_down(to - at, page);
}

/* Runs that are purged together: many small ones, such as slabs leave behind, cost one call. */
#define BATCH_RUNS 64

/* Stretches of busy runs on their way to the system, of each run from high ones to low ones. Ranges that are of no run may
 * go in the same call; they come first. */
#define BATCH_RANGES NP_RUN_RANGES

struct batch {
    size_t gone; /* granules */
    size_t bytes;
    unsigned run_count;
    unsigned range_count;
    unsigned foreign_count; /* ranges that are of no run */
    unsigned range_max;
    struct np_range *ranges;
    struct np_run *runs[BATCH_RUNS];
    size_t refused_end[BATCH_RUNS]; /* of the highest that was refused, in granules from the run's start; 0: none */
    uint8_t owners[BATCH_RANGES]; /* the run of each range that is of one */
};

static void purge_batch(struct batch *batch)
{
    struct np_range *ranges = batch->ranges + batch->foreign_count;
    unsigned count = batch->range_count - batch->foreign_count;
    size_t ends[BATCH_RANGES]; /* a refused range loses its length */

    if (batch->range_count == 0)
        return;
    for (unsigned at = 0; at < count; at++)
        ends[at] = (uintptr_t)ranges[at].address + ranges[at].bytes;
    batch->gone += np_arena_purge_ranges(batch->ranges, batch->range_count);
    for (unsigned at = 0; at < count; at++) {
        struct np_run *run = batch->runs[batch->owners[at]];
        size_t *refused_end = &batch->refused_end[batch->owners[at]];
        size_t from = ((uintptr_t)ranges[at].address - run->start) >> NP_GRANULE_SHIFT;
        size_t end = (ends[at] - run->start) >> NP_GRANULE_SHIFT;

        if (ranges[at].bytes == 0) {
            *refused_end = np_max(*refused_end, end);
            continue;
        }
        np_run_clear_resident(run, from, end);
        purge_records_around(run, from, end);
    }
    /* What has become of others' ranges is for them to see. */
    batch->ranges = ranges;
    batch->range_max -= batch->foreign_count;
    batch->foreign_count = 0;
    batch->range_count = 0;
    batch->bytes = 0;
}

/* Adds the whole system pages in [from, to) granules of the batch's last run. */
static void add_to_batch(struct batch *batch, size_t from, size_t to)
{
    unsigned owner = batch->run_count - 1;
    uintptr_t run_start = batch->runs[owner]->start;
    size_t page_bytes = np_os_page_bytes();
    uintptr_t start = np_align_up(run_start + (from << NP_GRANULE_SHIFT), page_bytes);
    uintptr_t end = np_align_down(run_start + (to << NP_GRANULE_SHIFT), page_bytes);

    while (start < end) {
        size_t bytes = np_min(end - start, NP_PURGE_BATCH_BYTES - batch->bytes);

        end -= bytes;
        batch->owners[batch->range_count - batch->foreign_count] = (uint8_t)owner;
        batch->ranges[batch->range_count++] = (struct np_range){(void *)end, bytes};
        batch->bytes += bytes;
        if (batch->range_count == batch->range_max || batch->bytes >= NP_PURGE_BATCH_BYTES)
            purge_batch(batch);
    }
}

/* Of the batch's last run, which is busy: adds what has memory, from its high end down, since what is low is lent
 * first, until the batch comes to want granules. Returns where it stopped, in granules from the run's start. */
static size_t add_resident(struct batch *batch, size_t want)
{
    const struct np_run *run = batch->runs[batch->run_count - 1];
    size_t page = np_os_page_bytes() >> NP_GRANULE_SHIFT;
    size_t floor = run->resident_from;
    size_t to = run->resident_to;

    while ((to = skip_cold(run, floor, to, page)) > floor) {
        size_t pending = batch->gone + (batch->bytes >> NP_GRANULE_SHIFT);
        size_t from = to - page;
        size_t lowest;

        if (pending >= want) {
            purge_batch(batch);
            if (batch->gone >= want)
                break;
            continue; /* some was refused: more from below */
        }
        lowest = to - np_min(to - floor, want - pending);
        while (from >= lowest + 64 && np_run_count_resident(run, from - 64, from) == 64)
            from -= 64;
        while (from > lowest && np_run_count_resident(run, from - page, from) != 0)
            from -= page;
        add_to_batch(batch, from, to);
        to = from;
    }
    return to;
}

/* Purges what the batch has, and at least want granules with it of busy runs if they have them. The runs' resident fields
 * are right again afterwards. */
static void purge_busy_runs(struct batch *batch, struct np_run **runs, unsigned count, size_t want)
{
    size_t stops[BATCH_RUNS];

    while (batch->run_count < count) {
        unsigned at = batch->run_count++;

        batch->runs[at] = runs[at];
        batch->refused_end[at] = 0;
        stops[at] = add_resident(batch, want);
    }
    purge_batch(batch);
    for (unsigned at = 0; at < count; at++) {
        size_t floor = runs[at]->resident_from;

        runs[at]->is_refused = batch->refused_end[at] != 0 && stops[at] == floor;
        np_run_recount(runs[at], floor, np_max(stops[at], batch->refused_end[at]));
    }
}

/* The largest run with memory that the system has not refused to take. */
static struct np_run *largest_warm(const struct np_arena *arena)
{
    struct np_tree_node *node = np_filed_last(&arena->warm);
    struct np_run *largest = NULL;

    if (NP_LIKELY(node == NULL || !((struct np_run *)node)->is_refused))
        return (struct np_run *)node;
    for (node = np_filed_first_from(&arena->warm, 0); node != NULL;
         node = np_filed_first_from(&arena->warm, node->key + 1))
        if (!((struct np_run *)node)->is_refused)
            largest = (struct np_run *)node;
    return largest;
}

/* The free run with the most memory to give, of the arena's two candidates; the top is none while all it has
 * is the pad that stays. */
static struct np_run *largest_retained(const struct np_arena *arena, size_t top_keep_bytes)
{
    struct np_run *run = largest_warm(arena);
    struct np_run *top = arena->top;

    if (top != NULL && !top->is_refused &&
        (size_t)top->resident_count << NP_GRANULE_SHIFT > top_keep_bytes &&
        (run == NULL || top->resident_count > run->resident_count))
        return top;
    return run;
}

/* Takes the largest free runs with memory that come to want granules together: one, of which a part may be more than
 * is wanted, or several. Returns how many. */
static unsigned take_largest(struct np_arena *arena, size_t want, size_t top_keep_bytes,
                             struct np_run **runs)
{
    size_t granules = 0;
    unsigned count = 0;

    while (count < BATCH_RUNS && granules < want) {
        struct np_run *run = largest_retained(arena, top_keep_bytes);

        if (run == NULL || (count > 0 && run->resident_count > want - granules))
            break;
        granules += run->resident_count;
        np_run_unfile(arena, run);
        set_busy(run);
        runs[count++] = run;
    }
    atomic_fetch_add_explicit(&busy_count, count, memory_order_relaxed);
    return count;
}

/* Files runs again that were taken out of their arenas to be purged. */
static void file_purged(struct np_run **runs, unsigned count)
{
    for (unsigned at = 0; at < count; at++) {
        struct np_arena *arena = runs[at]->arena;

        if (np_lock_acquire(&arena->lock))
            np_run_file_and_release(arena, runs[at]);
        else
            np_run_defer(runs[at], 0);
    }
    atomic_fetch_sub_explicit(&busy_count, count, memory_order_release);
}

/* One round on an arena; adds what went to *gone. False: nothing there to purge. After true, there is
 * less to purge, or a run less to try. */
static bool purge_largest(struct np_arena *arena, size_t want, size_t top_keep_bytes, size_t *gone)
{
    struct np_range ranges[BATCH_RANGES];
    struct batch batch = {.ranges = ranges, .range_max = BATCH_RANGES};
    struct np_run *runs[BATCH_RUNS];
    unsigned count;

    if (!np_lock_acquire(&arena->lock))
        return false;
    if (np_run_has_deferred(arena))
        np_run_take_over_deferred(arena, 0);
    np_kept_file_all(arena);
    count = take_largest(arena, want, top_keep_bytes, runs);
    np_lock_release(&arena->lock);
    if (count == 0)
        return false;
    purge_busy_runs(&batch, runs, count, want);
    *gone += batch.gone;
    file_purged(runs, count);
    return true;
}

/* A free run that a slab leaves behind has at most so many granules with memory, and mostly one or two. */
#define SMALL_RUN_GRANULES NP_UNIT_GRANULES

/* Small runs are not looked for further than this: the tree is in the order of what is free, not of what has memory. */
#define LOOKED_AT_MAX (4 * BATCH_RUNS)

/* Takes small runs with memory out of an arena, at most *granules together, and takes those off. Returns how many. */
static unsigned take_small(struct np_arena *arena, struct np_run **runs, unsigned most, size_t *granules)
{
    struct np_tree_node *next;
    unsigned count = 0;

    if (most == 0 || *granules == 0 ||
        atomic_load_explicit(&arena->retained_granules, memory_order_relaxed) == 0 ||
        !np_lock_acquire(&arena->lock))
        return 0;
    next = np_filed_first_from(&arena->warm, 0);
    for (unsigned looked_at = 0; next != NULL && count < most && looked_at < LOOKED_AT_MAX; looked_at++) {
        struct np_run *run = (struct np_run *)next;

        next = np_filed_first_from(&arena->warm, next->key + 1);
        if (run->is_refused || run->resident_count > np_min(SMALL_RUN_GRANULES, *granules))
            continue;
        *granules -= run->resident_count;
        np_run_unfile(arena, run);
        set_busy(run);
        runs[count++] = run;
    }
    atomic_fetch_add_explicit(&busy_count, count, memory_order_relaxed);
    np_lock_release(&arena->lock);
    return count;
}

size_t np_arena_purge_with_runs(struct np_range *ranges, size_t count, size_t want)
{
    struct batch batch = {.ranges = ranges,
                          .range_count = (unsigned)count,
                          .foreign_count = (unsigned)count,
                          .range_max = (unsigned)count + BATCH_RANGES};
    struct np_run *runs[BATCH_RUNS];
    unsigned run_count = 0;
    size_t granules = np_min(want, NP_PURGE_BATCH_BYTES >> NP_GRANULE_SHIFT);

    for (size_t at = 0; at < count; at++)
        batch.bytes += ranges[at].bytes;
    granules -= np_min(granules, batch.bytes >> NP_GRANULE_SHIFT);
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        run_count += take_small(arena, runs + run_count, BATCH_RUNS - run_count, &granules);
    purge_busy_runs(&batch, runs, run_count, SIZE_MAX);
    file_purged(runs, run_count);
    return batch.gone;
}

bool np_arena_wait_for_returns(void)
{
    if (atomic_load_explicit(&busy_count, memory_order_acquire) == 0)
        return false;
    np_os_pause();
    return true;
}

/* Cuts the top of the main arena so that at least want granules of memory go, if it has them and keep_bytes
 * can stay. Returns the new end, or 0 if there is nothing to cut; adds the granules with memory to *gone. Under both
 * locks. */
static uintptr_t cut_top(struct np_arena *arena, size_t want, size_t keep_bytes, size_t *gone)
{
    struct np_run *top = arena->top;
    size_t page_bytes = np_os_page_bytes();
    uintptr_t cut;
    size_t keep;

    if (top == NULL || arena->stretches->end != np_run_end(top))
        return 0;
    keep = np_align_up(keep_bytes, page_bytes);
    if (want < top->resident_count) {
        /* Memory in the top may lie scattered in its box: down from its end until there is enough. */
        size_t at = top->resident_to;
        size_t count = 0;

        while (count < want && at > top->resident_from) {
            size_t step = np_min(64, at - top->resident_from);

            /* The last steps are pages: who wants little may be in a hurry. */
            if (np_run_count_resident(top, at - step, at) > want - count)
                step = np_min(step, page_bytes >> NP_GRANULE_SHIFT);
            count += np_run_count_resident(top, at - step, at);
            at -= step;
        }
        keep = np_max(keep, at << NP_GRANULE_SHIFT);
    }
    /* The first granule stays, so that the stretch is never empty and the top keeps its record. */
    cut = np_align_up(top->start + np_max(keep, NP_GRANULE_BYTES), page_bytes);
    if (cut >= np_run_end(top))
        return 0;
    np_run_unfile(arena, top);
    *gone += top->resident_count;
    top->granule_count = (uint32_t)((cut - top->start) >> NP_GRANULE_SHIFT);
    np_run_recount(top, top->resident_from, np_min(top->resident_to, top->granule_count));
    *gone -= top->resident_count;
    return cut;
}

/* Gives the end of the main arena back by sbrk. False: nothing went. np_break_lock is held. */
static bool lower_break(struct np_arena *arena, size_t want, size_t keep_bytes, size_t *gone)
{
    size_t gone_before = *gone;
    struct np_run *top;
    uint64_t since_ns;
    uintptr_t old_end;
    uintptr_t cut;
    size_t bytes;

    if (!np_arena_may_move_break() || !np_lock_acquire(&arena->lock))
        return false;
    old_end = arena->stretches->end;
    if (old_end == 0 || (uintptr_t)np_os_break_end() != old_end) {
        if (old_end != 0)
            np_arena_note_foreign_break();
        np_lock_release(&arena->lock);
        return false;
    }
    top = arena->top;
    cut = cut_top(arena, want, keep_bytes, gone);
    if (cut != 0) {
        /* The cut-off part has no run any more; its last map entry must not outlive it. */
        struct np_run whole = {.start = cut,
                               .granule_count = (uint32_t)((old_end - cut) >> NP_GRANULE_SHIFT)};

        if (atomic_load_explicit(np_run_map_entry(old_end - NP_GRANULE_BYTES),
                                 memory_order_relaxed) != NULL)
            atomic_store_explicit(np_run_map_entry(old_end - NP_GRANULE_BYTES), NULL,
                                  memory_order_release);
        np_run_clear_resident(&whole, 0, whole.granule_count);
        arena->stretches->end = cut;
        np_run_file(arena, top);
    }
    np_lock_release(&arena->lock);
    if (cut == 0)
        return false;
    bytes = old_end - cut;
    np_arena_count_system(arena, -(intptr_t)bytes);
    since_ns = np_os_fine_ns();
    if (np_os_break_move(-(intptr_t)bytes) == NULL) {
        bool is_purged = np_os_purge((void *)cut, bytes);

        /* Refused: the addresses stay ours unused, as a gap; the memory can still go. */
        np_arena_note_foreign_break();
        note(NP_RETURN_PURGE, is_purged ? *gone - gone_before : 0, 1, since_ns);
        return is_purged;
    }
    note(NP_RETURN_BREAK, *gone - gone_before, 1, since_ns);
    /* Whole shares only, or each step down would purge the same ones again. */
    np_window_purge_records(np_align_up(cut, np_window_share_bytes()),
                            np_align_up(old_end, np_window_share_bytes()));
    return true;
}

/* Files what is kept, too. */
static bool is_top_largest(struct np_arena *arena)
{
    bool is_top = false;

    if (np_lock_acquire(&arena->lock)) {
        struct np_run *run;

        np_kept_file_all(arena);
        run = largest_retained(arena, 0);

        is_top = run != NULL && run == arena->top;
        np_lock_release(&arena->lock);
    }
    return is_top;
}

bool np_arena_return_some(size_t want_granules, size_t top_keep_bytes, size_t *gone)
{
    struct np_arena *largest = NULL;
    size_t most = 0;

    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next) {
        size_t retained = atomic_load_explicit(&arena->retained_granules, memory_order_relaxed);

        if (retained > most) {
            most = retained;
            largest = arena;
        }
    }
    if (largest == NULL)
        return false;
    if (largest == np_arena_main() && np_arena_may_move_break() && is_top_largest(largest) &&
        np_lock_acquire(&np_break_lock)) {
        bool is_lowered = lower_break(largest, want_granules, top_keep_bytes, gone);

        np_lock_release(&np_break_lock);
        if (is_lowered)
            return true;
    }
    return purge_largest(largest, want_granules, 0, gone);
}

void np_arena_settle_deferred(void)
{
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        np_run_settle_deferred(arena);
}

bool np_arena_trim(size_t pad_bytes)
{
    bool is_any = false;
    size_t gone = 0;

    np_arena_settle_deferred();
    (void)is_top_largest(np_arena_main()); /* the top has all that is free before it then */
    if (np_arena_may_move_break() && np_lock_acquire(&np_break_lock)) {
        is_any = lower_break(np_arena_main(), SIZE_MAX, pad_bytes, &gone);
        np_lock_release(&np_break_lock);
    }
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        while (purge_largest(arena, SIZE_MAX >> 1, arena == np_arena_main() ? pad_bytes : 0, &gone))
            ;
    return is_any || gone > 0;
}
