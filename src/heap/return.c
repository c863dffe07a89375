/* The order in which memory is returned, and the visits to slabs. The part that concerns runs is arena/purge.c. */
#include "return.h"

#include "alone.h"
#include "arena.h"
#include "bits.h"
#include "depot.h"
#include "heap.h"
#include "lock.h"
#include "meta.h"
#include "returned.h"
#include "slab.h"
#include "tune.h"
#include "window.h"

/* What one round of visits holds, and returns in one call: scattered pages cost half as much when there are hundreds of
 * them, since the caches of address translations are flushed once a call. */
#define VISIT_SLABS 1024
#define VISIT_RANGES 1024

/* So many current slabs share a barrier, which takes as long as returning some pages. */
#define VISIT_STOPS 16

/* The built-in threshold: 1 MiB, or 1/32 of what is live where that is more. */
#define THRESHOLD_FLOOR_BYTES ((size_t)1 << 20)
#define THRESHOLD_LIVE_SHARE 32

static size_t charged_bytes(void)
{
    return atomic_load_explicit(&np_slab_sums.charged_granules, memory_order_relaxed)
           << NP_GRANULE_SHIFT;
}

size_t np_return_retained_bytes(void)
{
    return np_arena_retained_bytes() + charged_bytes();
}

/* At most what is live in slots and runs: of slots, half of what closed slabs counted when they closed is, or all of it while
 * there is one thread (S7). */
static size_t live_bytes(void)
{
    size_t lent_bytes = np_arena_lent_bytes();
    size_t slab_bytes = atomic_load_explicit(&np_slab_sums.granules, memory_order_relaxed)
                        << NP_GRANULE_SHIFT;
    size_t settled_bytes = atomic_load_explicit(&np_slab_sums.settled_bytes, memory_order_relaxed);

    settled_bytes = np_is_alone() ? np_align_down(settled_bytes, NP_SETTLED_STEP_BYTES) : settled_bytes / 2;
    return (lent_bytes > slab_bytes ? lent_bytes - slab_bytes : 0) + settled_bytes;
}

size_t np_return_threshold_bytes(void)
{
    if (np_tune_is_set(NP_KNOB_TRIM_THRESHOLD)) {
        int64_t bytes = np_tune_get(NP_KNOB_TRIM_THRESHOLD);

        return bytes < 0 ? SIZE_MAX : (size_t)bytes;
    }
    return np_max(THRESHOLD_FLOOR_BYTES, live_bytes() / THRESHOLD_LIVE_SHARE) +
           np_arena_allowance_bytes();
}

/* What heaps hold open beyond their limits, and parked heaps at all: of what is spare, of what the first thread's heap
 * leaves, and of the threshold. Of that it comes out of the part that does not follow what is live,
 * and so does not shrink while a heap's thread sleeps. Relaxed: it is a sum that is compared, no memory is reached by it;
 * who reserves looks at what is retained afterwards (reserve_more in heap.c). */
static _Atomic size_t reserved_bytes;
static _Atomic int thread_count;

_Atomic(struct np_heap *) np_heaps;

void np_return_note_threads(int more)
{
    atomic_fetch_add_explicit(&thread_count, more, memory_order_relaxed);
}

static unsigned reserved_quarters(void)
{
    int count = atomic_load_explicit(&thread_count, memory_order_relaxed);

    return count <= 4 ? 3 : 0;
}

/* What the first thread's heap leaves of its own limit to whoever needs it. That heap lives as long as the process, so
 * this is there as long; no other heap's limit could be lent, since its thread may end while who has it sleeps. */
static _Atomic size_t left_bytes;

void np_return_note_left(size_t bytes)
{
    atomic_store_explicit(&left_bytes, bytes, memory_order_relaxed);
}

/* What may be reserved before anything comes off the threshold's fixed part or the allowance. */
static size_t spare_bytes(void)
{
    return NP_RETURN_SPARE_BYTES + atomic_load_explicit(&left_bytes, memory_order_relaxed);
}

static NP_NOINLINE size_t fixed_part_bytes(void)
{
    /* None is as much as can be. */
    uint64_t set_bytes = np_tune_is_set(NP_KNOB_TRIM_THRESHOLD)
                             ? (uint64_t)np_tune_get(NP_KNOB_TRIM_THRESHOLD)
                             : UINT64_MAX;

    return (size_t)np_min64(set_bytes, THRESHOLD_FLOOR_BYTES);
}

/* Of the threshold, what the program has earned by thrashing. */
static size_t earned_bytes(void)
{
    return np_tune_is_set(NP_KNOB_TRIM_THRESHOLD) ? 0 : np_arena_allowance_bytes();
}

static NP_NOINLINE size_t most_of_quarters(unsigned quarters)
{
    return fixed_part_bytes() / 4 * quarters + earned_bytes() + spare_bytes();
}

static size_t most_reserved_bytes(void)
{
    return most_of_quarters(reserved_quarters());
}

/* So much more is reserved than the threshold is, since the allowance has fallen, and for so much of that what rests was
 * returned. Two threads may do that twice, or set this back: a round too many. */
static _Atomic size_t seen_over_bytes;

static NP_NOINLINE bool reserve(size_t bytes, size_t most, size_t *room_bytes)
{
    size_t old = atomic_load_explicit(&reserved_bytes, memory_order_relaxed);

    do {
        *room_bytes = most - np_min(most, old);
        if (bytes > *room_bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&reserved_bytes, &old, old + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

bool np_return_reserve(size_t bytes)
{
    size_t room_bytes;

    return reserve(bytes, most_reserved_bytes(), &room_bytes);
}

bool np_return_reserve_to_park(size_t bytes, size_t *room_bytes)
{
    return reserve(bytes, most_of_quarters(4), room_bytes);
}

void np_return_give_reserve_back(size_t bytes)
{
    atomic_fetch_sub_explicit(&reserved_bytes, bytes, memory_order_relaxed);
}

bool np_return_is_reserve_too_large(void)
{
    return atomic_load_explicit(&reserved_bytes, memory_order_relaxed) > most_reserved_bytes();
}

/* At least what is live, for the allowance: it is to let a whole peak of the program stay. */
static size_t used_bytes(void)
{
    size_t lent_bytes = np_arena_lent_bytes();

    return lent_bytes - np_min(lent_bytes, charged_bytes());
}

void np_return_note_taken(size_t granules)
{
    np_arena_note_taken(granules, used_bytes(), np_return_retained_bytes());
}

/* Where the visits go on. Two threads may use it at once, and each may undo a step of the other's: it is a place to
 * begin, nothing more. */
static _Atomic(struct np_window *) visited_window;
static _Atomic unsigned visited_unit;

/* Too large for the stacks that programs free on; so rounds come from a pool, which has as many as there ever were
 * threads returning at once. */
struct round {
    void *pool_link;
    struct round *next; /* of all rounds; fixed */
    bool is_remembered;
    const void *user; /* an address in the thread-local memory of the thread that has it */
    bool is_with_current; /* current slabs are visited, too, for which a barrier is needed */
    size_t want_granules;
    size_t granules; /* of the ranges */
    unsigned slab_count;
    unsigned range_count;
    struct np_slab *slabs[VISIT_SLABS];
    uint32_t pages[VISIT_SLABS]; /* of each, that are to be cold afterwards */
    uint64_t words[VISIT_SLABS]; /* of each, as it was when we opened it, or 0: it rests */
    struct np_range ranges[VISIT_RANGES];
    unsigned stop_count;
    struct np_stop stops[VISIT_STOPS]; /* visits to current slabs that wait for the barrier */
};

static struct np_pool round_pool = NP_POOL_INIT(struct round);

static bool is_full(const struct round *round)
{
    /* A slab may have two units, and need a range for every second page. */
    size_t more = round->stop_count + 1U;

    return round->slab_count + more > VISIT_SLABS ||
           round->range_count + more * NP_UNIT_GRANULES + NP_RUN_RANGES > VISIT_RANGES ||
           round->granules >= round->want_granules ||
           (round->granules + 2 * more * NP_UNIT_GRANULES) << NP_GRANULE_SHIFT > NP_PURGE_BATCH_BYTES;
}

static void add_ranges(struct round *round, const struct np_slab *slab, uint32_t pages)
{
    while (pages != 0) {
        unsigned from = (unsigned)__builtin_ctz(pages);
        /* The run of set bits that begins there. */
        unsigned count = (unsigned)__builtin_ctzll(~((uint64_t)pages >> from));

        round->ranges[round->range_count++] = (struct np_range){
            (void *)(slab->start + ((uintptr_t)from << NP_GRANULE_SHIFT)),
            (size_t)count << NP_GRANULE_SHIFT};
        round->granules += count;
        pages &= ~(uint32_t)(((UINT64_C(1) << count) - 1) << from);
    }
}

/* One that this thread has opened, or visits, and so holds. */
static void add_slab(struct round *round, struct np_slab *slab)
{
    add_ranges(round, slab, round->pages[round->slab_count]);
    round->slabs[round->slab_count++] = slab;
}

/* Goes on with the visits to current slabs. */
static void finish_stops(struct round *round)
{
    bool is_over = round->stop_count > 0 && np_barrier();

    for (unsigned at = 0; at < round->stop_count; at++) {
        struct np_stop stop = round->stops[at];

        round->words[round->slab_count] = 0;
        round->stops[at].slab = NULL; /* the child of a fork finds it once at most */
        if (np_slab_finish_stop(&stop, is_over, &round->pages[round->slab_count]))
            add_slab(round, stop.slab);
    }
    round->stop_count = 0;
}

/* Visits the slab if it rests. The record is read without a claim to the slab: it may be of another one by now, or of none;
 * its word decides. */
static void visit_if_resting(struct round *round, struct np_slab *slab)
{
    round->words[round->slab_count] = 0;
    if (np_slab_try_visit(slab, &round->stops[round->stop_count], &round->pages[round->slab_count]))
        add_slab(round, slab);
    else if (round->stops[round->stop_count].slab != NULL && ++round->stop_count == VISIT_STOPS)
        finish_stops(round);
}

/* Opens the slab that may begin there, if it is charged and nobody holds it, or visits it; the record is read as above. */
static void visit_slab(struct round *round, struct np_window *window, unsigned unit)
{
    struct np_slab *slab =
        (struct np_slab *)(void *)(window->records + ((size_t)unit << NP_SLAB_RECORD_SHIFT));

    _Atomic uint64_t *word = &window->charged[unit / 64];
    uint64_t bit = UINT64_C(1) << unit % 64;

    if (atomic_load_explicit(&slab->charged_count, memory_order_relaxed) == 0) {
        np_slab_hide_from_visitors(slab, word, bit);
        return;
    }
    /* Discharged at once, so that nobody else returns other memory in its place meanwhile. */
    if (np_slab_try_open(slab, &round->words[round->slab_count])) {
        round->pages[round->slab_count] = np_slab_take_charge(slab, word, bit);
        add_slab(round, slab);
    } else if (round->is_with_current || !np_slab_is_current(slab)) {
        visit_if_resting(round, slab);
    }
}

/* Asks for what a visit reads of the slabs that one word of the map tells of: charged slabs lie far apart, and each
 * would wait for memory three times. */
static void prefetch_slabs(struct np_window *window, unsigned number)
{
    uint64_t charged;

    if (number >= NP_WINDOW_UNITS / 64)
        return;
    charged = atomic_load_explicit(&window->charged[number], memory_order_relaxed);
    for (; charged != 0; charged &= charged - 1) {
        size_t unit = number * (size_t)64 + (unsigned)__builtin_ctzll(charged);
        const char *record = window->records + (unit << NP_SLAB_RECORD_SHIFT);
        const char *bits = (const char *)(window->slot_bits + unit * NP_SLOT_BITS_WORDS);

        __builtin_prefetch(record);
        __builtin_prefetch(record + NP_CACHE_LINE_BYTES);
        __builtin_prefetch(bits);
        __builtin_prefetch(bits + NP_CACHE_LINE_BYTES);
    }
}

/* Visits charged slabs of a window from a unit on until the round is full; returns the unit to go on from, or
 * NP_WINDOW_UNITS. */
static unsigned visit_window(struct round *round, struct np_window *window, unsigned unit)
{
    prefetch_slabs(window, unit / 64);
    while (unit < NP_WINDOW_UNITS) {
        uint64_t charged = atomic_load_explicit(&window->charged[unit / 64], memory_order_relaxed) >>
                           unit % 64;

        if (charged == 0) {
            unit = (unit / 64 + 1) * 64;
            prefetch_slabs(window, unit / 64 + 1);
            continue;
        }
        unit += (unsigned)__builtin_ctzll(charged);
        visit_slab(round, window, unit++);
        if (is_full(round))
            return unit;
    }
    return unit;
}

static void fill_round(struct round *round)
{
    struct np_window *first = atomic_load_explicit(&visited_window, memory_order_acquire);
    unsigned unit = atomic_load_explicit(&visited_unit, memory_order_relaxed);
    struct np_window *window;
    bool is_again = false; /* back in the window where we began */

    if (first == NULL) {
        first = np_window_list();
        unit = 0;
    }
    window = first;
    while (window != NULL) {
        unit = visit_window(round, window, unit);
        if (is_full(round) || is_again)
            break;
        window = window->next != NULL ? window->next : np_window_list();
        unit = 0;
        is_again = window == first;
    }
    atomic_store_explicit(&visited_window, window, memory_order_release);
    atomic_store_explicit(&visited_unit, unit, memory_order_relaxed);
}

/* Leaves the pages of a range that the system has refused to take out of what goes cold. Their slab is not charged for
 * them until a heap has had it, or it would be visited for nothing each time. */
static NP_COLD void note_refused(struct round *round, uintptr_t start)
{
    unsigned at = 0;
    uint32_t from;

    while (start - round->slabs[at]->start >=
           (uintptr_t)round->slabs[at]->unit_count * NP_UNIT_BYTES)
        at++;
    from = UINT32_C(1) << ((start - round->slabs[at]->start) >> NP_GRANULE_SHIFT);
    /* Adding the lowest bit of a run of set ones clears them. */
    round->pages[at] &= round->pages[at] + from;
    NP_OWNER_SET(round->slabs[at]->is_refused, true);
}

/* Whoever held a slab that rests goes on holding it, if he has not left it. */
static void end_visit(struct np_slab *slab, uint64_t word)
{
    if (word != 0 || !np_slab_end_visit(slab))
        np_depot_settle(slab);
}

static _Atomic(struct round *) newest_round;

/* All rounds are on a list for the child of a fork. */
static void remember(struct round *round)
{
    struct round *newest = atomic_load_explicit(&newest_round, memory_order_relaxed);

    if (round->is_remembered)
        return;
    round->is_remembered = true;
    do
        round->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&newest_round, &newest, round,
                                                  memory_order_release, memory_order_relaxed));
}

NP_COLD void np_return_settle_in_child(void)
{
    atomic_store_explicit(&thread_count, 1, memory_order_relaxed);
    for (struct round *round = atomic_load_explicit(&newest_round, memory_order_acquire);
         round != NULL; round = round->next) {
        /* A handler forks, and our own visits go on when it returns. */
        if (round->user == &np_thread_is_forking)
            continue;
        for (unsigned at = 0; at < round->stop_count; at++)
            if (round->stops[at].slab != NULL)
                end_visit(round->stops[at].slab, 0);
        for (unsigned at = 0; at < round->slab_count; at++)
            if (round->slabs[at] != NULL)
                end_visit(round->slabs[at], round->words[at]);
        round->stop_count = round->slab_count = 0;
    }
}

static struct round *begin_round(size_t want_granules, bool is_with_current)
{
    struct round *round = np_pool_take(&round_pool);

    if (round == NULL)
        return NULL;
    remember(round);
    round->user = &np_thread_is_forking;
    round->is_with_current = is_with_current;
    round->want_granules = want_granules;
    round->granules = round->range_count = round->stop_count = 0;
    return round;
}

/* Returns the free pages of the slabs that are visited in as few calls as the system allows, and closes them again, or lets
 * them rest. Adds the granules that went to *gone. False: there were none. */
static bool end_round(struct round *round, size_t *gone)
{
    bool is_any;

    finish_stops(round);
    is_any = round->slab_count > 0;
    if (round->range_count > 0) {
        *gone += np_arena_purge_with_runs(round->ranges, round->range_count, round->want_granules);
        for (unsigned at = 0; at < round->range_count; at++)
            if (NP_UNLIKELY(round->ranges[at].bytes == 0))
                note_refused(round, (uintptr_t)round->ranges[at].address);
    }
    for (unsigned at = 0; at < round->slab_count; at++) {
        struct np_slab *slab = round->slabs[at];

        /* From here on the child of a fork does not find it. */
        round->slabs[at] = NULL;
        NP_OWNER_SET(slab->cold_pages, slab->cold_pages | round->pages[at]);
        if (round->words[at] == 0) {
            end_visit(slab, 0);
            continue;
        }
        /* Unless somebody has pushed, all free pages are cold now, or refused. */
        np_slab_charge(slab, 0);
        /* One without live slots is given back. */
        if (np_slab_word_count(round->words[at]) == slab->slot_count ||
            !np_slab_try_reclose(slab, round->words[at]))
            np_depot_settle(slab);
    }
    round->slab_count = 0;
    np_pool_give(&round_pool, round);
    return is_any;
}

/* One round of charged slabs. Adds the granules that went to *gone. False: no slab to visit was found. After true there is
 * less to visit, even if nothing went because the system refused to take it. */
static NP_COLD bool purge_slabs(size_t want_granules, bool is_with_current, size_t *gone)
{
    struct round *round = begin_round(want_granules, is_with_current);

    if (round == NULL)
        return false;
    fill_round(round);
    return end_round(round, gone);
}

/* By the lists of what heaps have open, while their owners may change them: a slab that is moved to another place of its list
 * may be missed, and what a place held before is a record of a slab still, or of none. Owners that sleep change nothing. */
NP_COLD size_t np_return_from_resting(size_t most_bytes)
{
    size_t most = most_bytes >> NP_GRANULE_SHIFT;
    size_t gone = 0;

    for (struct np_heap *heap = atomic_load_explicit(&np_heaps, memory_order_acquire); heap != NULL; heap = heap->next)
        for (unsigned index = 0; index < NP_OWNER_GET(heap->open_count) && gone < most;) {
            struct round *round = begin_round(most - gone, true);

            if (round == NULL) { /* no memory: to be tried again */
                atomic_store_explicit(&seen_over_bytes, 0, memory_order_relaxed);
                return gone << NP_GRANULE_SHIFT;
            }
            for (; index < NP_OWNER_GET(heap->open_count) && !is_full(round); index++) {
                struct np_slab *slab = NP_OWNER_GET(heap->open[index]);

                /* NULL: the place is being used for the first time. Of one that was taken all free pages are charged. */
                if (slab != NULL && !np_slab_is_taken(slab))
                    visit_if_resting(round, slab);
            }
            (void)end_round(round, &gone);
        }
    return gone << NP_GRANULE_SHIFT;
}

void np_return_fork(enum np_fork_phase phase)
{
    np_pool_fork(&round_pool, phase);
}

static size_t top_pad_bytes(void)
{
    return (size_t)np_tune_get(NP_KNOB_TOP_PAD);
}

NP_COLD size_t np_return_down_to(size_t retained_bytes, size_t most_bytes)
{
    size_t gone_bytes = 0;
    bool may_have_runs = true;
    bool may_have_slabs = true;
    bool is_with_current = false; /* only where others do not do */

    while (gone_bytes < most_bytes && (may_have_runs || may_have_slabs)) {
        size_t run_bytes = may_have_runs ? np_arena_retained_bytes() : 0;
        size_t slab_bytes = may_have_slabs ? charged_bytes() : 0;
        size_t gone = 0;
        size_t want;

        if (np_return_retained_bytes() <= retained_bytes)
            break;
        want = np_min(np_return_retained_bytes() - retained_bytes, most_bytes - gone_bytes);
        want = (want + NP_GRANULE_BYTES - 1) >> NP_GRANULE_SHIFT;
        if (run_bytes >= slab_bytes && may_have_runs) {
            may_have_runs = np_arena_return_some(want, top_pad_bytes(), &gone);
        } else {
            /* All there are, as far as is allowed, so that the next call comes later: each one costs the program its
             * cached translations. */
            want = ((most_bytes - gone_bytes - 1) >> NP_GRANULE_SHIFT) + 1;
            if (!purge_slabs(want, is_with_current, &gone)) {
                may_have_slabs = !is_with_current;
                is_with_current = true;
            }
        }
        gone_bytes += gone << NP_GRANULE_SHIFT;
    }
    return gone_bytes;
}

/* How far below the threshold to go: an eighth, or half where that is less than 512 KiB. Each call costs the program its
 * cached translations, and of scattered pages an eighth of a MiB is few. */
static size_t step_bytes(size_t threshold_bytes)
{
    return np_max(threshold_bytes / 8, np_min(threshold_bytes / 2, (size_t)512 << 10));
}

size_t np_return_reserved_of_threshold(void)
{
    size_t reserved = atomic_load_explicit(&reserved_bytes, memory_order_relaxed);
    size_t before = atomic_load_explicit(&seen_over_bytes, memory_order_relaxed);
    size_t spare = spare_bytes();
    size_t over;

    if (NP_LIKELY(reserved <= spare && before == 0))
        return 0;
    over = reserved - np_min(reserved, most_of_quarters(4));
    if (NP_UNLIKELY(over != before)) {
        atomic_store_explicit(&seen_over_bytes, over, memory_order_relaxed);
        /* All of it: whose slabs are a sleeper's cannot be told. */
        if (over > before)
            (void)np_return_from_resting(SIZE_MAX);
    }
    return over > 0 ? 0 : reserved - np_min(reserved, spare);
}

/* Whether nothing is to be returned, for sure, and the allowance stays as it is: by words that are seldom written, since
 * every free asks. */
static bool is_quiet(size_t retained_bytes, size_t reserved)
{
    size_t allowance_bytes = np_arena_allowance_bytes();

    return retained_bytes + reserved <= THRESHOLD_FLOOR_BYTES + allowance_bytes &&
           !np_tune_is_set(NP_KNOB_TRIM_THRESHOLD) &&
           (allowance_bytes == 0 || !np_arena_is_look_due(retained_bytes));
}

void np_return_excess(void)
{
    size_t reserved = np_return_reserved_of_threshold();
    size_t retained_bytes = np_arena_retained_most_bytes() + charged_bytes();
    size_t threshold_bytes;

    if (NP_LIKELY(is_quiet(retained_bytes, reserved))) {
        np_returned_note_retained(retained_bytes);
        return;
    }
    np_arena_settle_deferred();
    retained_bytes = np_return_retained_bytes();
    np_arena_look_at_allowance(used_bytes(), retained_bytes);
    threshold_bytes = np_return_threshold_bytes();
    threshold_bytes -= np_min(threshold_bytes, np_return_reserved_of_threshold());
    if (retained_bytes > threshold_bytes) {
        (void)np_return_down_to(threshold_bytes - step_bytes(threshold_bytes), SIZE_MAX);
        retained_bytes = np_return_retained_bytes();
    }
    np_returned_note_retained(retained_bytes);
}

bool np_return_all(size_t pad_bytes)
{
    size_t gone = 0;

    while (purge_slabs(SIZE_MAX, true, &gone))
        ;
    return np_arena_trim(pad_bytes) || gone > 0;
}
