/* Listing and closing slabs. Read docs/slab_protocol.md first, then slab.c. */
#include "depot.h"

#include "bits.h"
#include "check.h"
#include "lock.h"
#include "mxfast.h"

struct depot {
    _Alignas(NP_CACHE_LINE_BYTES) struct np_lock lock;
    struct np_tree slabs;
    _Atomic size_t count;
};

/* clang-format off */
#define LOCKS_4 {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, \
                {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}, {.lock = NP_LOCK_INIT(NP_RANK_DEPOT)}
#define LOCKS_16 LOCKS_4, LOCKS_4, LOCKS_4, LOCKS_4
static struct depot depots[NP_CLASS_TABLE_COUNT + 1] = {LOCKS_16, LOCKS_16, LOCKS_16, LOCKS_16};
/* clang-format on */
_Static_assert(NP_CLASS_TABLE_COUNT + 1 == 64, "every depot's lock has its rank");

/* A slab is listed, and a full one looked at again, from this share of its slots on: below that, listing and
 * taking it would cost more than its few slots save. It bounds what full slabs hide to 1/16. */
#define ROOM_SHARE 16

/* A key orders by room, then by address. */
#define ROOM_SHIFT 48

static unsigned room_to_list(const struct np_slab *slab)
{
    unsigned room = slab->slot_count / ROOM_SHARE;

    return room > 0 ? room : 1;
}

static unsigned room_of(const struct np_slab *slab)
{
    return np_slab_free_count(slab) + slab->slot_count - slab->extended_count;
}

static void list(struct depot *depot, struct np_slab *slab)
{
    slab->node.key = (uint64_t)room_of(slab) << ROOM_SHIFT | slab->start >> NP_UNIT_SHIFT;
    np_tree_insert(&depot->slabs, &slab->node);
    atomic_store_explicit(&slab->is_listed, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&depot->count, 1, memory_order_relaxed);
}

static void unlist(struct depot *depot, struct np_slab *slab)
{
    np_tree_remove(&depot->slabs, &slab->node);
    atomic_store_explicit(&slab->is_listed, false, memory_order_relaxed);
    atomic_fetch_sub_explicit(&depot->count, 1, memory_order_relaxed);
}

static struct np_slab *slab_of(struct np_tree_node *node)
{
    return (struct np_slab *)(void *)((char *)node - offsetof(struct np_slab, node));
}

size_t np_depot_count(unsigned class_index)
{
    return atomic_load_explicit(&depots[class_index].count, memory_order_relaxed);
}

struct np_slab *np_depot_take(unsigned class_index)
{
    struct depot *depot = &depots[class_index];
    struct np_slab *slab = NULL;

    /* Mostly empty: a look without the lock spares it. A stale answer costs a fresh slab at worst. */
    if (atomic_load_explicit(&depot->count, memory_order_relaxed) == 0 ||
        !np_lock_acquire(&depot->lock))
        return NULL;
    for (;;) {
        struct np_tree_node *node = np_tree_first_from(&depot->slabs, 0);

        if (node == NULL) {
            slab = NULL;
            break;
        }
        slab = slab_of(node);
        unlist(depot, slab);
        if (np_slab_try_open(slab))
            break;
    }
    np_lock_release(&depot->lock);
    return slab;
}

static bool may_be_given_back(const struct np_slab *slab)
{
    return np_slab_used_count(slab) == 0 && !np_mxfast_is_held(slab->class_index);
}

/* Under the lock, with the slab collected. False: it has become entirely free, and is unlisted. */
static bool list_and_close(struct depot *depot, struct np_slab *slab)
{
    for (;;) {
        if (atomic_load_explicit(&slab->is_listed, memory_order_relaxed))
            unlist(depot, slab);
        if (may_be_given_back(slab))
            return false;
        list(depot, slab);
        /* Closing comes after listing, both under the lock: a taker never meets a listed slab that is still
         * open only because its holder is about to close it, and drops it for good. */
        if (np_slab_try_close(slab, slab->extended_count))
            return true;
        np_slab_collect(slab);
    }
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
    /* Pushed to one at a time and taken whole, as slabs' own lists. acquire pairs with the release above. */
    slab = atomic_exchange_explicit(&slabs_aside, NULL, memory_order_acquire);
    while (slab != NULL) {
        struct np_slab *next = slab->next_aside;

        np_depot_settle(slab);
        slab = next;
    }
}

void np_depot_settle(struct np_slab *slab)
{
    struct depot *depot = &depots[slab->class_index];

    for (;;) {
        bool has_room;
        bool is_listed;

        np_slab_collect(slab);
        has_room = room_of(slab) >= room_to_list(slab);
        /* Only we, the holder, could make is_listed true, so false is certain; a taker may make it false. */
        is_listed = atomic_load_explicit(&slab->is_listed, memory_order_acquire);
        if (has_room || is_listed) {
            bool is_closed;

            if (!np_lock_acquire(&depot->lock)) {
                /* A taker that had just unlisted it, and may have been about to try and open it, had the lock before
                 * the fork; it is done. So nobody else knows a slab that was not listed before we asked. */
                if (!is_listed && may_be_given_back(slab))
                    np_slab_destroy(slab);
                else
                    put_aside(depot, slab);
                return;
            }
            if (!has_room && atomic_load_explicit(&slab->is_listed, memory_order_relaxed))
                unlist(depot, slab);
            is_closed = has_room && list_and_close(depot, slab);
            np_lock_release(&depot->lock);
            if (has_room && !is_closed)
                np_slab_destroy(slab);
            if (has_room)
                return;
        }
        if (np_slab_try_close(slab, np_slab_free_count(slab) + room_to_list(slab)))
            return;
    }
}

void np_depot_stop_being_twin(struct np_slab *slab)
{
    struct depot *depot = &depots[NP_TWIN_CLASS];

    if (atomic_load_explicit(&slab->is_listed, memory_order_relaxed)) {
        if (!np_lock_acquire(&depot->lock))
            return;
        if (atomic_load_explicit(&slab->is_listed, memory_order_relaxed))
            unlist(depot, slab);
        np_lock_release(&depot->lock);
    }
    slab->class_index = (uint8_t)np_class_of(slab->slot_bytes);
}

/* One entirely free slab of the class, opened and unlisted, or NULL. A slab that is entirely free was listed with all
 * its slots as room, when its last pusher settled it, so it is among the last in order. */
static struct np_slab *take_free_slab(struct depot *depot)
{
    struct np_slab *found = NULL;

    if (!np_lock_acquire(&depot->lock))
        return NULL;
    for (struct np_tree_node *node = np_tree_last(&depot->slabs); node != NULL;
         node = np_tree_last_before(&depot->slabs, node->key)) {
        struct np_slab *slab = slab_of(node);

        if (slab->node.key >> ROOM_SHIFT < slab->slot_count)
            break;
        if (np_slab_shared_count(slab) == NP_OWNER_GET(slab->extended_count) &&
            np_slab_try_open(slab)) {
            unlist(depot, slab);
            found = slab;
            break;
        }
    }
    np_lock_release(&depot->lock);
    return found;
}

bool np_depot_trim(void)
{
    bool is_any = false;

    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++) {
        struct np_slab *slab;

        if (!np_mxfast_is_held(class_index))
            continue;
        while ((slab = take_free_slab(&depots[class_index])) != NULL) {
            np_slab_collect(slab);
            if (np_slab_used_count(slab) == 0) {
                np_slab_destroy(slab);
                is_any = true;
            } else {
                np_depot_settle(slab);
            }
        }
    }
    return is_any;
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

        if (!atomic_load(&slab->is_listed))
            fault = "S4: a slab in the depot does not know it is listed";
        else if (slab->class_index != class_index || atomic_load(&slab->kind) != NP_SLAB_FIRST)
            fault = "S4: a depot lists what is not a slab of its class";
    }
    np_lock_release(&depot->lock);
    return fault;
}

void np_depot_fork(enum np_fork_phase phase)
{
    if (phase == NP_FORK_CHILD)
        atomic_store(&slabs_aside, NULL); /* other threads' slabs, perhaps half put there: lost to the child */
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++)
        np_lock_fork(&depots[class_index].lock, phase);
}
