/* Refilling, opening and closing. Everything here runs in the heap's own thread. */
#include "heap.h"

#include <string.h>

#include "alone.h"
#include "bits.h"
#include "check.h"
#include "depot.h"
#include "meta.h"
#include "mxfast.h"
#include "return.h"
#include "returned.h"
#include "tune.h"

/* Fields that the fast path reads are what they must be: no free slot, and an owner that no heap has. */
struct np_slab np_empty_slab = {.shelf = {.free_slots = NP_NO_SLOT}};

#define EMPTY_SHELF (&np_empty_slab.shelf)

/* clang-format off */
#define EMPTY_4 EMPTY_SHELF, EMPTY_SHELF, EMPTY_SHELF, EMPTY_SHELF
#define EMPTY_16 EMPTY_4, EMPTY_4, EMPTY_4, EMPTY_4
NP_SPARSE_TAIL_DATA struct np_heap np_empty_heap = {
    .direct = {EMPTY_16, EMPTY_16, EMPTY_16, EMPTY_16, EMPTY_SHELF},
};
/* clang-format on */

NP_THREAD_LOCAL struct np_heap *np_heap_fast = &np_empty_heap;

bool np_heap_may_be_alone;

/* With four slabs of a class made and not emptied, a heap is seen to grow: memory is then put behind several granules
 * at once, at two thirds of the price. Before, a slab costs the pages it has used. Not behind all of the slab: what
 * an open slab has counts against the heap's limit. */
#define POPULATE_FROM_COUNT 4
#define POPULATE_GRANULES 4

/* A heap that has made so many of all classes is seen to grow whatever it wants next: three granules of a slab of each class
 * are 1/30 of them, and about half of those are in use already. */
#define POPULATE_FROM_TOTAL 256

/* And one with so many, 64 MiB, gets twice as much at once: seven granules of each class are less than 1/32 of it. */
#define POPULATE_TWICE_FROM_TOTAL 1024

/* The class that serves a request in this heap now. */
static unsigned class_of_request(const struct np_heap *heap, size_t size_bytes)
{
    unsigned class_index = np_class_of(size_bytes);

    if (NP_UNLIKELY(heap->held_bytes != 0))
        return size_bytes <= heap->held_bytes && class_index == np_class_of(heap->held_bytes)
                   ? NP_TWIN_CLASS
                   : class_index;
    return heap->served_by[class_index];
}

/* The class whose slot size a class has. The twin's follows from the limit. */
static unsigned slot_class_of(const struct np_heap *heap, unsigned class_index)
{
    return class_index == NP_TWIN_CLASS ? np_class_of(heap->held_bytes) : class_index;
}

/* H1. */
static struct np_shelf *shelf_of(const struct np_heap *heap, unsigned class_index)
{
    return &heap->current[class_index]->shelf;
}

/* The smallest class of the group that this one, its largest, serves. */
static unsigned first_served(const struct np_heap *heap, unsigned class_index)
{
    unsigned first = class_index;

    while (first > 0 && heap->served_by[first - 1] == class_index)
        first--;
    return first;
}

static NP_COLD void rebuild_direct(struct np_heap *heap)
{
    heap->direct[0] = EMPTY_SHELF; /* core decides what a block of no bytes is */
    for (size_t granule = 1; granule < NP_DIRECT_COUNT; granule++)
        heap->direct[granule] = shelf_of(heap, class_of_request(heap, granule * NP_ALIGNMENT));
    /* The granule in which the limit of M_MXFAST falls is decided byte by byte, on the slow path. */
    if (NP_UNLIKELY(heap->held_bytes != 0))
        heap->direct[heap->held_bytes / NP_ALIGNMENT + 1] = EMPTY_SHELF;
}

/* The part of rebuild_direct that a change of one current slab needs. */
static void rebuild_direct_of(struct np_heap *heap, unsigned class_index)
{
    struct np_shelf *shelf = shelf_of(heap, class_index);
    unsigned first;
    size_t granule;
    size_t last;

    if (NP_UNLIKELY(heap->held_bytes != 0)) {
        rebuild_direct(heap);
        return;
    }
    if (heap->served_by[class_index] != class_index)
        return;
    first = first_served(heap, class_index);
    if (first >= NP_DIRECT_CLASS_COUNT)
        return;
    granule = first == 0 ? 1 : np_classes[first - 1].slot_bytes / NP_ALIGNMENT + (size_t)1;
    last = np_min(np_classes[class_index].slot_bytes, NP_DIRECT_MAX_BYTES) / NP_ALIGNMENT;
    for (; granule <= last; granule++)
        heap->direct[granule] = shelf;
}

NP_COLD void np_heap_init(struct np_heap *heap)
{
    static _Atomic unsigned made_count;

    memset(heap, 0, sizeof *heap);
    heap->side = (uint8_t)(atomic_fetch_add_explicit(&made_count, 1, memory_order_relaxed) %
                           NP_DEPOT_SIDES);
    heap->open_max_bytes = SIZE_MAX;
    memset(heap->searched, NP_OPEN_MAX, sizeof heap->searched);
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        heap->served_by[class_index] = (uint8_t)(class_index < NP_CLASS_COUNT
                                                     ? np_class_group_top(class_index)
                                                     : class_index);
        heap->current[class_index] = &np_empty_slab;
    }
    rebuild_direct(heap);
}

static void set_current(struct np_heap *heap, unsigned class_index, struct np_slab *slab)
{
    heap->current[class_index] = slab;
    rebuild_direct_of(heap, class_index);
}

void np_heap_be_first(struct np_heap *heap)
{
    heap->is_first = true;
    np_return_note_left(NP_LEFT_BYTES);
}

/* What the heap may hold open without reserving. */
static size_t limit_bytes(const struct np_heap *heap)
{
    return np_min((size_t)np_tune_get(NP_KNOB_OPEN_BYTES), heap->open_max_bytes) -
           np_heap_left_bytes(heap);
}

static void give_reserve_back(struct np_heap *heap, size_t bytes)
{
    heap->reserved_bytes -= bytes;
    np_return_give_reserve_back(bytes);
}

/* What is reserved and not needed; a unit more may be kept, or each slab that goes and comes would change the sum. Where all
 * have reserved too much, not even that; what is needed stays until the slabs that it is for are closed. */
static void give_surplus_reserve_back(struct np_heap *heap)
{
    while (NP_UNLIKELY(heap->reserved_bytes > 0) &&
           heap->open_bytes + (np_return_is_reserve_too_large() ? 1 : 2) * NP_UNIT_BYTES <=
               limit_bytes(heap) + heap->reserved_bytes)
        give_reserve_back(heap, NP_UNIT_BYTES);
}


/* So many granules next to each other lie on system pages of at most so many granules. */
static unsigned in_system_pages(unsigned granules)
{
    unsigned page = (unsigned)(np_page_bytes() >> NP_GRANULE_SHIFT);

    return ((granules + page - 2) & ~(page - 1)) + page;
}

/* What two slots may withhold: so many a visitor leaves to malloc. */
static size_t left_to_malloc_bytes(const struct np_slab *slab)
{
    unsigned granules = (slab->slot_bytes - 1U) / (unsigned)NP_GRANULE_BYTES + (slab->slots_per_page != 0 ? 1 : 2);

    return (size_t)2 * in_system_pages(granules) << NP_GRANULE_SHIFT;
}

/* What an open slab may retain before its owner looks at it (H3): all that the slots leave that are live until then. Live
 * slots lie on as many granules at least as their bytes fill. Of one that rests others may free some before it is charged. */
static unsigned retainable_granules(const struct np_slab *slab)
{
    size_t resident_bytes = np_slab_resident_bytes(slab);
    int live_count = slab->notice_at - (np_slab_is_held(slab) ? 0 : (int)np_slab_slack(slab));
    size_t live_bytes = slab->notice_at > 1 && live_count > 0 ? (size_t)live_count * slab->slot_bytes : 0;
    size_t bytes = resident_bytes - np_min(resident_bytes, np_align_up(live_bytes, NP_GRANULE_BYTES));

    if (np_slab_is_current(slab))
        bytes = np_max(bytes, np_min(resident_bytes, left_to_malloc_bytes(slab)));
    return (unsigned)(bytes >> NP_GRANULE_SHIFT);
}

static size_t counted_bytes(const struct np_slab *slab)
{
    return (size_t)slab->counted_granules << NP_GRANULE_SHIFT;
}

/* Counts what an open slab may retain now. */
static void recount(struct np_heap *heap, struct np_slab *slab)
{
    heap->open_bytes -= counted_bytes(slab);
    slab->counted_granules = (uint8_t)retainable_granules(slab);
    heap->open_bytes += counted_bytes(slab);
}

static void set_notice(struct np_heap *heap, struct np_slab *slab, int notice_at)
{
    np_slab_set_notice(slab, notice_at);
    recount(heap, slab);
}

/* The place in open[] that is searched before this one, in the ring of its class. A handler that left or used malloc where it
 * had interrupted it may have spoilt the ring: that may end the process, but not go on for ever. */
static unsigned place_before(const struct np_heap *heap, unsigned index)
{
    unsigned at = index;

    for (unsigned steps = 0; heap->open_after[at] != index && steps < NP_OPEN_MAX; steps++)
        at = heap->open_after[at];
    return at;
}

/* Closes the gap that a slab leaves in open[], and in the ring of its class. */
static void close_gap(struct np_heap *heap, unsigned index)
{
    unsigned last = heap->open_count - 1;
    uint8_t *searched = &heap->searched[heap->open[index]->class_index];
    unsigned before = place_before(heap, index);

    NP_OWNER_SET(heap->open_count, last);
    heap->open_after[before] = heap->open_after[index];
    if (*searched == index)
        *searched = (uint8_t)(before != index ? before : NP_OPEN_MAX);
    if (index == last)
        return;
    before = place_before(heap, last);
    heap->open_after[before] = (uint8_t)index;
    heap->open_after[index] = heap->open_after[last];
    NP_OWNER_SET(heap->open[index], heap->open[last]);
    NP_OWNER_SET(heap->open[index]->open_index, (uint8_t)index);
    searched = &heap->searched[heap->open[index]->class_index];
    if (*searched == last)
        *searched = (uint8_t)index;
}

/* Takes a slab out of the heap, which then holds it without owning it. */
static void disown(struct np_heap *heap, struct np_slab *slab)
{
    close_gap(heap, slab->open_index);
    heap->open_bytes -= counted_bytes(slab);
    slab->counted_granules = 0;
    give_surplus_reserve_back(heap);
    if (heap->current[slab->class_index] == slab)
        set_current(heap, slab->class_index, &np_empty_slab);
    /* Before the slab is closed: afterwards another heap may own it. */
    atomic_store_explicit(&slab->owner, NULL, memory_order_relaxed);
}

/* Returns memory if there is too much; the homeless heap leaves that to who lets go of its lock. */
static void return_excess(const struct np_heap *heap)
{
    if (heap == NULL || heap->open_max_bytes == SIZE_MAX)
        np_return_excess();
}

/* Closes a slab that this thread holds and no heap owns. A page of it that became free meanwhile was left to us. */
static void settle(const struct np_heap *heap, struct np_slab *slab)
{
    np_depot_settle(slab);
    return_excess(heap);
}

static void close_slab(struct np_heap *heap, struct np_slab *slab)
{
    disown(heap, slab);
    if (np_slab_leave(slab))
        settle(heap, slab);
}

static NP_COLD void apply_knobs(struct np_heap *heap, size_t held_bytes)
{
    for (unsigned index = heap->open_count; index-- > 0;) {
        struct np_slab *slab = heap->open[index];

        if (slab->class_index != NP_TWIN_CLASS)
            continue;
        disown(heap, slab);
        np_depot_stop_being_twin(slab);
        settle(heap, slab);
    }
    heap->held_bytes = held_bytes;
    rebuild_direct(heap);
}

void np_heap_apply_knobs(struct np_heap *heap)
{
    size_t held_bytes = np_mxfast_limit_bytes();

    if (NP_UNLIKELY(heap->held_bytes != held_bytes))
        apply_knobs(heap, held_bytes);
}

/* An open slab that was not used since the search came by last, other than `except`; all were: the next. */
static struct np_slab *find_idle(struct np_heap *heap, const struct np_slab *except)
{
    struct np_slab *slab = NULL;

    for (unsigned steps = 0; steps < 2 * heap->open_count + 1; steps++) {
        heap->open_hand = heap->open_hand + 1 < heap->open_count ? heap->open_hand + 1 : 0;
        if (heap->open[heap->open_hand] == except)
            continue;
        slab = heap->open[heap->open_hand];
        if (slab->used_when_passed == (uint16_t)np_slab_live_count(slab))
            break;
        slab->used_when_passed = (uint16_t)np_slab_live_count(slab);
    }
    return slab;
}

static size_t usual_open_bytes(const struct np_heap *heap)
{
    return limit_bytes(heap) + heap->reserved_bytes;
}

static size_t most_open_bytes(const struct np_heap *heap)
{
    /* While a fork has the depots' locks, a closed slab could not be used again, nor what is freed into it. Forks may take
     * long, and with a limit memory grows as fast as it is asked for. */
    if (atomic_load_explicit(&np_is_fork_under_way, memory_order_relaxed))
        return SIZE_MAX;
    return usual_open_bytes(heap);
}

/* So much at most of a large allowance, since a thread may sleep on it. With its own limit that is as much as P1 allows the
 * first thread's heap in a program of one thread that has no allowance any more. */
#define RESERVE_MAX_BYTES ((size_t)2 << 20)

/* Whether the heap may hold a unit more than before. Who sets the limit means it. */
static bool reserve_more(struct np_heap *heap)
{
    if (heap->open_max_bytes != SIZE_MAX || heap->reserved_bytes >= RESERVE_MAX_BYTES ||
        np_tune_is_set(NP_KNOB_OPEN_BYTES) || !np_return_reserve(NP_UNIT_BYTES))
        return false;
    heap->reserved_bytes += NP_UNIT_BYTES;
    np_return_excess(); /* there is so much less for what is retained */
    return true;
}

/* What all have reserved too much goes back; whoever calls closes the slabs that it was for. During a fork none is closed. */
static void give_excess_reserve_back(struct np_heap *heap)
{
    while (NP_UNLIKELY(heap->reserved_bytes > 0) && np_return_is_reserve_too_large() &&
           most_open_bytes(heap) != SIZE_MAX)
        give_reserve_back(heap, NP_UNIT_BYTES);
}

/* How few slots of a slab that rests, or is in a heap that is alone, may be live before its owner looks: as few as
 * lie on no fewer granules at least than those that are live now, so that the slab counts as little as it can. Of those that
 * rest others may free `slack` before it is charged. */
static int tight_notice(const struct np_slab *slab, unsigned slack)
{
    int live_count = np_slab_live_count(slab);
    int sure_count = live_count - (int)slack;
    size_t bytes = sure_count > 0 ? np_align_up((size_t)sure_count * slab->slot_bytes, NP_GRANULE_BYTES) : 0;
    int notice_at = bytes == 0 ? 1 : (int)((bytes - NP_GRANULE_BYTES) / slab->slot_bytes) + 1 + (int)slack;

    return notice_at < live_count ? notice_at : live_count;
}

/* Whether slabs that the heap holds open may rest, such as are not current at least. */
static bool may_rest(const struct np_heap *heap, const struct np_slab *slab)
{
    return !heap->is_alone && heap->open_max_bytes == SIZE_MAX && !np_mxfast_is_held(slab->class_index);
}

static bool is_current(const struct np_heap *heap, const struct np_slab *slab)
{
    return heap->current[slab->class_index] == slab;
}

/* Whether a current slab counts with what its free slots may retain, from when one of them is taken on (rest_current). Others
 * count with all that is behind them. */
static bool is_counted_later(const struct np_heap *heap, const struct np_slab *slab)
{
    return heap->is_alone ? !np_mxfast_is_held(slab->class_index) : may_rest(heap, slab) && np_may_barrier();
}

/* Lets a slab rest that the heap holds, if it may: a current one only where visitors can stop malloc. */
static void rest(struct np_heap *heap, struct np_slab *slab)
{
    unsigned slack = 0;
    int notice_at;

    if (may_rest(heap, slab) && (!is_current(heap, slab) || np_may_barrier())) {
        np_slab_rest(slab, is_current(heap, slab));
        slack = np_slab_slack(slab);
    } else if (!heap->is_alone) {
        return;
    }
    notice_at = tight_notice(slab, slack);
    set_notice(heap, slab, notice_at > 1 ? notice_at : 1);
}

/* Has a slab's owner look sooner, so that the slab may retain less. False: it would not be much less. */
static bool tighten(struct np_heap *heap, struct np_slab *slab)
{
    int notice_at;
    int before = slab->notice_at > 1 ? slab->notice_at : 1;
    bool is_to_rest = may_rest(heap, slab) && np_slab_is_held(slab);

    if (np_mxfast_is_held(slab->class_index) || !(heap->is_alone || may_rest(heap, slab)))
        return false;
    notice_at = tight_notice(slab, heap->is_alone ? 0 : np_slab_slack(slab));
    if (notice_at <= before ||
        (size_t)(notice_at - before) * slab->slot_bytes < counted_bytes(slab) / 4)
        return false;
    if (is_to_rest) {
        if (is_current(heap, slab) && !np_may_barrier())
            set_current(heap, slab->class_index, &np_empty_slab);
        rest(heap, slab);
    } else {
        set_notice(heap, slab, notice_at);
    }
    return true;
}

/* Whether more is open than may be, and the heap may have room for it. One that is alone has many slabs open as it is: where it
 * replaces blocks it gets back what it leaves to others as the first heap, where it only frees them nothing; but what it frees
 * and takes back all the time may as well stay open. */
static bool should_reserve(const struct np_heap *heap, const struct np_slab *slab)
{
    if (heap->open_bytes <= most_open_bytes(heap))
        return false;
    return !heap->is_alone || np_arena_allowance_bytes() > 0 ||
           (2 * np_slab_live_count(slab) >= slab->slot_count &&
            heap->reserved_bytes < np_heap_left_bytes(heap));
}

static void close_surplus(struct np_heap *heap, const struct np_slab *except)
{
    give_excess_reserve_back(heap);
    while (heap->open_count > 1 &&
           (heap->open_bytes > most_open_bytes(heap) || heap->open_count == NP_OPEN_MAX)) {
        struct np_slab *idle = find_idle(heap, except);

        if (idle == NULL)
            break;
        if (heap->open_count == NP_OPEN_MAX || !tighten(heap, idle))
            close_slab(heap, idle);
    }
    NP_OWNER_SET(heap->is_beyond_limit, most_open_bytes(heap) == SIZE_MAX &&
                                            heap->open_bytes > usual_open_bytes(heap));
}

NP_COLD void np_heap_look_for_company(struct np_heap *heap)
{
    /* Making a thread asks for memory by calloc, so a heap learns of it before another thread can free anything. */
    bool is_alone = np_is_alone() && np_heap_may_be_alone && heap->open_max_bytes == SIZE_MAX;

    if (NP_LIKELY(heap->is_alone == is_alone))
        return;
    heap->is_alone = is_alone;
    if (is_alone) {
        for (unsigned index = 0; index < heap->open_count; index++)
            if (np_slab_wake(heap->open[index], heap))
                recount(heap, heap->open[index]);
        return;
    }
    /* What it needs of it still it reserves again; if its thread waits now, others may. */
    give_reserve_back(heap, heap->reserved_bytes);
    for (unsigned index = 0; index < heap->open_count; index++) {
        struct np_slab *slab = heap->open[index];

        if (slab->notice_at > 1)
            set_notice(heap, slab, 1);
        rest(heap, slab);
    }
    close_surplus(heap, NULL);
}

/* More of this slab is open than was. */
static void make_room_for(struct np_heap *heap, const struct np_slab *slab)
{
    if (should_reserve(heap, slab))
        (void)reserve_more(heap);
    close_surplus(heap, slab);
}

/* Makes the heap the owner of a slab that its thread holds. */
enum use { TO_USE, TO_REST };

static void own(struct np_heap *heap, struct np_slab *slab, enum use use)
{
    unsigned index = heap->open_count;
    uint8_t *searched = &heap->searched[slab->class_index];

    NP_ASSERT(index < NP_OPEN_MAX);
    NP_OWNER_SET(heap->open_count, index + 1);
    NP_OWNER_SET(heap->open[index], slab);
    heap->open_after[index] = *searched != NP_OPEN_MAX ? heap->open_after[*searched] : (uint8_t)index;
    if (*searched != NP_OPEN_MAX)
        heap->open_after[*searched] = (uint8_t)index;
    *searched = (uint8_t)index;
    slab->counted_granules = (uint8_t)retainable_granules(slab);
    heap->open_bytes += counted_bytes(slab);
    NP_OWNER_SET(slab->open_index, (uint8_t)index);
    slab->used_when_passed = UINT16_MAX;
    NP_OWNER_SET(slab->is_refused, false);
    /* What is open is bounded by open_bytes. */
    np_returned_note_reused((size_t)np_slab_charge(slab, 0) << NP_GRANULE_SHIFT);
    np_slab_count_settled(slab, 0);
    slab->moved_count = 0;
    atomic_store_explicit(&slab->owner, heap, memory_order_relaxed);
    if (use == TO_USE && is_counted_later(heap, slab))
        return;
    if (use == TO_REST)
        rest(heap, slab);
    make_room_for(heap, slab);
}

/* Entirely free slabs that stay open because they are current may have so much memory behind them, so that a thread that
 * sleeps after freeing all it had withholds little. */
#define EMPTY_MAX_BYTES ((size_t)128 << 10)

static bool is_empty(struct np_slab *slab)
{
    np_slab_look(slab);
    return np_slab_live_count(slab) == 0;
}

#define CHECKS_IN_A_ROW 16

/* Whether a slab of which nothing is live is looked through, and what a program has done to it shows; other slabs are as they
 * close. Ever more seldom: threads that come and go with all they have spent a tenth of their time on it. */
static bool is_time_to_check(struct np_heap *heap)
{
    uint32_t count = ++heap->emptied_count;

    return np_tune_get(NP_KNOB_HARDENING) >= 1 &&
           (count <= CHECKS_IN_A_ROW || np_is_power_of_two(count));
}

static void count_made(struct np_heap *heap, unsigned class_index)
{
    if (heap->made_count[class_index] == UINT16_MAX || heap->made_total == UINT16_MAX)
        return;
    heap->made_count[class_index]++;
    heap->made_total++;
}

static void count_emptied(struct np_heap *heap, unsigned class_index)
{
    if (heap->made_count[class_index] == 0)
        return;
    heap->made_count[class_index]--;
    heap->made_total--;
}

/* Closes a slab of which nothing is live: it goes back. Its list is followed, and so checked, now and then; at the strictest
 * level always. */
static void close_empty(struct np_heap *heap, struct np_slab *slab)
{
    disown(heap, slab);
    if (!np_slab_leave(slab))
        return;
    if (np_tune_get(NP_KNOB_HARDENING) != 2 && !is_time_to_check(heap))
        np_slab_publish_all(slab);
    settle(heap, slab);
}

/* Whether another entirely free slab may stay open; closes idle ones for it if there are too many. */
static void close_empty_surplus(struct np_heap *heap, const struct np_slab *except)
{
    size_t bytes = np_slab_resident_bytes(except);

    for (unsigned index = heap->open_count; index-- > 0;) {
        struct np_slab *slab = heap->open[index];

        if (slab == except || np_slab_live_count(slab) != 0 || np_mxfast_is_held(slab->class_index))
            continue;
        bytes += np_slab_resident_bytes(slab);
        if (bytes <= EMPTY_MAX_BYTES)
            continue;
        bytes -= np_slab_resident_bytes(slab);
        close_empty(heap, slab);
    }
}

/* In a heap that is alone a slab has fewer live slots than were counted on. */
static void count_less_live(struct np_heap *heap, struct np_slab *slab)
{
    /* Where much was freed, what is retained elsewhere needs the threshold more. */
    if (heap->reserved_bytes > 0 && 2 * np_slab_live_count(slab) < slab->slot_count)
        give_reserve_back(heap, NP_UNIT_BYTES);
    set_notice(heap, slab, tight_notice(slab, np_slab_is_held(slab) ? 0 : np_slab_slack(slab)));
    if (NP_LIKELY(heap->open_bytes <= usual_open_bytes(heap)))
        return;
    make_room_for(heap, slab);
}

void np_heap_notice(struct np_heap *heap, struct np_slab *slab)
{
    if (!is_empty(slab)) {
        if (slab->until_notice < 0)
            count_less_live(heap, slab);
        return;
    }
    /* The current slab is about to be used again, and what M_MXFAST holds stays: look no more until it is not. */
    if (np_mxfast_is_held(slab->class_index)) {
        set_notice(heap, slab, 0);
        return;
    }
    if (is_current(heap, slab)) {
        if (is_time_to_check(heap) && np_slab_wake(slab, heap)) {
            np_slab_check(slab);
            rest(heap, slab);
        }
        set_notice(heap, slab, 0);
        close_empty_surplus(heap, slab);
        close_surplus(heap, slab);
        return;
    }
    count_emptied(heap, slab->class_index);
    close_empty(heap, slab);
}

/* A twin slab may be of another limit of M_MXFAST than the heap's. */
static bool has_slots_of_class(const struct np_heap *heap, const struct np_slab *slab)
{
    return slab->class_index != NP_TWIN_CLASS ||
           (heap->held_bytes != 0 &&
            slab->slot_bytes == np_classes[slot_class_of(heap, NP_TWIN_CLASS)].slot_bytes);
}

static bool is_open_here(const struct np_heap *heap, const struct np_slab *slab)
{
    unsigned index = NP_OWNER_GET(slab->open_index);

    return index < heap->open_count && heap->open[index] == slab;
}

/* A visitor has taken a slab of ours for others' frees, and we free into it again. */
static void take_back(struct np_heap *heap, struct np_slab *slab)
{
    if (heap == NULL || !is_open_here(heap, slab) || np_slab_is_held(slab) || !np_slab_wake(slab, heap))
        return;
    rest(heap, slab);
    if (np_slab_live_count(slab) == 0)
        np_heap_notice(heap, slab);
    else
        close_surplus(heap, slab); /* less of it is live than its owner knew */
}

bool np_heap_finish_push(struct np_heap *heap, struct np_slab *slab, enum np_push push,
                         enum np_push_wish wish)
{
    if (push == NP_PUSH_TWICE || push == NP_PUSH_STRAY)
        return false;
    if (push == NP_PUSH_CLAIMED && wish == NP_PUSH_AND_OPEN && np_slab_live_count(slab) != 0 &&
        has_slots_of_class(heap, slab)) {
        own(heap, slab, TO_REST);
        return true;
    }
    if (push == NP_PUSH_CLAIMED)
        np_depot_settle(slab);
    else
        take_back(heap, slab);
    return_excess(heap);
    return true;
}

#define ROOM_TO_REST_BYTES NP_UNIT_BYTES
#define RESTING_MAX 240

bool np_heap_has_room_to_rest(const struct np_heap *heap)
{
    return !heap->is_alone && heap->open_max_bytes == SIZE_MAX && heap->open_count < RESTING_MAX &&
           heap->open_bytes + ROOM_TO_REST_BYTES <= usual_open_bytes(heap);
}

/* Whether what begins at this address of the slab's first unit, were it a slot, would not reach beyond its page, or beyond the
 * unit where slots straddle pages: behind the last slot there may be a rest. */
static bool ends_in_time(const struct np_slab *slab, const void *memory)
{
    return ((uintptr_t)memory & slab->offset_mask) + slab->slot_bytes <= slab->offset_mask + 1U;
}

bool np_heap_sees_live(const struct np_heap *heap, const struct np_slab *slab, const void *memory)
{
    return NP_FAST_GET(struct np_heap *, slab->owner) == heap
               ? np_slab_may_begin_slot(slab, memory) && ends_in_time(slab, memory) &&
                     !np_slab_looks_free(slab, memory)
               : np_slab_is_live(slab, memory);
}

bool np_heap_push(struct np_heap *heap, struct np_slab *slab, void *memory)
{
    return np_heap_push_fast(heap, slab, memory);
}

/* The slab that was current has no free slot left: exhausted, or only cold ones are; or a visitor has it. */
static void retire(struct np_heap *heap, struct np_slab *slab)
{
    if (slab == &np_empty_slab)
        return;
    if (!np_slab_is_held(slab))
        np_slab_retire(slab);
    np_slab_look(slab);
    /* Exhausted, and no slot of it can be free before others free it; or entirely free, and not to be looked at again
     * by a free. */
    if (np_slab_live_count(slab) == 0 ||
        (np_slab_live_count(slab) == slab->slot_count && !heap->is_alone && !may_rest(heap, slab))) {
        close_slab(heap, slab);
        return;
    }
    if (may_rest(heap, slab) && np_slab_is_held(slab)) {
        rest(heap, slab);
        return;
    }
    if (np_slab_live_count(slab) == slab->slot_count)
        (void)tighten(heap, slab);
    if (slab->notice_at == 0)
        set_notice(heap, slab, 1);
}

static void make_current(struct np_heap *heap, unsigned class_index, struct np_slab *slab)
{
    struct np_slab *before = heap->current[class_index];

    if (before == slab)
        return;
    set_current(heap, class_index, slab);
    retire(heap, before);
    if (is_counted_later(heap, slab))
        return;
    if (!heap->is_alone && (slab->notice_at > 1 || slab->counted_granules == 0))
        set_notice(heap, slab, 1);
    else
        recount(heap, slab);
    if (!heap->is_alone)
        close_surplus(heap, slab);
}

/* Whether the heap has room for all that is behind a slab that it holds. */
static bool has_room_for_all_of(const struct np_heap *heap, const struct np_slab *slab)
{
    return heap->open_bytes - counted_bytes(slab) + np_slab_resident_bytes(slab) <= most_open_bytes(heap);
}

/* What a refill held rests again, once a slot was taken; unless others freed what it was refilled with, and would have to
 * charge for it. */
static void rest_current(struct np_heap *heap, unsigned class_index)
{
    struct np_slab *slab = heap->current[class_index];

    if (slab == &np_empty_slab || !np_slab_is_held(slab) || !is_counted_later(heap, slab))
        return;
    if (!heap->is_alone && heap->is_refilled_by_others && has_room_for_all_of(heap, slab))
        set_notice(heap, slab, 1);
    else
        rest(heap, slab);
    if (NP_UNLIKELY(heap->open_bytes > usual_open_bytes(heap) || heap->open_count == NP_OPEN_MAX))
        make_room_for(heap, slab);
}

/* Free slots in a slab that is open here: its private list, or what others have pushed. */
static bool has_free_slots(struct np_heap *heap, struct np_slab *slab)
{
    if (!np_shelf_is_empty(&slab->shelf))
        return true;
    return heap->is_refilled_by_others = np_slab_refill(slab);
}

/* The same at a glance, of one that may rest. */
static bool may_have_free_slots(const struct np_slab *slab)
{
    return np_slab_first(slab) != np_slab_end(slab) || np_slab_may_have_warm_slots(slab);
}

/* The same of one that may rest: it is held then. A resting one without free slots rests on. */
static bool wakes_with_free_slots(struct np_heap *heap, struct np_slab *slab)
{
    bool is_held = np_slab_is_held(slab);

    if (!is_held && !may_have_free_slots(slab))
        return false;
    if (!np_slab_wake(slab, heap))
        return false;
    if (has_free_slots(heap, slab))
        return true;
    if (!is_held)
        rest(heap, slab);
    return false;
}

enum search { SEARCH_FREE, SEARCH_COLD, SEARCH_ALL };

/* So many slabs are looked at; if all are full, most others are. All are where there is no memory for another. */
#define FIND_TRIES 16

static struct np_slab *find_open(struct np_heap *heap, unsigned class_index, enum search search)
{
    struct np_slab *current = heap->current[class_index];
    uint8_t *searched = &heap->searched[class_index];
    unsigned last = *searched;
    unsigned most_tries = search == SEARCH_ALL ? NP_OPEN_MAX : FIND_TRIES;

    /* It has no free slot, or it would not have come to this; or a visitor has it. */
    if (current != &np_empty_slab && search == SEARCH_COLD && np_slab_is_extendable(current) &&
        np_slab_wake(current, heap))
        return current;
    for (unsigned tries = 0; tries < most_tries && last != NP_OPEN_MAX; tries++) {
        struct np_slab *slab;

        *searched = heap->open_after[*searched];
        slab = heap->open[*searched];
        if (slab != current &&
            (search == SEARCH_COLD ? np_slab_is_extendable(slab) && np_slab_wake(slab, heap)
                                   : wakes_with_free_slots(heap, slab)))
            return slab;
        if (*searched == last)
            break;
    }
    return NULL;
}

static unsigned granules_to_extend(const struct np_heap *heap, const struct np_slab *slab)
{
    if (np_tune_get(NP_KNOB_HARDENING) == 2)
        return slab->unit_count * (unsigned)NP_UNIT_GRANULES; /* to choose at random from many */
    if (heap->made_total >= POPULATE_TWICE_FROM_TOTAL)
        return 2 * POPULATE_GRANULES;
    return heap->made_count[slab->class_index] > POPULATE_FROM_COUNT ||
                   heap->made_total >= POPULATE_FROM_TOTAL
               ? POPULATE_GRANULES
               : 1;
}

static void extend(struct np_heap *heap, struct np_slab *slab)
{
    size_t before = np_slab_resident_bytes(slab);

    (void)np_slab_extend(slab, granules_to_extend(heap, slab));
    if (slab->notice_at == 0)
        np_slab_set_notice(slab, 1); /* it was emptied before, and held less then */
    recount(heap, slab);
    np_return_note_taken((np_slab_resident_bytes(slab) - before) >> NP_GRANULE_SHIFT);
    close_surplus(heap, slab);
}

/* A slab that others have closed, with room; nobody owns it yet. */
static struct np_slab *take_listed(struct np_heap *heap, unsigned class_index)
{
    unsigned slot_bytes = np_classes[slot_class_of(heap, class_index)].slot_bytes;
    struct np_slab *slab;

    while ((slab = np_depot_take(class_index, heap->side)) != NULL) {
        if (slab->slot_bytes != slot_bytes)
            np_depot_stop_being_twin(slab); /* of another limit; settled below as what it is now */
        else if (np_slab_refill(slab) || np_slab_is_extendable(slab)) {
            NP_OWNER_SET(slab->side, heap->side);
            return slab;
        }
        settle(heap, slab);
    }
    return NULL;
}

static struct np_slab *make_slab(struct np_heap *heap, unsigned class_index,
                                 enum np_growth growth)
{
    struct np_slab *slab =
        np_slab_make(&heap->home, class_index, slot_class_of(heap, class_index), growth);

    if (slab == NULL)
        return NULL;
    count_made(heap, class_index);
    NP_OWNER_SET(slab->side, heap->side);
    (void)np_slab_refill(slab); /* from pages that are warm already */
    own(heap, slab, TO_USE);
    return slab;
}

/* How far the classes of a group share slabs: for one page. With several threads, of slots above 128 bytes for four, which is
 * more than three full ones; where each slot has pages of its own until the slabs come to 512 KiB. Slabs for all of them keep
 * the most that they need together, slabs for each what that one needs at most, which is more, and every heap keeps it. */
#define SHARE_PAGES_FROM_BYTES 128
#define SHARE_PAGES 3
#define SHARE_UNITS_FROM_BYTES (NP_GRANULE_BYTES / 2)
#define SHARE_UNITS 8

/* Asked when all slots that have memory are taken. */
static bool has_outgrown_group(const struct np_heap *heap, const struct np_slab *slab)
{
    unsigned live_bytes = (unsigned)np_slab_live_count(slab) * slab->slot_bytes;

    if (heap->is_alone || slab->slot_bytes <= SHARE_PAGES_FROM_BYTES)
        return live_bytes > 0;
    if (slab->slot_bytes > SHARE_UNITS_FROM_BYTES)
        return heap->made_count[slab->class_index] * slab->unit_count >= SHARE_UNITS;
    return live_bytes > SHARE_PAGES * NP_GRANULE_BYTES;
}

/* The class that serves a group wants another page: it may be that from now on it serves the larger half of it, and the
 * largest class of the smaller half that. */
static bool split_group(struct np_heap *heap, unsigned class_index, const struct np_slab *slab)
{
    unsigned first = first_served(heap, class_index);
    unsigned middle = (first + class_index) / 2;

    if (first == class_index || !has_outgrown_group(heap, slab))
        return false;
    memset(&heap->served_by[first], (int)middle, middle - first + 1);
    rebuild_direct(heap);
    return true;
}

/* A slab of the class with a free slot or a cold page, open here from then on; NULL: see np_heap_take. The order
 * spends what is resident before what is cold, and what is here before what is shared. */
static struct np_slab *find_more(struct np_heap *heap, unsigned class_index, enum np_growth growth)
{
    struct np_slab *slab = take_listed(heap, class_index);

    if (slab != NULL)
        own(heap, slab, TO_USE);
    else
        slab = find_open(heap, class_index, SEARCH_COLD);
    if (slab == NULL)
        slab = make_slab(heap, class_index, growth);
    if (slab == NULL)
        slab = find_open(heap, class_index, SEARCH_ALL);
    return slab;
}

/* A slab of the class with a slot, as the current one, held; NULL: see np_heap_take. One without: it has to be extended. */
static struct np_slab *refill(struct np_heap *heap, unsigned class_index, enum np_growth growth)
{
    struct np_slab *slab = heap->current[class_index];

    heap->is_refilled_by_others = false;
    if (slab != &np_empty_slab && may_have_free_slots(slab) && np_slab_wake(slab, heap) && has_free_slots(heap, slab))
        return slab;
    slab = find_open(heap, class_index, SEARCH_FREE);
    if (slab == NULL)
        slab = find_more(heap, class_index, growth);
    if (slab != NULL)
        make_current(heap, class_index, slab);
    else
        rest_current(heap, class_index);
    return slab;
}

/* The first slot of the class's current slab, which is held and has one, or is extended. */
static void *take_from(struct np_heap *heap, struct np_slab *slab)
{
    struct np_slot *slot;

    if (np_shelf_is_empty(&slab->shelf))
        extend(heap, slab);
    slot = np_shelf_pop(&slab->shelf);
    rest_current(heap, slab->class_index);
    return slot;
}

/* A slot of the class; NULL: see np_heap_take. */
static void *take_of_class(struct np_heap *heap, unsigned class_index, enum np_growth growth)
{
    struct np_slab *slab = heap->current[class_index];

    if (!np_shelf_is_empty(&slab->shelf))
        return np_shelf_pop(&slab->shelf);
    slab = refill(heap, class_index, growth);
    return slab != NULL ? take_from(heap, slab) : NULL;
}

void *np_heap_take(struct np_heap *heap, size_t size_bytes, enum np_growth growth)
{
    unsigned class_index;
    struct np_slab *slab;

    np_heap_apply_knobs(heap);
    if (NP_UNLIKELY(heap->is_alone != np_is_alone()))
        np_heap_look_for_company(heap);
    class_index = class_of_request(heap, size_bytes);
    slab = heap->current[class_index];
    if (!np_shelf_is_empty(&slab->shelf))
        return np_shelf_pop(&slab->shelf);
    slab = refill(heap, class_index, growth);
    if (slab == NULL)
        return NULL;
    if (np_shelf_is_empty(&slab->shelf) && split_group(heap, class_index, slab) &&
        class_of_request(heap, size_bytes) != class_index) {
        rest_current(heap, class_index);
        return take_of_class(heap, class_of_request(heap, size_bytes), growth);
    }
    return take_from(heap, slab);
}

/* Whether every slot of the class is so aligned. Slabs begin at a multiple of a unit, fitted pages at one of 4 KiB. */
static bool is_class_aligned(unsigned class_index, size_t alignment_bytes)
{
    return np_classes[class_index].slot_bytes % alignment_bytes == 0;
}

/* The smallest class for such requests, or NP_CLASS_COUNT. */
static unsigned class_of_aligned(size_t size_bytes, size_t alignment_bytes)
{
    size_t least_bytes = np_max(size_bytes, alignment_bytes);
    unsigned class_index = NP_CLASS_COUNT;

    if (least_bytes > NP_SMALL_MAX_BYTES)
        return NP_CLASS_COUNT;
    for (class_index = np_class_of(least_bytes); class_index < NP_CLASS_COUNT; class_index++)
        if (is_class_aligned(class_index, alignment_bytes))
            break;
    return class_index;
}

void *np_heap_take_aligned(struct np_heap *heap, size_t size_bytes, size_t alignment_bytes,
                           enum np_growth growth)
{
    unsigned class_index = class_of_aligned(size_bytes, alignment_bytes);

    return class_index < NP_CLASS_COUNT ? take_of_class(heap, class_index, growth) : NULL;
}

NP_COLD bool np_heap_may_have_served(const struct np_slab *slab, size_t size_bytes, size_t alignment_bytes)
{
    bool is_aligned = alignment_bytes <= NP_ALIGNMENT && size_bytes <= NP_SMALL_MAX_BYTES;
    unsigned most = is_aligned ? np_class_of(size_bytes)
                               : class_of_aligned(size_bytes, alignment_bytes);
    unsigned least;

    if (most == NP_CLASS_COUNT)
        return false;
    /* Not every slot of the least lies right, but what np_heap_try_take_aligned finds may be one that does. */
    least = is_aligned ? most
                       : np_class_of(np_align_up(np_max(size_bytes, 1), alignment_bytes));
    return slab->slot_bytes >= np_classes[least].slot_bytes &&
           slab->slot_bytes <= np_classes[np_class_group_top(most)].slot_bytes;
}

bool np_heap_has_free(const struct np_heap *heap, const struct np_slab *slab, const void *memory)
{
    if (np_slab_is_free_bit(slab, (uintptr_t)memory))
        return true;
    if (NP_LIKELY(!np_slab_looks_free(slab, memory)))
        return false;
    return heap != NULL && atomic_load_explicit(&slab->owner, memory_order_relaxed) == heap
               ? np_slab_is_free(slab, memory)
               : np_slab_is_surely_free(slab, memory);
}

void np_heap_check(const struct np_heap *heap)
{
    for (unsigned index = 0; index < heap->open_count; index++)
        np_slab_check_links(heap->open[index]);
}

NP_COLD void np_heap_close_all(struct np_heap *heap)
{
    while (heap->open_count > 0)
        close_slab(heap, heap->open[heap->open_count - 1]);
    give_reserve_back(heap, heap->reserved_bytes);
}

NP_COLD void np_heap_close_down_to(struct np_heap *heap, size_t most_bytes)
{
    /* The largest first: most slabs are small, and each that stays is one less to be opened again. */
    for (size_t bytes = 2 * NP_UNIT_BYTES; heap->open_count > 0 && heap->open_bytes > most_bytes; bytes /= 2)
        for (unsigned index = heap->open_count; index-- > 0 && heap->open_bytes > most_bytes;)
            if (counted_bytes(heap->open[index]) >= bytes)
                close_slab(heap, heap->open[index]);
}

NP_COLD void np_heap_prepare_to_park(struct np_heap *heap)
{
    give_reserve_back(heap, heap->reserved_bytes);
    memset(heap->pushed, 0, sizeof heap->pushed);
    memset(heap->made_count, 0, sizeof heap->made_count);
    heap->made_total = 0;
}

NP_COLD void np_heap_close_free(struct np_heap *heap, enum np_close close)
{
    for (unsigned index = heap->open_count; index-- > 0;) {
        struct np_slab *slab = heap->open[index];
        bool is_wanted = is_empty(slab);
        bool is_resting = !np_slab_is_held(slab);

        if (!is_wanted && close == NP_CLOSE_SPARSE && np_slab_wake(slab, heap)) {
            (void)np_slab_publish(slab);
            is_wanted = np_slab_free_pages(slab) != 0;
            if (is_resting && !is_wanted)
                rest(heap, slab);
        }
        if (is_wanted) {
            disown(heap, slab);
            if (np_slab_leave(slab))
                np_depot_settle(slab);
        }
    }
    close_surplus(heap, NULL);
}

NP_COLD void np_heap_settle(struct np_heap *heap)
{
    for (unsigned index = 0; index < heap->open_count; index++) {
        struct np_slab *slab = heap->open[index];
        bool is_resting = !np_slab_is_held(slab);

        if (!np_slab_wake(slab, heap))
            continue;
        (void)np_slab_publish(slab);
        if (is_resting)
            rest(heap, slab);
    }
    close_surplus(heap, NULL);
}

/* Whether the rings of all classes together have each open slab once. */
static bool is_each_in_a_ring(const struct np_heap *heap)
{
    unsigned count = 0;

    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        unsigned last = heap->searched[class_index];

        if (last == NP_OPEN_MAX)
            continue;
        for (unsigned at = last; count <= heap->open_count; count++) {
            at = heap->open_after[at];
            if (at >= heap->open_count || heap->open[at]->class_index != class_index)
                return false;
            if (at == last) {
                count++;
                break;
            }
        }
    }
    return count == heap->open_count;
}

const char *np_heap_audit(const struct np_heap *heap)
{
    size_t open_bytes = 0;

    for (unsigned index = 0; index < heap->open_count; index++) {
        struct np_slab *slab = heap->open[index];
        bool is_resting = !np_slab_is_held(slab);
        const char *fault = np_slab_audit(slab);

        if (fault != NULL)
            return fault;
        if (slab->open_index != index ||
            (atomic_load(&slab->owner) != heap && !np_slab_is_taken(slab)) || !np_slab_is_open(slab))
            return "H3: a heap's list of open slabs has one that is not its own";
        if (!heap->is_alone && slab->notice_at > 1 && !is_resting)
            return "H3: a heap that is not alone counts on live slots";
        open_bytes += counted_bytes(slab);
    }
    if (!is_each_in_a_ring(heap))
        return "H3: an open slab would not be searched for free slots";
    if (open_bytes != heap->open_bytes)
        return "H3: a heap's open bytes are miscounted";
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        const struct np_slab *slab = heap->current[class_index];

        if (slab != &np_empty_slab &&
            (slab->class_index != class_index || !is_open_here(heap, slab) ||
             np_slab_is_current(slab) == np_slab_is_held(slab)))
            return "H2: a current slab is not this heap's, or of another class, or rests as others do";
    }
    for (size_t granule = 0; granule < NP_DIRECT_COUNT; granule++) {
        unsigned class_index = class_of_request(heap, granule * NP_ALIGNMENT);

        if (heap->direct[granule] != EMPTY_SHELF &&
            heap->direct[granule] != shelf_of(heap, class_index))
            return "H1: a direct entry is not the shelf of its class";
    }
    return NULL;
}
