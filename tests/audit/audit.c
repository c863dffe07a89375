/* See audit.h. The walk collects the runs of all arenas; then each is held against the truth. */
#include "audit.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "alone.h"
#include "arena.h"
#include "bits.h"
#include "core.h"
#include "heap.h"
#include "limits.h"
#include "meta.h"
#include "mxfast.h"
#include "os.h"
#include "return.h"
#include "returned.h"
#include "slab.h"
#include "strict.h"
#include "thrash.h"
#include "thread.h"
#include "truth.h"
#include "tune.h"
#include "window.h"

/* P1's constants. */
#define FLOOR_BYTES    ((size_t)1 << 20)
#define LIVE_SHARE     32
#define CONSTANT_BYTES ((size_t)512 << 10)
#define THREAD_BYTES   ((size_t)1 << 20)
#define PARKED_BYTES   ((size_t)256 << 10)
#define HOMELESS_BYTES ((size_t)128 << 10)
#define SPARE_BYTES    (CONSTANT_BYTES - HOMELESS_BYTES)
#define RESERVED_MAX_BYTES ((size_t)768 << 10)
#define HEAP_RESERVED_MAX_BYTES ((size_t)2 << 20)
#define REFAULT_NS     NP_THRASH_REFAULT_MAX_NS /* what one is counted as is measured */
#define QUARANTINE_COUNT 1088 /* 1,024 slots of up to 1 KiB, 64 above */
#define CREDIT_MIN_NS  9900000 /* 10 ms, and a little for rounding */

enum { RUNS_MAX = 1 << 20, MOMENTS_MAX = 1 << 16, WAITING_MAX = 1 << 14 };

struct audit_limits audit_limits = {
    .thread_count = 1, .thread_bytes = THREAD_BYTES, .idle_bookkeeping_bytes = (size_t)64 << 10};

static struct found_run {
    struct np_run *run;
    uintptr_t start;
    uintptr_t end;
    enum np_run_state state;
} * runs;
static size_t run_count;

static const struct np_heap *homeless_heap;

/* Granules on which slots in quarantine lie. */
static struct granules {
    uintptr_t at[WAITING_MAX];
    size_t count;
} waiting;
static size_t waiting_count; /* of slots */

/* A time, and how much had been taken back by then: P3. */
static struct moment {
    uint64_t at_ns;
    uint64_t refaulted_bytes;
} * moments;
static size_t moment_count;
static bool has_thrashed;

static size_t audit_count;
static size_t most_idle_bytes;
static size_t nearest_bytes = SIZE_MAX;
static struct audit_found nearest;

static const char *audit_where = "";

static void print_found(const struct audit_found *found)
{
    printf("  retained %zu: runs %zu closed %zu open %zu; refused %zu, in quarantine %zu\n"
           "  live %zu threshold %zu (allowance %zu) threads %u\n"
           "  believed %zu, held open %zu by %u heaps, overcharged %zu\n"
           "  bookkeeping %zu, of nothing %zu, pools %zu\n",
           found->retained_bytes, found->run_bytes, found->closed_bytes,
           found->open_bytes, found->refused_bytes, found->waiting_bytes, found->live_bytes,
           found->threshold_bytes,
           found->allowance_bytes, audit_limits.thread_count, found->believed_bytes,
           found->held_open_bytes, found->heap_count, found->overcharged_bytes,
           found->bookkeeping_bytes, found->idle_bookkeeping_bytes, found->pool_bytes);
}

static _Noreturn void fail(const struct audit_found *found, const char *what)
{
    printf("%s, audit %zu:\n", audit_where, audit_count);
    if (found != NULL)
        print_found(found);
    fflush(stdout);
    fprintf(stderr, "audit: %s\n", what);
    _exit(1);
}

#define EXPECT(found, condition, what)                                                             \
    do {                                                                                           \
        if (!(condition))                                                                          \
            fail(found, what);                                                                     \
    } while (0)

static void collect(const struct np_run *run, void *context)
{
    (void)context;
    REQUIRE(run_count < RUNS_MAX);
    runs[run_count++] =
        (struct found_run){(struct np_run *)(uintptr_t)run, run->start,
                           run->start + ((uintptr_t)run->granule_count << NP_GRANULE_SHIFT),
                           (enum np_run_state)atomic_load(&run->state)};
}

static void collect_runs(void)
{
    if (runs == NULL)
        runs = truth_map(RUNS_MAX * sizeof runs[0]);
    run_count = 0;
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        REQUIRE(np_arena_walk(arena, collect, NULL));
}

/* Slots in quarantine. */

static void add_slot(struct granules *granules, const void *slot)
{
    const struct np_slab *slab = np_slab_find((uintptr_t)slot);
    uintptr_t at = np_align_down((uintptr_t)slot, NP_GRANULE_BYTES);

    REQUIRE(slab != NULL);
    for (; at < (uintptr_t)slot + slab->slot_bytes; at += NP_GRANULE_BYTES) {
        REQUIRE(granules->count < WAITING_MAX);
        if (granules->count == 0 || granules->at[granules->count - 1] != at)
            granules->at[granules->count++] = at;
    }
}

static void add_waiting(const void *slot)
{
    add_slot(&waiting, slot);
    waiting_count++;
}

static void collect_waiting(struct audit_found *found)
{
    waiting.count = waiting_count = 0;
    np_strict_walk_quarantine(add_waiting);
    EXPECT(found, waiting_count <= QUARANTINE_COUNT, "A11: too many slots are in quarantine");
}

static bool is_page_among(const struct granules *granules, uintptr_t page)
{
    for (size_t index = 0; index < granules->count; index++)
        if (granules->at[index] - page < np_page_bytes())
            return true;
    return false;
}

/* Heaps. */

static void look_at_heap(const struct np_heap *heap, size_t most_bytes, struct audit_found *found)
{
    const char *fault = np_heap_audit(heap);

    if (fault != NULL)
        fail(found, fault);
    EXPECT(found, heap->open_bytes <= most_bytes || heap->is_beyond_limit,
           "A9: a heap holds too much open");
    found->held_open_bytes += heap->open_bytes;
    found->heap_count++;
}

static void look_at_heaps(struct audit_found *found)
{
    size_t parked_bytes = 0;
    size_t left_bytes = 0; /* by the first thread's heap, to be reserved before the threshold is */

    look_at_heap(homeless_heap, HOMELESS_BYTES, found);
    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next) {
        size_t own_left_bytes = np_heap_left_bytes(heap);

        look_at_heap(heap,
                     (size_t)np_tune_get(NP_KNOB_OPEN_BYTES) - own_left_bytes +
                         heap->reserved_bytes,
                     found);
        left_bytes += own_left_bytes;
        EXPECT(found, heap->reserved_bytes <= HEAP_RESERVED_MAX_BYTES,
               "A9: a heap has reserved too much");
        found->reserved_bytes += heap->reserved_bytes;
        if (atomic_load(&heap->is_parked) != 0)
            parked_bytes += heap->open_bytes;
    }
    EXPECT(found, parked_bytes <= PARKED_BYTES, "A9: parked heaps hold too much open");
    EXPECT(found, left_bytes <= NP_LEFT_BYTES, "A9: two heaps are the first thread's");
    left_bytes += SPARE_BYTES;
    EXPECT(found, found->reserved_bytes <= left_bytes + RESERVED_MAX_BYTES || has_thrashed,
           "A9: heaps have reserved too much");
    found->reserved_bytes += parked_bytes;
    found->reserved_bytes -= np_min(found->reserved_bytes, left_bytes);
    EXPECT(found, found->reserved_bytes <= FLOOR_BYTES || has_thrashed, "A9: too much is reserved");
}

static bool has_open(const struct np_heap *heap, const struct np_slab *slab)
{
    return slab->open_index < heap->open_count && heap->open[slab->open_index] == slab;
}

static bool is_in_heap(const struct np_slab *slab)
{
    const struct np_heap *owner = atomic_load(&slab->owner);

    if (owner != NULL || !np_slab_is_taken(slab))
        return owner != NULL && has_open(owner, slab);
    for (owner = np_thread_heaps(); owner != NULL; owner = owner->next)
        if (has_open(owner, slab))
            return true;
    return false;
}

/* Slabs. */

struct sums {
    size_t charged_granules;
    size_t settled_bytes;
    size_t granules;
};

/* A1 to A3, for the system page at this address of a slab; free_pages: np_slab_free_pages. */
static void look_at_page(const struct np_slab *slab, uint32_t free_pages, uintptr_t page,
                         struct audit_found *found)
{
    unsigned granules = (unsigned)(np_page_bytes() >> NP_GRANULE_SHIFT);
    unsigned index = (unsigned)((page - slab->start) >> NP_GRANULE_SHIFT);
    uint32_t mask = (uint32_t)((UINT64_C(1) << granules) - 1) << index;
    bool is_free = (free_pages & mask) != 0;
    size_t bytes = truth_retained_bytes(page, page + np_page_bytes());

    for (unsigned at = 0; at < granules; at++) {
        uintptr_t granule = page + at * NP_GRANULE_BYTES;

        EXPECT(found, (slab->cold_pages >> (index + at) & 1) == 0 || !truth_is_resident(granule),
               "A1: a cold page is resident");
        EXPECT(found, !is_free || !truth_is_live(granule), "A2: a page with a live block is free");
    }
    if (bytes > 0 && !is_free && is_page_among(&waiting, page)) {
        found->waiting_bytes += bytes;
        return;
    }
    if (np_slab_is_open(slab)) {
        found->open_bytes += bytes;
        return;
    }
    if (bytes > 0 && !is_free) {
        EXPECT(found, slab->is_refused, "A3: a page is retained and not free by its bits");
        found->refused_bytes += bytes;
    } else if (slab->is_refused) {
        found->refused_bytes += bytes;
    } else {
        found->closed_bytes += bytes;
    }
}

static void look_at_slab(const struct np_slab *slab, uintptr_t end, struct sums *sums,
                         struct audit_found *found)
{
    unsigned charged = atomic_load(&slab->charged_count);
    uint32_t free_pages = np_slab_free_pages(slab);
    unsigned free_count = np_bit_count(free_pages);
    bool is_charged = (!np_slab_is_open(slab) || np_slab_is_taken(slab)) && !slab->is_refused &&
                      !np_mxfast_is_held(slab->class_index);
    bool is_by_steps = !np_slab_is_held(slab) && !np_slab_is_taken(slab);

    for (uintptr_t page = slab->start; page < end; page += np_page_bytes())
        look_at_page(slab, free_pages, page, found);
    EXPECT(found, !np_slab_is_open(slab) || is_in_heap(slab) || audit_limits.is_adrift,
           "A8: an open slab is in no heap");
    EXPECT(found, !is_charged || charged >= free_count,
           "A4: a closed slab is charged with less than its free pages");
    EXPECT(found,
           !is_charged || !np_is_alone() || slab->charged_pages == 0 ||
               slab->charged_pages == free_pages,
           "A4: a closed slab is charged with other pages than are free");
    if (!is_by_steps)
        found->overcharged_bytes += (charged - np_min(charged, is_charged ? free_count : 0))
                                    << NP_GRANULE_SHIFT;
    EXPECT(found, !is_in_heap(slab) || slab->settled_count == 0,
           "A5: a slab that a heap owns counts as settled");
    sums->charged_granules += charged;
    sums->settled_bytes += (size_t)slab->settled_count * slab->slot_bytes;
    sums->granules += (end - slab->start) >> NP_GRANULE_SHIFT;
}

/* Runs. */

static void look_at_free_run(const struct found_run *at, struct audit_found *found)
{
    size_t bytes = truth_retained_bytes(at->start, at->end);

    EXPECT(found, bytes <= (size_t)at->run->resident_count << NP_GRANULE_SHIFT,
           "A6: a free run has more memory than it counts");
    *(at->run->is_refused ? &found->refused_bytes : &found->run_bytes) += bytes;
}

static void look_at_runs(struct audit_found *found)
{
    struct sums sums = {0, 0, 0};

    for (const struct found_run *at = runs; at < runs + run_count; at++) {
        switch (at->state) {
        case NP_RUN_FREE:
            look_at_free_run(at, found);
            break;
        case NP_RUN_SLAB:
            look_at_slab(np_slab_find(at->start), at->end, &sums, found);
            break;
        case NP_RUN_MEDIUM:
            EXPECT(found, truth_retained_bytes(at->start, at->end) == 0,
                   "A7: a medium run is not live");
            break;
        default:
            EXPECT(found, audit_limits.is_adrift, "A6: a run is busy while nobody is inside");
            found->run_bytes += truth_retained_bytes(at->start, at->end);
        }
    }
    EXPECT(found, sums.charged_granules == atomic_load(&np_slab_sums.charged_granules),
           "A5: the sum of charges is wrong");
    EXPECT(found, sums.settled_bytes == atomic_load(&np_slab_sums.settled_bytes),
           "A5: the sum of settled bytes is wrong");
    EXPECT(found, sums.granules == atomic_load(&np_slab_sums.granules),
           "A5: the sum of granules is wrong");
}

/* Bookkeeping. */

/* Whether there is anything in the addresses to keep bookkeeping for: memory, as far as neap
 * knows, or the end of a run. */
static bool is_share_used(const struct np_window *window, uintptr_t start, uintptr_t end)
{
    for (const struct found_run *at = runs; at < runs + run_count; at++)
        if (at->start < end && at->end > start &&
            (at->state != NP_RUN_FREE || at->start + NP_GRANULE_BYTES > start ||
             at->end - NP_GRANULE_BYTES < end))
            return true;
    for (size_t at = (start - window->base) >> NP_GRANULE_SHIFT;
         at < (end - window->base) >> NP_GRANULE_SHIFT; at += 64)
        if (atomic_load(&window->resident[at / 64]) != 0)
            return true;
    return false;
}

static size_t resident_of_part(const void *array, size_t from_bytes, size_t to_bytes)
{
    return truth_written_bytes((uintptr_t)array + from_bytes, (uintptr_t)array + to_bytes);
}

/* What is resident of the bookkeeping of [start, end), which is a share of the window's. */
static size_t share_bookkeeping_bytes(const struct np_window *window, uintptr_t start,
                                      uintptr_t end)
{
    size_t from = (start - window->base) >> NP_GRANULE_SHIFT;
    size_t to = (end - window->base) >> NP_GRANULE_SHIFT;
    size_t from_unit = from / NP_UNIT_GRANULES;
    size_t to_unit = to / NP_UNIT_GRANULES;
    size_t bytes =
        resident_of_part(window->runs, from * sizeof window->runs[0], to * sizeof window->runs[0]);

    bytes += resident_of_part(window->records, from_unit << NP_SLAB_RECORD_SHIFT,
                              to_unit << NP_SLAB_RECORD_SHIFT);
    bytes += resident_of_part(window->run_records, from_unit << NP_RUN_RECORD_SHIFT,
                              to_unit << NP_RUN_RECORD_SHIFT);
    for (size_t plane = 0; plane < NP_SLOT_BITS_PLANES; plane++)
        bytes += resident_of_part(window->slot_bits + plane * NP_SLOT_BITS_PLANE_WORDS,
                                  from_unit * NP_SLOT_BITS_WORDS * sizeof(uint64_t),
                                  to_unit * NP_SLOT_BITS_WORDS * sizeof(uint64_t));
    return bytes;
}

static void look_at_bookkeeping(struct audit_found *found)
{
    size_t share = np_window_share_bytes();

    for (const struct np_window *window = np_window_list(); window != NULL; window = window->next) {
        found->bookkeeping_bytes +=
            truth_written_bytes((uintptr_t)window, (uintptr_t)window + window->mapped_bytes);
        for (uintptr_t at = window->base; at < window->base + NP_WINDOW_BYTES; at += share)
            if (!is_share_used(window, at, at + share))
                found->idle_bookkeeping_bytes += share_bookkeeping_bytes(window, at, at + share);
    }
    found->pool_bytes = np_pool_used_bytes();
}

/* The promises. */

/* P3: whether in some stretch of time up to now more than 1/32 of it went into refaults, and more
 * than the 10 ms that anybody may spend. It began and ended between moments of ours: those
 * inside count for its length, those outside for what was spent. By the clock that the reckoning
 * goes by, which stands still while a machine's processor is taken from it and then makes up for
 * that. */
static void look_for_thrashing(void)
{
    const struct moment *last = &moments[moment_count - 1];

    for (size_t index = 0; index + 1 < moment_count; index++) {
        uint64_t spent_ns = (last->refaulted_bytes - moments[index].refaulted_bytes) /
                            NP_GRANULE_BYTES * REFAULT_NS;
        uint64_t from_ns = moments[index + 1].at_ns;
        uint64_t to_ns = last[-1].at_ns;

        has_thrashed |= spent_ns >= CREDIT_MIN_NS &&
                        (to_ns < from_ns || spent_ns > (to_ns - from_ns) / LIVE_SHARE);
    }
}

void audit_note_moment(void)
{
    if (moments == NULL)
        moments = truth_map(MOMENTS_MAX * sizeof moments[0]);
    if (moment_count == MOMENTS_MAX)
        moment_count = 0;
    moments[moment_count++] =
        (struct moment){np_os_coarse_ns(), np_returned_totals().refaulted_bytes};
    look_for_thrashing();
}

static void find_threshold(struct audit_found *found)
{
    found->live_bytes = truth_live_bytes();
    if (np_tune_is_set(NP_KNOB_TRIM_THRESHOLD)) {
        int64_t bytes = np_tune_get(NP_KNOB_TRIM_THRESHOLD);

        found->threshold_bytes = bytes < 0 ? SIZE_MAX : (size_t)bytes;
        return;
    }
    found->allowance_bytes = np_arena_allowance_bytes();
    found->threshold_bytes =
        np_max(FLOOR_BYTES, found->live_bytes / LIVE_SHARE) + found->allowance_bytes;
}

/* Releasing the homeless heap returns memory, which an audit must not bring about. */
void audit_begin(void)
{
    homeless_heap = np_thread_homeless_acquire();
    REQUIRE(homeless_heap != NULL);
    np_thread_homeless_release();
    audit_note_moment();
}

void audit_walk(struct audit_found *found)
{
    memset(found, 0, sizeof *found);
    truth_look();
    find_threshold(found);
    found->believed_bytes = np_return_retained_bytes();
    collect_runs();
    look_at_heaps(found);
    collect_waiting(found);
    look_at_runs(found);
    found->retained_bytes =
        found->run_bytes + found->closed_bytes + found->open_bytes;
    look_at_bookkeeping(found);
}

static void judge(const struct audit_found *found)
{
    const struct audit_limits *limits = &audit_limits;
    size_t reserved_bytes = found->reserved_bytes;
    size_t limit_bytes;

    EXPECT(found, found->overcharged_bytes <= limits->overcharge_bytes,
           "A4: closed slabs are charged with more than their free pages");
    EXPECT(found, found->believed_bytes + found->held_open_bytes >= found->retained_bytes,
           "A10: more is retained than the engine knows of");
    EXPECT(found, found->allowance_bytes == 0 || has_thrashed,
           "P3: an allowance without thrashing");
    most_idle_bytes = np_max(most_idle_bytes, found->idle_bookkeeping_bytes);
    EXPECT(found, found->idle_bookkeeping_bytes <= limits->idle_bookkeeping_bytes,
           "P4: addresses without memory have bookkeeping that is resident");
    if (found->threshold_bytes == SIZE_MAX)
        return;
    limit_bytes = found->threshold_bytes + CONSTANT_BYTES + limits->more_bytes +
                  limits->thread_bytes * (limits->thread_count + limits->lost_count);
    EXPECT(found, found->retained_bytes <= limit_bytes, "P1: too much is retained");
    /* More than there is to reserve: the allowance has fallen, and what it was for has gone. */
    if (reserved_bytes > FLOOR_BYTES + found->allowance_bytes)
        reserved_bytes = 0;
    EXPECT(found,
           found->run_bytes + found->closed_bytes + reserved_bytes <=
               np_max(found->threshold_bytes, reserved_bytes) + limits->more_bytes,
           "P2: more than the threshold is retained in runs and closed slabs");
    if (limit_bytes - found->retained_bytes < nearest_bytes) {
        nearest_bytes = limit_bytes - found->retained_bytes;
        nearest = *found;
    }
}

void audit_at_rest(const char *where)
{
    struct audit_found found;
    const char *fault = np_core_audit();

    audit_where = where;
    audit_count++;
    audit_note_moment();
    if (fault != NULL)
        fail(NULL, fault);
    audit_walk(&found);
    judge(&found);
}

void audit_now_and_then(const char *where, unsigned nth)
{
    static unsigned calls;

    if (++calls % nth == 0)
        audit_at_rest(where);
}

void audit_report(void)
{
    printf("%zu audits; bookkeeping of nothing: %zu KiB at the most", audit_count,
           most_idle_bytes >> 10);
    if (nearest_bytes != SIZE_MAX) {
        printf("; %zu KiB below P1's limit at the nearest:\n", nearest_bytes >> 10);
        print_found(&nearest);
    } else {
        printf("\n");
    }
    fflush(stdout);
}
