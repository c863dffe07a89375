/* A slab: a run of one or two units cut into slots of one class. Its record lies out of line, in its window's
 * bookkeeping, at the index of its first unit, and so does a bitmap with a bit for each slot.
 *
 * *Open*: somebody holds the slab, a heap (its owner) or a thread in passing. The holder alone touches the
 * first cache line of the record: the private free list and the counts, with plain loads and stores.
 * *Closed*: nobody does; every free slot has its bit set.
 * A slot that is free is on the holder's private list, or its bit is set. Bits are set by whoever frees a slot of a
 * slab that he does not hold, and taken by the holder. A *cold* page has no memory behind it; bits of slots on it
 * stay set until it is made warm again.
 * The whole protocol, its argument and the model that checks it: docs/slab_protocol.md.
 *
 * *Resting*: an open slab that its owner does not hold until it wakes it, but frees into as ever. From its list malloc takes
 * nothing, or if it is *current*, goes on taking. A visitor may hold it meanwhile, to return its free pages; from then on it is
 * *taken*: its owner's frees go the long way, too.
 *
 * The word: {count, notice, current, taken, left, visited, resting, listed, closed}. count: free slots by their bits, less
 * those whose bits are set but whose frees have not counted yet. notice: the count at which whoever pushes into the closed slab
 * must open it, to see whether it is to be listed, or given back; and into one that rests, charge it. listed: it is in the
 * depot's tree. Everything that decides who holds a slab is in this one word, so that one compare-and-swap decides it; a
 * zero word is of no slab, and cannot be opened.
 *
 * [S1] A cold page's slots all have their bits set.
 * [S2] Open: the private list has slot_count - live - shared_count slots, where shared_count is the word's count when
 *      its holder looked last, and live (= until_notice + notice_at) counts the slots in the program's hands, those
 *      being freed, and those that have been freed since.
 * [S3] Closed: the private list is empty, and the bits count the free slots once no free is under way.
 * [S4] listed is set and cleared under the depot lock of the class, only by the holder or, cleared, by a taker.
 * [S5] owner is NULL unless a heap holds the slab; only that heap's thread stores it, and NULL a visitor.
 * [S6] charged_count of a closed slab is the number of granules in warm system pages without a live slot, or more, where
 *      threads met; or less while a thread is inside a free. So is that of a taken one, but for a page of its list. It is 0
 *      of slabs that M_MXFAST holds, and where the system has refused to take the memory. Of a slab that rests and is not
 *      taken it is as much at least as others have freed beyond np_slab_slack; of others that a heap owns it is 0.
 * [S7] settled_count of a closed slab is the number of its live slots when it was closed: at most twice what they are
 *      now, since its notice comes before. It is 0 while a heap owns the slab. While the process has one thread, each slot
 *      that is freed is taken off, and it is at most what they are now.
 * [S8] While the process has one thread, charged_pages of a closed slab is 0, or a mask of the granules that it is charged
 *      with.
 * [S9] Of a slab that rests, and was taken, the private list ends at tail_offset, whose slot is free by its bit, as are
 *      moved_count slots that word's count does not count yet.
 * [S10] A link of a list, and its head, may have NP_STOP_MARK: malloc goes no further than that, all others do.
 */
#ifndef NP_HEAP_SLAB_H
#define NP_HEAP_SLAB_H

#include "arena.h"
#include "attr.h"
#include "classes.h"
#include "limits.h"
#include "tree.h"

#include <string.h>

struct np_heap;

/* What the first bytes of a free slot hold: the next one of its private list, encoded with the slab's key, or in a slot that
 * was freed by a push the end of a list, encoded likewise. The upper half is the same in all slots of a slab, and by it free
 * knows a slot that is free already: malloc clears the word. */
struct np_slot {
    uintptr_t encoded_next;
};

/* Free slots of one class for malloc to take: a slab's private list.
 * A list ends with an odd address: the slab's start and 1; NP_NO_SLOT in the empty slab's. Slots are aligned, so that malloc,
 * which stops at any address that is not, stops at most links that were overwritten, too. */
struct np_shelf {
    struct np_slot *free_slots;
    uintptr_t key;        /* encodes the links */
    int32_t until_notice; /* live - notice_at; below 0 the freeing thread looks */
    uint32_t cold_pages;  /* by granule; here because there is a place for it */
};

#define NP_NO_SLOT ((struct np_slot *)(uintptr_t)1)

/* S10. Slots are aligned, so malloc stops there as at a list's end. */
#define NP_STOP_MARK ((uintptr_t)8)

enum np_slab_kind {
    NP_SLAB_NONE, /* no slab has its first unit here; a zero record says so */
    NP_SLAB_FIRST,
    NP_SLAB_CONTINUED /* second unit of a slab; its owner stays NULL, so its slots are freed the long way */
};

struct np_slab {
    /* The holder's line. */
    union {
        struct np_shelf shelf;
        struct {
            struct np_slot *free_slots;
            uintptr_t key;
            int32_t until_notice;
            uint32_t cold_pages;
        };
    };
    uint16_t used_when_passed; /* when the search for idle open slabs came by last */
    int16_t shared_count;      /* the word's count when the holder looked last */
    int16_t notice_at;         /* look when fewer slots are live; 0: never */
    uint8_t open_index;        /* in the owner's list of open slabs */
    uint8_t counted_granules;  /* the owner's: what it counts the slab with */
    struct np_tree_node node;  /* in the depot's tree */
    union {
        struct np_slab *next_aside; /* in the depot's list of slabs that wait for a fork */
        struct {                    /* of one that rests, S9: */
            uint16_t moved_count;   /* slots that visitors took off the list and whose bits do not count yet */
            uint32_t tail_offset;   /* where such a slot begins at which the list ends, or NP_NO_TAIL */
        };
    };

    /* Everybody's line. */
    _Alignas(NP_CACHE_LINE_BYTES) _Atomic uint64_t word;
    _Atomic(struct np_heap *) owner;
    uintptr_t start;
    _Atomic uint64_t *bits;
    uint32_t inverse; /* 2^32 / slot_bytes, rounded up: divides offsets by a multiplication */
    np_half_word free_half; /* the upper half of a free slot's first word */
    uint16_t slot_bytes;
    uint16_t slot_count;
    uint16_t slots_per_page; /* 0: slots straddle pages */
    uint16_t plane_words;    /* of bits: from a word of a granule, or of a loose slab, to the next one */
    uint16_t offset_mask;    /* of an address: how far it is from where slots begin */
    uint16_t settled_count; /* the holder's: S7 */
    _Atomic uint16_t charged_count; /* S6 */
    uint8_t class_index;     /* may be NP_TWIN_CLASS */
    _Atomic uint8_t kind;    /* enum np_slab_kind */
    uint8_t unit_count;
    uint8_t side;           /* the holder's: which heaps are to have it again (depot.h) */
    bool is_refused;        /* the holder's: the system has refused to take its free pages */
    uint16_t spare_bytes;   /* of a slot whose request is plainly right, at most */
    uint16_t charged_pages; /* S8 */
};

_Static_assert(sizeof(struct np_slab) == NP_SLAB_RECORD_BYTES, "the window's records are slabs");

/* Sums over all slabs: of charged_count, what slabs that are closed or rest retain; of settled_count in bytes; of granules. */
struct np_slab_sums {
    _Alignas(NP_CACHE_LINE_BYTES) _Atomic size_t charged_granules;
    _Atomic size_t settled_bytes;
    _Atomic size_t granules;
};
extern struct np_slab_sums np_slab_sums;

/* Of settled_bytes the threshold goes by whole steps, so that not each free lowers it. A power of two. */
#define NP_SETTLED_STEP_BYTES ((size_t)1 << 20)

/* Where lists of the slab end. */
NP_INLINE struct np_slot *np_slab_end(const struct np_slab *slab)
{
    return (struct np_slot *)(slab->start | 1);
}

/* The slot that a link or a list's head leads to, whether malloc stops there or not. */
NP_INLINE struct np_slot *np_slot_unmarked(const struct np_slot *slot)
{
    return (struct np_slot *)((uintptr_t)slot & ~NP_STOP_MARK);
}

/* The slot behind this one on its list, or the end. */
NP_INLINE struct np_slot *np_slot_next(const struct np_slab *slab, const struct np_slot *slot)
{
    return (struct np_slot *)((slot->encoded_next ^ slab->key) & ~NP_STOP_MARK);
}

/* The first slot of the private list, or the end. */
NP_INLINE struct np_slot *np_slab_first(const struct np_slab *slab)
{
    return np_slot_unmarked(slab->free_slots);
}

/* Whether the list ends here; or is damaged, where it does not end as it should. */
NP_INLINE bool np_slot_is_end(const struct np_slot *slot)
{
    return (uintptr_t)slot % NP_ALIGNMENT != 0;
}

NP_INLINE bool np_shelf_is_empty(const struct np_shelf *shelf)
{
    return np_slot_is_end(shelf->free_slots);
}

/* Takes the first slot of a shelf that has one. */
NP_INLINE struct np_slot *np_shelf_pop(struct np_shelf *shelf)
{
    struct np_slot *slot = shelf->free_slots;
    uintptr_t next;

    NP_IN_RESULT_REGISTER(slot);
    next = slot->encoded_next ^ shelf->key;
    NP_FAST_SET(shelf->free_slots, (struct np_slot *)next);
    atomic_signal_fence(memory_order_seq_cst); /* a handler that ends the process looks through the list */
    slot->encoded_next = 0;
    NP_OWNER_ADD(shelf->until_notice, 1);
    return slot;
}

/* Whether a slot may begin at an address of the slab's first unit: false for all that lie inside a slot. The fraction of the
 * quotient, which is what is left of the product in 32 bits, is below 2^16 for a multiple and at least the inverse, 2^18,
 * for anything else. */
NP_INLINE bool np_slab_may_begin_slot(const struct np_slab *slab, const void *memory)
{
    uint32_t offset = (uint32_t)(uintptr_t)memory & slab->offset_mask;

    return offset * slab->inverse < slab->inverse;
}

/* Whether a request of so many bytes is one that the slab's class serves when groups are halved down to pairs; false does not
 * say that it was not served from here. */
NP_INLINE bool np_slab_serves(const struct np_slab *slab, size_t size_bytes)
{
    return slab->slot_bytes - size_bytes <= slab->spare_bytes;
}

/* Whether the slot looks free: it is, or its contents happen to look so, as one in 2^32 does. */
NP_INLINE bool np_slab_looks_free(const struct np_slab *slab, const void *slot)
{
    np_half_word half;

    memcpy(&half, (const char *)slot + NP_UPPER_HALF_AT, sizeof half);
    return half == slab->free_half;
}

/* Whether a block of one of its slots that is resized to so much stays where it is: a slot that would be more than half
 * empty is exchanged for a smaller one. */
NP_INLINE bool np_slab_keeps(const struct np_slab *slab, size_t size_bytes)
{
    return size_bytes <= slab->slot_bytes && size_bytes >= slab->slot_bytes / 2U;
}

/* Holder: frees a slot. True: the slab has reached its notice. */
NP_INLINE bool np_slab_give(struct np_slab *slab, void *memory)
{
    struct np_slot *slot = memory;

    slot->encoded_next = (uintptr_t)slab->free_slots ^ slab->key;
    /* release: a visitor that finds the slot at the list's head follows its link. */
    NP_OWNER_RELEASE(slab->free_slots, slot);
    NP_OWNER_ADD(slab->until_notice, -1);
    return slab->until_notice < 0;
}

/* Holder: slots in the program's hands, as far as it has looked (S2). */
NP_INLINE int32_t np_slab_live_count(const struct np_slab *slab)
{
    return NP_OWNER_GET(slab->until_notice) + NP_OWNER_GET(slab->notice_at);
}

/* Holder: slots on the private list. */
NP_INLINE unsigned np_slab_private_count(const struct np_slab *slab)
{
    return (unsigned)(slab->slot_count - np_slab_live_count(slab) -
                      NP_OWNER_GET(slab->shared_count));
}

/* Holder: to look when fewer slots than this are live, as far as it has looked; 0: never. */
NP_INLINE void np_slab_set_notice(struct np_slab *slab, int notice_at)
{
    NP_OWNER_SET(slab->until_notice, np_slab_live_count(slab) - notice_at);
    NP_OWNER_SET(slab->notice_at, (int16_t)notice_at);
}

#define NP_SLAB_CLOSED_BIT UINT64_C(1)
#define NP_SLAB_LISTED_BIT UINT64_C(2)
#define NP_SLAB_RESTING_BIT UINT64_C(4)
#define NP_SLAB_VISITED_BIT UINT64_C(8)
#define NP_SLAB_LEFT_BIT UINT64_C(16)
#define NP_SLAB_TAKEN_BIT UINT64_C(32)
#define NP_SLAB_CURRENT_BIT UINT64_C(64)
/* Others' frees charge whole pages that they see free by their bits. */
#define NP_SLAB_EXACT_BITS (NP_SLAB_CLOSED_BIT | NP_SLAB_VISITED_BIT | NP_SLAB_TAKEN_BIT)
#define NP_NO_TAIL UINT32_MAX

/* What a push did. */
enum np_push {
    NP_PUSH_DONE,    /* the slab is not ours to touch any more */
    NP_PUSH_CHARGED, /* the same, and a page of it is retained now that was not, or less is live by a step: look whether
                      * too much is retained */
    NP_PUSH_CLAIMED, /* it was closed, and the pusher holds it now: adopt or settle it */
    NP_PUSH_TWICE,   /* the slot is free already: nothing was done */
    NP_PUSH_STRAY    /* no slot begins there: nothing was done */
};

/* Whether a pusher opens a closed slab only where the protocol asks for it, or in any case. */
enum np_push_wish { NP_PUSH_ONLY, NP_PUSH_AND_OPEN };

/* Frees a slot of a slab that the caller does not hold; any address in the slab may be asked for. */
enum np_push np_slab_push(struct np_slab *slab, void *slot, enum np_push_wish wish);

/* Tries to open a closed slab; for any record, also one of no slab or of another than the caller believes. True: *word is
 * the word as it is now. */
bool np_slab_try_open(struct np_slab *slab, uint64_t *word);

/* Owner: lets the slab rest; malloc takes from its list meanwhile, or does not. */
void np_slab_rest(struct np_slab *slab, bool is_current);

/* Owner: malloc takes no more from a slab that rests. */
void np_slab_retire(struct np_slab *slab);

/* Owner: wakes the slab if it rests; whether it is held by its owner now. False: a visitor has it. */
bool np_slab_wake(struct np_slab *slab, struct np_heap *owner);

/* Who was its owner: as np_slab_wake, but a visitor who has it is told to settle it. */
bool np_slab_leave(struct np_slab *slab);

/* A current slab that is being visited: where malloc is to stop. */
struct np_stop {
    struct np_slab *slab;   /* NULL: there is none */
    struct np_slot *second; /* of the list, or NULL */
    struct np_slot *mark;   /* its link; NULL: no more is on the list than malloc is left */
    bool is_possible;
};

/* A visitor takes a slab that rests, and its charge off, and gets the pages to return, as np_slab_take_charge does. False: it
 * does not rest; or it is current, and the visit, of which *stop tells then, is to be finished after np_barrier. */
bool np_slab_try_visit(struct np_slab *slab, struct np_stop *stop, uint32_t *pages);

/* Goes on with such a visit. False: malloc could not be stopped, or the barrier was refused; the slab rests. */
bool np_slab_finish_stop(const struct np_stop *stop, bool is_barrier_over, uint32_t *pages);

/* The visitor goes; false: its owner has left it meanwhile, and it is the visitor's to settle. */
bool np_slab_end_visit(struct np_slab *slab);

/* So many slots others may free of a slab that rests before it is charged. */
unsigned np_slab_slack(const struct np_slab *slab);

/* Of a slab that a heap owns: whether it does not rest; whether a visitor has it, or has had it since it rests. */
NP_INLINE bool np_slab_is_held(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) &
            (NP_SLAB_RESTING_BIT | NP_SLAB_VISITED_BIT)) == 0;
}

NP_INLINE bool np_slab_is_current(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) & NP_SLAB_CURRENT_BIT) != 0;
}

NP_INLINE bool np_slab_is_taken(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) &
            (NP_SLAB_TAKEN_BIT | NP_SLAB_VISITED_BIT)) != 0;
}

/* Holder: learns what others have freed; live and private counts are exact then, but for frees under way. */
void np_slab_look(struct np_slab *slab);

/* Holder: takes some free slots of warm pages onto the private list. False: there are none. Dies if the list does not end as
 * it should. */
bool np_slab_refill(struct np_slab *slab);

/* Holder: follows all links of the private list; dies, with the slot's address, at one that leads nowhere, and at lists that
 * go round. Also in a signal handler that has interrupted anything here. */
void np_slab_check_links(const struct np_slab *slab);

/* The same, and dies at a slot that is free by its bit, too; not in such a handler. */
void np_slab_check(const struct np_slab *slab);

/* Holder: whether this slot is on a private list or free by its bit. */
bool np_slab_is_free(const struct np_slab *slab, const void *memory);

/* The same for others, of a slot that looks free: it is free by its bit, or its whole first word is that of a slot on a list
 * of an open slab. A live one has such a word by chance once in 2^50 blocks whose first word the program makes up. */
bool np_slab_is_surely_free(const struct np_slab *slab, const void *memory);

/* Whether more slots are free than lie on cold pages. Anybody may ask; a hint, since others change both. */
bool np_slab_may_have_warm_slots(const struct np_slab *slab);

/* Holder: makes a cold system page warm and takes slots from there; false: no slot is cold. With a granule_count above 1
 * that many if they are neighbours, and memory is put behind all of them at once. */
bool np_slab_extend(struct np_slab *slab, unsigned granule_count);

/* Holder: whether extending has something to extend to. */
bool np_slab_is_extendable(const struct np_slab *slab);

/* Holder: everything of the private list is free by its bit again; returns the word as it is then. */
uint64_t np_slab_publish(struct np_slab *slab);

/* The same of a slab without a live slot: its list is not followed, and so not checked. */
void np_slab_publish_all(struct np_slab *slab);

/* Holder of a published slab: closes it if the word is still this one; otherwise somebody has pushed, or a taker has
 * unlisted it: think again. */
bool np_slab_try_close(struct np_slab *slab, uint64_t word, unsigned notice, bool is_listed);

/* Holder, under the depot's lock, has removed the slab from the tree: marks it as not listed. */
void np_slab_note_unlisted(struct np_slab *slab);

/* A taker, under the depot's lock, has removed the slab from the tree: opens it, or leaves it to its holder and answers
 * false. Either way it is marked as not listed. */
bool np_slab_take_listed(struct np_slab *slab);

/* Holder of a published slab: the warm granules, as a mask, of system pages on which no slot is live. */
uint32_t np_slab_free_pages(const struct np_slab *slab);

/* Whether so many free slots may be all of a page's. */
bool np_slab_may_have_free_pages(const struct np_slab *slab, unsigned free_count);

/* For a visitor that finds a record without a charge: clears the bit in the word of its window's map that told him of it.
 * Nothing else of the record is looked at: it may be of no slab. */
void np_slab_hide_from_visitors(struct np_slab *slab, _Atomic uint64_t *word, uint64_t bit);

/* A visitor who has opened it takes the charge off, and gets the pages to return, as np_slab_free_pages; the bit as above. */
uint32_t np_slab_take_charge(struct np_slab *slab, _Atomic uint64_t *word, uint64_t bit);

/* Holder: closes a slab again that it has only opened to purge pages; the word is that of before it looked at them. False:
 * somebody has pushed. */
bool np_slab_try_reclose(struct np_slab *slab, uint64_t word);

/* Holder: sets what the slab counts as while it is closed (S6, S7); the first returns what it was. */
unsigned np_slab_charge(struct np_slab *slab, unsigned granule_count);
void np_slab_count_settled(struct np_slab *slab, unsigned live_count);

/* Bytes of the slab behind which there may be memory. */
size_t np_slab_resident_bytes(const struct np_slab *slab);

/* A fresh slab, held by the caller; NULL: no memory. home as in np_run_take. */
struct np_slab *np_slab_make(struct np_arena **home, unsigned class_index, unsigned slot_class,
                             enum np_growth growth);

/* Holder of a slab with no live slot and not listed: gives its run back. */
void np_slab_destroy(struct np_slab *slab);

/* The slab that holds the address, or NULL; for any address. It may be foreign to its slots. */
struct np_slab *np_slab_find(uintptr_t address);

/* The number of the slot that begins at this address, or -1 if none does. */
int np_slab_slot_index(const struct np_slab *slab, uintptr_t address);

/* The address of a slot. */
uintptr_t np_slab_slot_at(const struct np_slab *slab, unsigned slot_index);

/* Whether the slot that begins at this address is free by its bit: no live one is. */
bool np_slab_is_free_bit(const struct np_slab *slab, uintptr_t address);

/* Whether a slot that is not free, as far as can be seen at once, begins at this address of the slab. */
bool np_slab_is_live(const struct np_slab *slab, const void *memory);

/* The parts of a word. */
NP_INLINE int np_slab_word_count(uint64_t word)
{
    return (int16_t)(uint16_t)(word >> 48);
}


NP_INLINE bool np_slab_is_open(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) & NP_SLAB_CLOSED_BIT) == 0;
}

NP_INLINE bool np_slab_is_listed(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) & NP_SLAB_LISTED_BIT) != 0;
}

/* For walkers: what a slab has, perhaps a few frees old, but consistent in itself: live + free = slots. */
struct np_slab_view {
    unsigned slot_count;
    unsigned live_count;
    unsigned free_count;
    size_t slot_bytes;
    size_t resident_bytes; /* of its warm pages */
    size_t retained_bytes; /* closed: of warm system pages without a live slot; open: unknown, 0 */
    bool is_open;
};

void np_slab_view(const struct np_slab *slab, struct np_slab_view *view);

/* Holder: NULL, or what is wrong. */
const char *np_slab_audit(const struct np_slab *slab);

#endif
