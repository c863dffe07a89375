/* A heap: one thread's set of slabs, and the fast path.
 *
 * The heap's thread alone touches it, except for the counts that walkers read. Slabs it holds open are its
 * own: taking and freeing their slots needs no atomic instruction. It holds few, so that a sleeping
 * thread withholds little (P1): what they may retain is at most NEAP_OPEN_BYTES, 960 KiB unless set;
 * and, if it is not set, what the heap has reserved: of what the first thread's heap leaves, and of the threshold, of which
 * all heaps together may have three quarters.
 *
 * Slots are handed out of current slabs, one a class. They and the others *rest* (slab.h): what others free of them is
 * charged, and visitors return it. They count with what their slots leave that are live at least, and the slab's notice
 * comes when fewer are. So slabs that are full cost nothing, and many can be open. While the process has one thread the heap is
 * *alone*, and all its slabs count so. Where the kernel has no barrier for all threads (np_barrier) current slabs do not
 * rest, and count with all the memory behind them.
 *
 * [H1] direct[g] is the shelf that serves requests of granule g: that of the current slab of the class.
 * [H2] current[c] is an open slab of class c in this heap, or the empty slab.
 * [H3] open[0..open_count) are the slabs whose owner is this heap; open_bytes is the sum of what they may retain before
 *      their owner looks again (counted_granules). In a heap that is not alone notices
 *      of slabs that do not rest are at most 1.
 *      The rings of open_after have each open slab once, by class.
 *
 * Read next: heap.c for refilling and closing, slab.h for slabs, docs/life_of_an_allocation.md for all of it
 * in order.
 */
#ifndef NP_HEAP_HEAP_H
#define NP_HEAP_HEAP_H

#include "attr.h"
#include "bits.h"
#include "classes.h"
#include "slab.h"
#include "tune.h"
#include "window.h"

/* Structural limit on slabs open in one heap; the limit in bytes comes before it mostly. */
#define NP_OPEN_MAX 255

/* So many frees in a row into a closed slab, of those of its class, are a sign that more will follow, and they cost less once
 * it is open here. Opening it, and closing another one for it, costs as much as thirty pushes. */
#define NP_CLAIM_COUNT 6

/* Classes so far apart share a place in `pushed`. */
#define NP_PUSHED_PLACES 16

struct np_heap {
    struct np_shelf *direct[NP_DIRECT_COUNT];
    struct np_slab *current[NP_CLASS_TABLE_COUNT];
    bool is_beyond_limit; /* more is open than may be since a fork, until the heap grows again */
    uint8_t served_by[NP_CLASS_TABLE_COUNT]; /* the class whose slots requests of the class get: the largest of its group */
    uintptr_t pushed[NP_PUSHED_PLACES]; /* by class: the slab of the last free that was not for one of ours, and how many
                                           in a row were; only compared */
    struct np_arena *home;
    size_t held_bytes;    /* the limit of M_MXFAST that direct[] and the twin class's slabs here were made for */
    uint32_t open_count;
    size_t open_bytes;
    size_t open_max_bytes; /* a limit of its own where that is below the knob's */
    size_t reserved_bytes; /* what it may hold open beyond its limit: a part of the threshold (return.h) */
    uint32_t open_hand; /* where the search for an idle slab goes on */
    uint16_t made_count[NP_CLASS_TABLE_COUNT]; /* slabs of the class made here, less those that emptied here */
    uint8_t open_after[NP_OPEN_MAX]; /* of the open slabs of each class, by places in open[]: a ring, searched for free slots */
    uint8_t searched[NP_CLASS_TABLE_COUNT]; /* which of them was last, or NP_OPEN_MAX: the class has none */
    struct np_slab *open[NP_OPEN_MAX]; /* these and open_count: read by those who return memory, too */
    struct np_heap *next;        /* of np_heaps; fixed */
    struct np_heap *next_parked; /* core's, under its lock */
    _Atomic uint32_t is_parked;
    uint32_t emptied_count; /* how often nothing of a current slab was live */
    bool is_alone; /* H3 */
    bool is_refilled_by_others; /* what malloc was refilled with last was freed by other threads */
    uint8_t side;  /* of the depot (depot.h) */
    bool is_first; /* np_heap_be_first */
    uint16_t made_total; /* of made_count */
};

/* Stands in where there is no slab: always without a free slot. "No heap yet", "no slab yet" and "slab exhausted"
 * are therefore one test. Never written. */
extern struct np_slab np_empty_slab;

/* Stands in where a thread has no heap; all its slabs are the empty one, and no slab has it as owner. */
extern struct np_heap np_empty_heap;

/* Whether a heap may be alone: where libc's calls of calloc come to neap, so that it hears of the first thread before that
 * runs. Set before main. */
extern bool np_heap_may_be_alone;

/* The heap that the fast path uses: the thread's own, or the empty heap where every call must take the slow
 * path. */
extern NP_THREAD_LOCAL struct np_heap *np_heap_fast;

/* All heaps of threads, newest first, by `next`; core makes them. It lies with the return engine, which visits what they have
 * open. */
extern _Atomic(struct np_heap *) np_heaps;

/* A slot for a request of at most NP_DIRECT_MAX_BYTES, or NULL: not "no memory", ask the slow path. */
NP_INLINE void *np_heap_try_take(const struct np_heap *heap, size_t size_bytes)
{
    struct np_shelf *shelf = heap->direct[(size_bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT];

    if (NP_UNLIKELY(np_shelf_is_empty(shelf)))
        return NULL;
    return np_shelf_pop(shelf);
}

/* The same at an alignment, a power of two: the first free slot for so many bytes, rounded up to the alignment, if it happens
 * to lie so, as it mostly does. The end of a list, an odd address, never does. */
NP_INLINE void *np_heap_try_take_aligned(const struct np_heap *heap, size_t size_bytes,
                                         size_t alignment_bytes)
{
    size_t rounded_bytes = np_align_up(size_bytes, alignment_bytes);
    struct np_shelf *shelf;

    if (rounded_bytes > NP_DIRECT_MAX_BYTES) /* it is 0 where it would not fit a word */
        return NULL;
    shelf = heap->direct[rounded_bytes / NP_ALIGNMENT];
    if ((uintptr_t)shelf->free_slots % alignment_bytes != 0)
        return NULL;
    return np_shelf_pop(shelf);
}

/* Makes a fresh or reused record an empty heap. */
void np_heap_init(struct np_heap *heap);

/* A slot for a request of at most NP_SMALL_MAX_BYTES: refills as needed. NULL: no memory, or with
 * NP_EXISTING_ONLY neither a slot nor a free run for a slab. */
void *np_heap_take(struct np_heap *heap, size_t size_bytes, enum np_growth growth);

/* The same where the slot must be aligned: a power of two up to NP_GRANULE_BYTES, above NP_ALIGNMENT. The smallest
 * class whose slots are; NULL also when there is none. */
void *np_heap_take_aligned(struct np_heap *heap, size_t size_bytes, size_t alignment_bytes,
                           enum np_growth growth);

/* A slab that this heap holds has reached its notice: it may have become empty, or worth closing. */
void np_heap_notice(struct np_heap *heap, struct np_slab *slab);

/* What is left to do after a push; false: nothing was freed. */
bool np_heap_finish_push(struct np_heap *heap, struct np_slab *slab, enum np_push push,
                         enum np_push_wish wish);

/* Notes a free into a slab that is not ours; whether it is to be opened. */
NP_INLINE bool np_heap_note_pushed(struct np_heap *heap, const struct np_slab *slab)
{
    uintptr_t *last = &heap->pushed[NP_OWNER_GET(slab->class_index) % NP_PUSHED_PLACES];
    uintptr_t record = (uintptr_t)slab;

    _Static_assert(NP_CLAIM_COUNT < NP_SLAB_RECORD_BYTES, "or the count looks like a record");
    *last = (*last - record < NP_CLAIM_COUNT ? *last : record) + 1;
    return *last - record == NP_CLAIM_COUNT;
}

/* Whether a slot that is not free, as far as can be seen at once, begins at an address of a slab's first unit. In a slab that
 * the heap has open it is seen as free sees it, without a look at the bits: what was freed when it was closed may look live. */
bool np_heap_sees_live(const struct np_heap *heap, const struct np_slab *slab, const void *memory);

/* Whether there is room for a slab to be opened, to rest, by the first free into it. */
bool np_heap_has_room_to_rest(const struct np_heap *heap);

/* Frees a slot of a slab that this heap does not hold; heap is NULL in a thread that has none. Any address in the slab may be
 * asked for: false, and nothing was done, if no slot begins there, or one that is free already. */
bool np_heap_push(struct np_heap *heap, struct np_slab *slab, void *memory);

/* The same, for free. */
NP_INLINE bool np_heap_push_fast(struct np_heap *heap, struct np_slab *slab, void *memory)
{
    enum np_push_wish wish = NP_PUSH_ONLY;
    enum np_push push;

    /* Not while a fork lifts the limit of what may be open: nothing would close it if this thread sleeps afterwards. */
    if (heap != NULL &&
        (np_heap_note_pushed(heap, slab) ||
         (NP_OWNER_GET(slab->side) == heap->side && np_heap_has_room_to_rest(heap))) &&
        !atomic_load_explicit(&np_is_fork_under_way, memory_order_relaxed))
        wish = NP_PUSH_AND_OPEN;
    push = np_slab_push(slab, memory, wish);
    return NP_LIKELY(push == NP_PUSH_DONE) || np_heap_finish_push(heap, slab, push, wish);
}

/* Whether a slot at which the program points is free already; for any slot of the slab. heap: the thread's, or NULL. A slab
 * that is open in another heap is judged by what lies in the slot. */
bool np_heap_has_free(const struct np_heap *heap, const struct np_slab *slab, const void *memory);

/* Whether a request of this size and alignment may have been served from the slab. */
bool np_heap_may_have_served(const struct np_slab *slab, size_t size_bytes, size_t alignment_bytes);

/* In the heap's thread: dies if a list of free slots in its slabs was overwritten, or has a slot that is no free one. */
void np_heap_check(const struct np_heap *heap);

/* Closes all slabs the heap holds. */
void np_heap_close_all(struct np_heap *heap);

/* Closes slabs until those that are left may retain so much at most; in a heap that is prepared to be parked. */
void np_heap_close_down_to(struct np_heap *heap, size_t most_bytes);

/* Forgets how far the heap had grown: its next thread begins anew. */
void np_heap_prepare_to_park(struct np_heap *heap);

/* Closes the slabs it holds in which nothing is live, so that they are given back, and with NP_CLOSE_SPARSE those too
 * that have a page on which nothing is, so that it can be returned. */
enum np_close { NP_CLOSE_FREE, NP_CLOSE_SPARSE };
void np_heap_close_free(struct np_heap *heap, enum np_close close);

/* Learns whether the process still has one thread only; where it has not any more, closes what the heap held open because
 * of that. In the heap's thread, before another one runs. */
void np_heap_look_for_company(struct np_heap *heap);

/* Makes what the heap has on private lists free by its bits, so that walkers see it. */
void np_heap_settle(struct np_heap *heap);

/* Makes the heap that of the first thread, which lives as long as the process: nearly half of what it may hold open
 * is there for whichever heap needs it, this one too. */
#define NP_LEFT_BYTES (7 * NP_UNIT_BYTES)
void np_heap_be_first(struct np_heap *heap);

/* What the heap leaves so: nothing where NEAP_OPEN_BYTES is set, which may be read when there is a heap already. */
NP_INLINE size_t np_heap_left_bytes(const struct np_heap *heap)
{
    return heap->is_first && !np_tune_is_set(NP_KNOB_OPEN_BYTES) ? NP_LEFT_BYTES : 0;
}

/* Makes a changed M_MXFAST hold in this heap at once; otherwise its next refill does. */
void np_heap_apply_knobs(struct np_heap *heap);

/* In the heap's thread: NULL, or the invariant that does not hold. */
const char *np_heap_audit(const struct np_heap *heap);

#endif
