/* A slab: a run of one or two units cut into slots of one class. Its record lies out of line, in its window's
 * bookkeeping, at the index of its first unit.
 *
 * *Open*: somebody holds the slab, a heap (its owner) or a thread in passing. The holder alone touches the
 * first cache line of the record: the private free list and the counts, with plain loads and stores.
 * *Closed*: nobody does; every free slot is on the list in the shared word, or cold.
 * The whole protocol, its argument and the model that checks it: docs/slab_protocol.md.
 *
 * The word: {head, count, notice, open}. head and count: a list of free slots; pushed by threads that do not
 * hold the slab. notice: the count at which whoever pushes into the closed slab must open it, to see whether
 * it is to be listed, or given back. Everything that decides who holds a slab is in this one word, so that
 * one compare-and-swap decides it.
 *
 * [S1] extended_count <= slot_count; slots from extended_count on are cold: never handed out, not on any list.
 * [S2] Open: the private list and the word's list have, together, extended_count - live slots, where live are
 *      the slots in the program's hands; used_count (= until_notice + notice_at) is extended_count less the
 *      private list's length.
 * [S3] Closed: the private list is empty, so used_count is extended_count; the word's list has all free slots.
 * [S4] is_listed is set and cleared under the depot lock of the class; only the holder sets it.
 * [S5] owner is NULL unless a heap holds the slab; only that heap's thread stores it.
 */
#ifndef NP_HEAP_SLAB_H
#define NP_HEAP_SLAB_H

#include "arena.h"
#include "attr.h"
#include "classes.h"
#include "limits.h"
#include "tree.h"

struct np_heap;

/* What the first bytes of a free slot hold: the next one of its list, encoded with the slab's key. */
struct np_slot {
    uintptr_t encoded_next;
};

enum np_slab_kind {
    NP_SLAB_NONE, /* no slab has its first unit here; a zero record says so */
    NP_SLAB_FIRST,
    NP_SLAB_CONTINUED /* second unit of a slab; its owner stays NULL, so its slots are freed the long way */
};

struct np_slab {
    /* The holder's line. */
    struct np_slot *free_slots;
    uintptr_t key;        /* also in the shared line, so that a pusher need not read this one */
    int32_t until_notice; /* used_count - notice_at; at or below 0 the freeing thread looks */
    int32_t notice_at;    /* -1: never */
    uint16_t slot_count;
    uint16_t extended_count;
    uint8_t open_index; /* in the owner's list of open slabs */
    bool is_populated;         /* memory was put behind all of it at once */
    uint16_t used_when_passed; /* when the search for idle open slabs came by last */
    struct np_tree_node node;   /* in the depot's tree */
    struct np_slab *next_aside; /* in the depot's list of slabs that wait for a fork */

    /* Everybody's line. */
    _Alignas(NP_CACHE_LINE_BYTES) _Atomic uint64_t word;
    _Atomic(struct np_heap *) owner;
    uintptr_t start;
    uintptr_t shared_key;
    struct np_run *run;
    _Atomic bool is_listed;
    uint8_t class_index; /* may be NP_TWIN_CLASS */
    _Atomic uint8_t kind; /* enum np_slab_kind */
    uint8_t unit_count;
    uint16_t slot_bytes;
    uint16_t slots_per_page;
};

_Static_assert(sizeof(struct np_slab) == NP_SLAB_RECORD_BYTES, "the window's records are slabs");

NP_INLINE struct np_slot *np_slot_next(const struct np_slab *slab, const struct np_slot *slot)
{
    return (struct np_slot *)(slot->encoded_next ^ slab->key);
}

NP_INLINE unsigned np_slab_used_count(const struct np_slab *slab)
{
    return (unsigned)(NP_OWNER_GET(slab->until_notice) + NP_OWNER_GET(slab->notice_at));
}

/* Slots on the private list. */
NP_INLINE unsigned np_slab_free_count(const struct np_slab *slab)
{
    return NP_OWNER_GET(slab->extended_count) - np_slab_used_count(slab);
}

NP_INLINE void np_slab_set_notice(struct np_slab *slab, int32_t notice_at)
{
    int32_t used_count = (int32_t)np_slab_used_count(slab);

    NP_OWNER_SET(slab->notice_at, notice_at);
    NP_OWNER_SET(slab->until_notice, used_count - notice_at);
}

/* What a push did. */
enum np_push {
    NP_PUSH_DONE,   /* the slab is not ours to touch any more */
    NP_PUSH_CLAIMED /* it was closed, and the pusher holds it now: collect, then keep or close it */
};

/* Whether a pusher opens a closed slab only when the word's notice asks for it, or in any case. */
enum np_push_wish { NP_PUSH_ONLY, NP_PUSH_AND_OPEN };

/* Frees a slot of a slab that the caller does not hold. */
enum np_push np_slab_push(struct np_slab *slab, void *slot, enum np_push_wish wish);

/* Whether pushing so many more slots would open the slab, as things stand: it is closed, and they reach its notice. */
bool np_slab_is_push_claim(const struct np_slab *slab, unsigned more);

/* Holder: takes what others have pushed. False: nothing was there. */
bool np_slab_collect(struct np_slab *slab);

/* Tries to open a closed slab. False: somebody else holds it. */
bool np_slab_try_open(struct np_slab *slab);

/* Holder of a slab whose shared list has been collected: publishes the private list and closes, unless somebody
 * has pushed since; then false, and the caller collects and thinks again. notice: see the word. */
bool np_slab_try_close(struct np_slab *slab, unsigned notice);

/* Holder: makes at least one more slot out of cold ones, at most slot_limit; false: there are none. */
bool np_slab_extend(struct np_slab *slab, unsigned slot_limit);

/* Bytes from the slab's start that may have been written: what its slots so far reach, in system pages. */
size_t np_slab_extended_bytes(const struct np_slab *slab);

/* Bytes from the slab's start behind which there may be memory: those, and what its run had when it was lent. */
size_t np_slab_resident_bytes(const struct np_slab *slab);

/* A fresh slab, held by the caller; NULL: no memory. home as in np_run_take. */
struct np_slab *np_slab_make(struct np_arena **home, unsigned class_index, unsigned slot_class,
                             enum np_growth growth);

/* Holder of a slab with no live slot and not listed: gives its run back. */
void np_slab_destroy(struct np_slab *slab);

/* The slab that holds the address, or NULL; for any address. It may be foreign to its slots. */
struct np_slab *np_slab_find(uintptr_t address);

/* The number of the slot that begins at this address, or -1 if none that was ever handed out does. */
int np_slab_slot_index(const struct np_slab *slab, uintptr_t address);

/* The address of a slot. */
uintptr_t np_slab_slot_at(const struct np_slab *slab, unsigned slot_index);

/* Parts of the word, for depot, statistics and audits. */
unsigned np_slab_shared_count(const struct np_slab *slab);
bool np_slab_is_open(const struct np_slab *slab);

/* Holder: walks the private list; NULL, or what is wrong. */
const char *np_slab_audit(const struct np_slab *slab);

#endif
