/* Listing and closing slabs. Read docs/slab_protocol.md first, then slab.c. */
#include "depot.h"

#include <limits.h>

#include "alone.h"
#include "bits.h"
#include "check.h"
#include "lock.h"
#include "mxfast.h"
#include "returned.h"

struct depot {
    _Alignas(NP_CACHE_LINE_BYTES) struct np_lock lock;
    struct np_tree slabs;
    _Atomic size_t count;
};

/* clang-format off */
#define LOCKS_4 {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, \
                {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}
#define LOCKS_16 LOCKS_4, LOCKS_4, LOCKS_4, LOCKS_4
static NP_SPARSE_DATA struct depot depots[NP_CLASS_TABLE_COUNT + 1] = {LOCKS_16, LOCKS_16, LOCKS_16, LOCKS_16};
/* clang-format on */
_Static_assert(NP_CLASS_TABLE_COUNT + 1 == 64, "every depot's lock has its rank");

/* A slab is listed, and a full one looked at again, from this share of its slots on: below that, listing and
 * taking it would cost more than its few slots save. It bounds what full slabs hide to 1/8. */
#define ROOM_SHARE 8

/* So many slabs of a class that are entirely free are listed as others are, while there are several threads. */
#define FREE_SLABS_MAX 8

/* A key orders by side, then by room, then by address. */
#define SIDE_SHIFT 61
#define ROOM_SHIFT 48
_Static_assert(NP_DEPOT_SIDES == 1U << (64 - SIDE_SHIFT), "a key has room for the side");

static unsigned room_to_list(const struct np_slab *slab)
{
    unsigned room = slab->slot_count / ROOM_SHARE;

    return room > 0 ? room : 1;
}

static struct np_slab *slab_of(struct np_tree_node *node)
{
    return (struct np_slab *)(void *)((char *)node - offsetof(struct np_slab, node));
}

/* With how much room the slab was listed. */
static unsigned listed_room(const struct np_tree_node *node)
{
    return (unsigned)(node->key >> ROOM_SHIFT) & ((1U << (SIDE_SHIFT - ROOM_SHIFT)) - 1);
}

static uint64_t key_of_side(unsigned side)
{
    return (uint64_t)side << SIDE_SHIFT;
}

/* The fullest slab of a side; none: of the sides behind it, round to the first. */
static struct np_tree_node *first_of(const struct depot *depot, unsigned side)
{
    struct np_tree_node *node = np_tree_first_from(&depot->slabs, key_of_side(side));

    return node != NULL ? node : np_tree_first_from(&depot->slabs, 0);
}

static void insert(struct depot *depot, struct np_slab *slab, unsigned room)
{
    slab->node.key = key_of_side(slab->side) | (uint64_t)room << ROOM_SHIFT |
                     slab->start >> NP_UNIT_SHIFT;
    np_tree_insert(&depot->slabs, &slab->node);
    atomic_fetch_add_explicit(&depot->count, 1, memory_order_relaxed);
}

static void take_out(struct depot *depot, struct np_slab *slab)
{
    np_tree_remove(&depot->slabs, &slab->node);
    atomic_fetch_sub_explicit(&depot->count, 1, memory_order_relaxed);
}

size_t np_depot_count(unsigned class_index)
{
    return atomic_load_explicit(&depots[class_index].count, memory_order_relaxed);
}

struct np_slab *np_depot_take(unsigned class_index, unsigned side)
{
    struct depot *depot = &depots[class_index];
    struct np_slab *slab = NULL;

    /* Mostly empty: a look without the lock spares it. A stale answer costs a fresh slab at worst. */
    if (atomic_load_explicit(&depot->count, memory_order_relaxed) == 0 ||
        !np_lock_acquire(&depot->lock))
        return NULL;
    for (;;) {
        struct np_tree_node *node = first_of(depot, side);

        if (node == NULL) {
            slab = NULL;
            break;
        }
        slab = slab_of(node);
        /* Out of the tree first: a holder that finds itself unlisted may give the slab back. */
        take_out(depot, slab);
        if (np_slab_take_listed(slab))
            break;
    }
    np_lock_release(&depot->lock);
    return slab;
}

/* Slabs whose holders could not have the lock because a fork had it. They stay open, so nobody else touches
 * them; the forking thread settles them when it has freed the locks. */
static _Atomic(struct np_slab *) slabs_aside;

/* A push after the forking thread has looked at the list would wait for the next fork; so whoever pushed looks at the
 * lock again. The two fences keep each side's look behind its own store: one of them sees the other. */
static void put_aside(const struct depot *depot, struct np_slab *slab)
{
    struct np_slab *first = atomic_load_explicit(&slabs_aside, memory_order_relaxed);

    do
        slab->next_aside = first;
    while (!atomic_compare_exchange_weak_explicit(&slabs_aside, &first, slab,
                                                  memory_order_release, memory_order_relaxed));
    atomic_thread_fence(memory_order_seq_cst);
    if (!np_lock_is_held_for_fork(&depot->lock))
        np_depot_settle_aside();
}

void np_depot_settle_aside(void)
{
    struct np_slab *slab;

    atomic_thread_fence(memory_order_seq_cst);
    /* Pushed to one at a time and taken whole, so no push is fooled by a head that came back. acquire pairs with the
     * release above. */
    slab = atomic_exchange_explicit(&slabs_aside, NULL, memory_order_acquire);
    while (slab != NULL) {
        struct np_slab *next = slab->next_aside;

        np_depot_settle(slab);
        slab = next;
    }
}

/* Takes the slab out of the tree if it is there still. False: a fork has the lock. */
static bool unlist(struct depot *depot, struct np_slab *slab)
{
    if (!np_lock_acquire(&depot->lock))
        return false;
    if (np_slab_is_listed(slab)) {
        take_out(depot, slab);
        np_slab_note_unlisted(slab);
    }
    np_lock_release(&depot->lock);
    return true;
}

/* Lists and closes in one step for takers, because both happen under the lock. */
enum listing { LISTING_DONE, LISTING_PUSHED, LISTING_REFUSED, LISTING_NOT_WANTED };

/* Whether so many slabs of the class and side are listed that were entirely free when they were. Under the lock. */
static bool has_free_slabs(const struct depot *depot, const struct np_slab *like, unsigned most)
{
    uint64_t end = key_of_side(like->side + 1U); /* 0 behind the last side */
    struct np_tree_node *node = end != 0 ? np_tree_last_before(&depot->slabs, end)
                                         : np_tree_last(&depot->slabs);

    for (; node != NULL && node->key >> SIDE_SHIFT == like->side &&
           listed_room(node) == like->slot_count && most > 0;
         most--)
        node = np_tree_last_before(&depot->slabs, node->key);
    return most == 0;
}

static enum listing list_and_close(struct depot *depot, struct np_slab *slab, uint64_t word,
                                   unsigned notice)
{
    enum listing listing;

    if (!np_lock_acquire(&depot->lock))
        return LISTING_REFUSED;
    if (np_slab_word_count(word) == slab->slot_count &&
        !np_mxfast_is_held(slab->class_index) && has_free_slabs(depot, slab, FREE_SLABS_MAX)) {
        np_lock_release(&depot->lock);
        return LISTING_NOT_WANTED;
    }
    insert(depot, slab, (unsigned)np_slab_word_count(word));
    listing = np_slab_try_close(slab, word, notice, true) ? LISTING_DONE : LISTING_PUSHED;
    if (listing != LISTING_DONE)
        take_out(depot, slab);
    np_lock_release(&depot->lock);
    return listing;
}

/* Whether the place in the tree is right still, near enough. */
static bool is_well_placed(const struct np_slab *slab, unsigned room)
{
    return room < 2 * listed_room(&slab->node);
}

/* Gives back a slab without live slots. A slab that is not listed is known to nobody else. */
static void give_back(struct depot *depot, struct np_slab *slab)
{
    if (np_slab_is_listed(slab) && !unlist(depot, slab))
        put_aside(depot, slab);
    else
        np_slab_destroy(slab);
}

static void charge(struct np_slab *slab, unsigned granule_count)
{
    unsigned before = np_slab_charge(slab, granule_count);

    if (granule_count > before)
        np_returned_note_freed((size_t)(granule_count - before) << NP_GRANULE_SHIFT);
    else if (granule_count < before)
        np_returned_note_reused((size_t)(before - granule_count) << NP_GRANULE_SHIFT);
}

/* Whether a slab has enough of its memory to be worth more to its class than a new one: a quarter of it, or the first pages,
 * as one that never had more. Of one that has been returned but for a page here and there the bookkeeping is larger. */
static bool has_much_memory(const struct np_slab *slab)
{
    size_t all_bytes = slab->unit_count * (size_t)NP_UNIT_BYTES;
    size_t resident_bytes = np_slab_resident_bytes(slab);
    uint32_t first_pages = (UINT32_C(1) << (resident_bytes >> NP_GRANULE_SHIFT) % 32) - 1;

    return resident_bytes >= all_bytes / 4 ||
           (resident_bytes > 0 && (NP_OWNER_GET(slab->cold_pages) & first_pages) == 0);
}

/* Whether a slab without live slots may be listed, while there are not too many of its class. Where threads come and go, or
 * pass blocks to one another, slabs are emptied and made by the dozen: one that stays has its memory where its class
 * needs it, and takes no arena's lock. It is charged with all that memory, and given back when that is returned. A
 * heap that is alone holds its slabs open. */
static bool may_list_free(const struct np_slab *slab)
{
    return !np_is_alone() && !slab->is_refused && slab->class_index != NP_TWIN_CLASS &&
           has_much_memory(slab);
}

/* How many free slots a slab with this word has. */
static unsigned room_in(uint64_t word)
{
    return np_slab_word_count(word) > 0 ? (unsigned)np_slab_word_count(word) : 0;
}

/* Of a slab with so much room, when it is closed. */
static unsigned pages_to_charge(const struct np_slab *slab, unsigned room, bool is_held)
{
    if (is_held || slab->is_refused || !np_slab_may_have_free_pages(slab, room))
        return 0;
    return np_bit_count(np_slab_free_pages(slab));
}

void np_depot_settle(struct np_slab *slab)
{
    struct depot *depot = &depots[slab->class_index];
    bool is_held = np_mxfast_is_held(slab->class_index);

    for (;;) {
        uint64_t word = np_slab_publish(slab);
        unsigned room = room_in(word);
        bool has_room = room >= room_to_list(slab);
        bool is_listed = (word & NP_SLAB_LISTED_BIT) != 0;
        bool is_free = room == slab->slot_count && !is_held;
        unsigned notice;

        if (is_free && !may_list_free(slab)) {
            give_back(depot, slab);
            return;
        }
        /* After the word was read: a page that becomes free later is seen by who frees its last slot, and so is one whose
         * slots have not all counted yet. */
        charge(slab, pages_to_charge(slab, room, is_held));
        np_slab_count_settled(slab, slab->slot_count - room);
        /* At the latest when half of them are gone: S7. */
        notice = room + (slab->slot_count - room + 1) / 2;
        if (!has_room && !is_listed) {
            notice = (unsigned)np_min(notice, room + room_to_list(slab));
            if (np_slab_try_close(slab, word, notice, false))
                return;
        } else if (has_room && !is_listed) {
            enum listing listing = list_and_close(depot, slab, word, notice);

            /* An entirely free one need not wait for the end of a fork. */
            if (listing == LISTING_NOT_WANTED || (listing == LISTING_REFUSED && is_free))
                np_slab_destroy(slab);
            else if (listing == LISTING_REFUSED)
                put_aside(depot, slab);
            if (listing != LISTING_PUSHED)
                return;
        } else if (has_room && !is_free && is_well_placed(slab, room)) {
            if (np_slab_try_close(slab, word, notice, true))
                return;
        } else if (!unlist(depot, slab) &&
                   np_slab_try_close(slab, word, notice, true)) {
            return; /* a fork has the lock: the taker that meets the slab in a wrong place settles it */
        }
    }
}

void np_depot_stop_being_twin(struct np_slab *slab)
{
    if (np_slab_is_listed(slab) && !unlist(&depots[NP_TWIN_CLASS], slab))
        return;
    NP_OWNER_SET(slab->class_index, (uint8_t)np_class_of(slab->slot_bytes));
}

/* A slab of the class that was entirely free a moment ago, opened and unlisted, or NULL. */
static struct np_slab *take_free_slab(struct depot *depot)
{
    struct np_slab *found = NULL;
    uint64_t end;

    if (!np_lock_acquire(&depot->lock))
        return NULL;
    for (struct np_tree_node *node = np_tree_last(&depot->slabs); node != NULL;
         node = np_tree_last_before(&depot->slabs, end)) {
        struct np_slab *slab = slab_of(node);
        uint64_t word = atomic_load_explicit(&slab->word, memory_order_relaxed);

        /* One that is free has been placed so that its room was below twice its key's (is_well_placed). */
        end = node->key;
        if (2 * listed_room(node) <= slab->slot_count) {
            end = key_of_side((unsigned)(end >> SIDE_SHIFT)); /* nor are those before it on its side */
            continue;
        }
        if (np_slab_word_count(word) != slab->slot_count || !np_slab_try_open(slab, &word))
            continue;
        take_out(depot, slab);
        np_slab_note_unlisted(slab);
        found = slab;
        break;
    }
    np_lock_release(&depot->lock);
    return found;
}

NP_COLD bool np_depot_trim_some(unsigned most_count)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        struct np_slab *slab;

        /* What was held until the limit fell has no charge by which it would be found. */
        if (!np_tune_is_set(NP_KNOB_MXFAST))
            continue;
        while ((slab = take_free_slab(&depots[class_index])) != NULL) {
            if (np_slab_live_count(slab) == 0)
                np_slab_destroy(slab);
            else
                np_depot_settle(slab);
            if (--most_count == 0)
                return true;
        }
    }
    return false;
}

void np_depot_trim(void)
{
    (void)np_depot_trim_some(UINT_MAX);
}

#define SETTLED_AT_ONCE 16

NP_COLD void np_depot_release_held(void)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        struct depot *depot = &depots[class_index];
        struct np_slab *slabs[SETTLED_AT_ONCE];
        uint64_t key = 0;
        unsigned count;

        do {
            struct np_tree_node *node;
            uint64_t word;

            count = 0;
            if (np_mxfast_is_held(class_index) || !np_lock_acquire(&depot->lock))
                break;
            while (count < SETTLED_AT_ONCE &&
                   (node = np_tree_first_from(&depot->slabs, key)) != NULL) {
                key = node->key + 1;
                if (np_slab_try_open(slab_of(node), &word))
                    slabs[count++] = slab_of(node);
            }
            np_lock_release(&depot->lock);
            for (unsigned at = 0; at < count; at++)
                np_depot_settle(slabs[at]);
        } while (count == SETTLED_AT_ONCE);
    }
}

const char *np_depot_audit(unsigned class_index)
{
    struct depot *depot = &depots[class_index];
    const char *fault;

    if (!np_lock_acquire(&depot->lock))
        return NULL;
    fault = np_tree_audit(&depot->slabs);
    for (struct np_tree_node *node = np_tree_first_from(&depot->slabs, 0);
         fault == NULL && node != NULL; node = np_tree_first_from(&depot->slabs, node->key + 1)) {
        const struct np_slab *slab = slab_of(node);

        if (!np_slab_is_listed(slab))
            fault = "S4: a slab in the depot does not know it is listed";
        else if (slab->class_index != class_index || atomic_load(&slab->kind) != NP_SLAB_FIRST)
            fault = "S4: a depot lists what is not a slab of its class";
        else if (node->key >> SIDE_SHIFT != slab->side)
            fault = "S4: a slab is listed on another side than its own";
    }
    np_lock_release(&depot->lock);
    return fault;
}

void np_depot_fork(enum np_fork_phase phase)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++)
        np_lock_fork(&depots[class_index].lock, phase);
}
