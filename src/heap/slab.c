/* The slab's word and its private side. The argument for each step is in docs/slab_protocol.md; in short, next to
 * the code:
 *
 * A pusher has a live slot in the slab until its CAS succeeds, so until then the slab cannot be given back and
 * its record is stable. Afterwards it may be, so nothing is touched, unless that same CAS set `open`: then
 * the pusher holds the slab and nobody else can.
 * Lists are pushed to one slot at a time and taken whole, so a head that went and came back (ABA) is as
 * good as one that stayed: the new slot points to it, and it is the whole of the list again.
 * Only a holder clears `open`, and only by a CAS from a word whose list is empty, so no slot pushed meanwhile is
 * overwritten.
 */
#include "slab.h"

#include "bits.h"
#include "check.h"
#include "meta.h"
#include "window.h"

/* word: bits 0-15 head (the slot's offset / 16 + 1, 0: none), 16-31 count, 32-47 notice, 48 open. */
#define COUNT_SHIFT 16
#define NOTICE_SHIFT 32
#define OPEN_BIT (UINT64_C(1) << 48)
#define LIST_MASK UINT64_C(0xFFFFFFFF) /* head and count */

static unsigned word_head(uint64_t word)
{
    return word & 0xFFFF;
}

static unsigned word_count(uint64_t word)
{
    return (word >> COUNT_SHIFT) & 0xFFFF;
}

static unsigned word_notice(uint64_t word)
{
    return (word >> NOTICE_SHIFT) & 0xFFFF;
}

static struct np_slot *slot_of_head(const struct np_slab *slab, unsigned head)
{
    return head == 0 ? NULL
                     : (struct np_slot *)(slab->start + (size_t)(head - 1) * NP_ALIGNMENT);
}

static unsigned head_of_slot(const struct np_slab *slab, const struct np_slot *slot)
{
    return (unsigned)(((uintptr_t)slot - slab->start) / NP_ALIGNMENT) + 1;
}

enum np_push np_slab_push(struct np_slab *slab, void *memory, enum np_push_wish wish)
{
    struct np_slot *slot = memory;
    uint64_t head = head_of_slot(slab, slot);
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    for (;;) {
        uint64_t count = word_count(word) + 1;
        uint64_t next_word = (word & ~LIST_MASK) | count << COUNT_SHIFT | head;
        bool is_claim = (word & OPEN_BIT) == 0 &&
                        (count >= word_notice(word) || wish == NP_PUSH_AND_OPEN);

        if (is_claim)
            next_word |= OPEN_BIT;
        slot->encoded_next = (uintptr_t)slot_of_head(slab, word_head(word)) ^ slab->shared_key;
        /* release: the slot's contents, and whatever the program wrote there before, are seen by who takes
         * the list (the acquire in np_slab_collect). acquire: a claimant sees what the last holder left in
         * the private line (the release in np_slab_try_close). */
        if (atomic_compare_exchange_weak_explicit(&slab->word, &word, next_word,
                                                  memory_order_acq_rel, memory_order_relaxed))
            return is_claim ? NP_PUSH_CLAIMED : NP_PUSH_DONE;
    }
}

bool np_slab_is_push_claim(const struct np_slab *slab, unsigned more)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    return (word & OPEN_BIT) == 0 && word_count(word) + more >= word_notice(word);
}

/* Walks a collected list onto the private one, when that has slots already. The list's length bounds the walk, so
 * a damaged link ends in a message, not in a loop. */
static void prepend(struct np_slab *slab, struct np_slot *slot, unsigned count)
{
    while (count-- > 0) {
        struct np_slot *next = np_slot_next(slab, slot);

        slot->encoded_next = (uintptr_t)slab->free_slots ^ slab->key;
        slab->free_slots = slot;
        slot = next;
    }
}

bool np_slab_collect(struct np_slab *slab)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    while ((word & LIST_MASK) != 0) {
        /* acquire pairs with the pushers' release. The rest of the word stays as it is: exchanging all of it
         * would overwrite a flag. */
        if (atomic_compare_exchange_weak_explicit(&slab->word, &word, word & ~LIST_MASK,
                                                  memory_order_acquire, memory_order_relaxed)) {
            struct np_slot *list = slot_of_head(slab, word_head(word));

            if (slab->free_slots == NULL)
                slab->free_slots = list;
            else
                prepend(slab, list, word_count(word));
            NP_OWNER_ADD(slab->until_notice, -(int32_t)word_count(word));
            return true;
        }
    }
    return false;
}

bool np_slab_try_open(struct np_slab *slab)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

    while ((word & OPEN_BIT) == 0)
        /* acquire pairs with the release in np_slab_try_close: we see the private line. */
        if (atomic_compare_exchange_weak_explicit(&slab->word, &word, word | OPEN_BIT,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

bool np_slab_try_close(struct np_slab *slab, unsigned notice)
{
    uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);
    uint64_t count = np_slab_free_count(slab);
    struct np_slot *list = slab->free_slots;
    uint64_t closed = (uint64_t)notice << NOTICE_SHIFT;

    if ((word & LIST_MASK) != 0)
        return false;
    if (list != NULL)
        closed |= count << COUNT_SHIFT | head_of_slot(slab, list);
    slab->free_slots = NULL;
    /* release: the next holder sees the private line as we leave it. A slot pushed since the load makes the
     * CAS fail, so none is lost. The private count stays: S3 says what it means while closed, and
     * the slots come back through collect, which counts them off again. */
    NP_OWNER_ADD(slab->until_notice, (int32_t)count);
    if (atomic_compare_exchange_strong_explicit(&slab->word, &word, closed, memory_order_release,
                                                memory_order_relaxed))
        return true;
    NP_OWNER_ADD(slab->until_notice, -(int32_t)count);
    slab->free_slots = list;
    return false;
}

uintptr_t np_slab_slot_at(const struct np_slab *slab, unsigned slot_index)
{
    unsigned per_page = slab->slots_per_page;

    if (per_page == 0)
        return slab->start + (uintptr_t)slot_index * slab->slot_bytes;
    return slab->start + (uintptr_t)(slot_index / per_page) * NP_GRANULE_BYTES +
           (uintptr_t)(slot_index % per_page) * slab->slot_bytes;
}

int np_slab_slot_index(const struct np_slab *slab, uintptr_t address)
{
    uintptr_t offset = address - slab->start;
    unsigned before = 0;
    unsigned index;

    if (slab->slots_per_page != 0) {
        before = (unsigned)(offset / NP_GRANULE_BYTES) * slab->slots_per_page;
        offset %= NP_GRANULE_BYTES;
    }
    index = (unsigned)(offset / slab->slot_bytes);
    if (offset % slab->slot_bytes != 0 ||
        (slab->slots_per_page != 0 && index >= slab->slots_per_page))
        return -1;
    index += before;
    return index < NP_OWNER_GET(slab->extended_count) ? (int)index : -1;
}

static size_t bytes_of_slots(const struct np_slab *slab, unsigned count)
{
    return count == 0 ? 0 : np_slab_slot_at(slab, count - 1) + slab->slot_bytes - slab->start;
}

size_t np_slab_extended_bytes(const struct np_slab *slab)
{
    if (NP_OWNER_GET(slab->is_populated))
        return (size_t)slab->unit_count * NP_UNIT_BYTES;
    return np_align_up(bytes_of_slots(slab, NP_OWNER_GET(slab->extended_count)),
                       np_page_bytes());
}

size_t np_slab_resident_bytes(const struct np_slab *slab)
{
    return np_max(np_slab_extended_bytes(slab),
                  (size_t)slab->run->resident_to << NP_GRANULE_SHIFT);
}

/* How many slots end at or before this offset. */
static unsigned slots_within(const struct np_slab *slab, size_t offset)
{
    size_t count = slab->slots_per_page != 0
                       ? offset / NP_GRANULE_BYTES * slab->slots_per_page
                       : offset / slab->slot_bytes;

    return (unsigned)np_min(count, slab->slot_count);
}

bool np_slab_extend(struct np_slab *slab, unsigned slot_limit)
{
    unsigned from = slab->extended_count;
    size_t page_end = np_align_up(bytes_of_slots(slab, from) + slab->slot_bytes,
                                  np_page_bytes());
    unsigned to = slots_within(slab, page_end);
    struct np_slot *next = slab->free_slots;

    if (from == slab->slot_count)
        return false;
    if (slot_limit > to)
        to = (unsigned)np_min(slot_limit, slab->slot_count);
    /* From the last to the first, so that the list rises: neighbours in time are neighbours in memory. */
    for (unsigned index = to; index-- > from;) {
        struct np_slot *slot = (struct np_slot *)np_slab_slot_at(slab, index);

        slot->encoded_next = (uintptr_t)next ^ slab->key;
        next = slot;
    }
    slab->free_slots = next;
    NP_OWNER_SET(slab->extended_count, (uint16_t)to);
    return true;
}

struct np_slab *np_slab_find(uintptr_t address)
{
    struct np_slab *slab = np_window_record(address);
    uint8_t kind;

    if (slab == NULL)
        return NULL;
    /* acquire pairs with the release in np_slab_make. */
    kind = atomic_load_explicit(&slab->kind, memory_order_acquire);
    if (kind == NP_SLAB_CONTINUED)
        return np_window_record(address - NP_UNIT_BYTES);
    return kind == NP_SLAB_FIRST ? slab : NULL;
}

/* Marks the second unit of a slab that has one. Its record may be in another window's bookkeeping. */
static void mark_second_unit(const struct np_slab *slab, enum np_slab_kind kind)
{
    struct np_slab *second;

    if (slab->unit_count == 1)
        return;
    second = np_window_record(slab->start + NP_UNIT_BYTES);
    atomic_store_explicit(&second->owner, NULL, memory_order_relaxed);
    atomic_store_explicit(&second->kind, kind, memory_order_release);
}

static void set_shape(struct np_slab *slab, unsigned class_index, unsigned slot_class)
{
    const struct np_class *shape = &np_classes[slot_class];

    slab->class_index = (uint8_t)class_index;
    slab->slot_bytes = shape->slot_bytes;
    slab->slots_per_page = shape->slots_per_page;
    slab->slot_count = shape->slot_count;
    slab->unit_count = (uint8_t)shape->unit_count;
}

struct np_slab *np_slab_make(struct np_arena **home, unsigned class_index, unsigned slot_class,
                             enum np_growth growth)
{
    unsigned unit_count = np_classes[slot_class].unit_count;
    struct np_run *run = np_run_take(home, unit_count * NP_UNIT_GRANULES, NP_UNIT_BYTES,
                                     NP_RUN_SLAB, growth);
    struct np_slab *slab;

    if (run == NULL)
        return NULL;
    slab = np_window_record(run->start);
    slab->free_slots = NULL;
    slab->key = np_mix(run->start ^ np_secret());
    slab->shared_key = slab->key;
    NP_OWNER_SET(slab->extended_count, 0);
    NP_OWNER_SET(slab->notice_at, 0);
    NP_OWNER_SET(slab->until_notice, 0);
    slab->used_when_passed = 0;
    slab->is_populated = false;
    slab->run = run;
    slab->start = run->start;
    set_shape(slab, class_index, slot_class);
    atomic_store_explicit(&slab->is_listed, false, memory_order_relaxed);
    atomic_store_explicit(&slab->owner, NULL, memory_order_relaxed);
    atomic_store_explicit(&slab->word, OPEN_BIT, memory_order_relaxed);
    mark_second_unit(slab, NP_SLAB_CONTINUED);
    /* release pairs with the acquire in np_slab_find, for those that ask about an address of their own
     * finding; the program's own blocks reach other threads by its own synchronisation. */
    atomic_store_explicit(&slab->kind, NP_SLAB_FIRST, memory_order_release);
    return slab;
}

void np_slab_destroy(struct np_slab *slab)
{
    struct np_run *run = slab->run;
    size_t touched_bytes = np_slab_extended_bytes(slab);

    NP_ASSERT(!atomic_load(&slab->is_listed));
    atomic_store_explicit(&slab->owner, NULL, memory_order_relaxed);
    mark_second_unit(slab, NP_SLAB_NONE);
    atomic_store_explicit(&slab->kind, NP_SLAB_NONE, memory_order_relaxed);
    np_run_give(run, np_min(touched_bytes >> NP_GRANULE_SHIFT, run->granule_count));
}

unsigned np_slab_shared_count(const struct np_slab *slab)
{
    return word_count(atomic_load_explicit(&slab->word, memory_order_relaxed));
}

bool np_slab_is_open(const struct np_slab *slab)
{
    return (atomic_load_explicit(&slab->word, memory_order_relaxed) & OPEN_BIT) != 0;
}

const char *np_slab_audit(const struct np_slab *slab)
{
    const struct np_slot *slot = slab->free_slots;
    unsigned count = 0;

    if (slab->extended_count > slab->slot_count)
        return "S1: a slab is extended beyond its slots";
    for (; slot != NULL && count <= slab->extended_count; count++) {
        if (np_slab_slot_index(slab, (uintptr_t)slot) < 0)
            return "S2: a free list leaves its slab";
        slot = np_slot_next(slab, slot);
    }
    if (count != np_slab_free_count(slab))
        return "S2: the private list's length and used_count differ";
    return NULL;
}
