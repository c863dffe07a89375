/* Closed slabs with room: what is listed, in which order it is taken, and what goes back
 * instead. */
#include <pthread.h>

#include "alone.h"
#include "depot.h"
#include "lock.h"
#include "slab_model.h"
#include "tune.h"

enum { CLASS_64 = 3, CLASS_112 = 6, CLASS_2048 = 37 };

enum { SLOTS_OF_PAGE = 64 }; /* of CLASS_64 */

static void *slots[8][SLOT_MAX]; /* live slots of the slabs of a test */

/* A slab with this many live slots, held. */
static struct np_slab *slab_with_live(unsigned which, unsigned class_index, unsigned live_count)
{
    return make_with_live(class_index, slots[which], live_count);
}

static void expect_sound(void)
{
    for (unsigned class_index = 0; class_index < NP_CLASS_TABLE_COUNT; class_index++)
        assert_sound(np_depot_audit(class_index));
    assert_sound(np_arena_audit_all());
}

static void a_slab_with_room_is_listed(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 500);

    (void)state;
    assert_null(np_depot_take(CLASS_64, 0));
    np_depot_settle(slab);
    assert_true(np_slab_is_listed(slab));
    assert_false(np_slab_is_open(slab));
    assert_int_equal(np_depot_count(CLASS_64), 1);
    expect_sound();
    assert_null(np_depot_take(CLASS_112, 0));
    assert_ptr_equal(np_depot_take(CLASS_64, 0), slab);
    assert_true(np_slab_is_open(slab));
    assert_false(np_slab_is_listed(slab));
    assert_int_equal(np_slab_live_count(slab), 500);
    assert_int_equal(np_slab_private_count(slab), 0); /* all by their bits */
    assert_int_equal(word_count(slab), slab->slot_count - 500);
    assert_null(np_depot_take(CLASS_64, 0));
    assert_sound(np_slab_audit(slab));
    expect_sound();
}

static void an_empty_slab_goes_back(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 0);
    uintptr_t start = slab->start;

    (void)state;
    np_depot_settle(slab);
    assert_null(np_slab_find(start));
    assert_int_equal(np_depot_count(CLASS_64), 0);
    assert_null(np_run_find(start));
    expect_sound();
}

/* While there are several threads some of each class stay listed, with their memory, which counts
 * as retained. Not one without memory, or whose memory the system would not take. */
static void some_empty_slabs_are_listed_for_other_threads(void **state)
{
    enum { MADE = 12, KEPT = 8 };
    struct np_slab *slabs[MADE];
    uintptr_t starts[MADE];
    struct np_slab *cold;
    struct np_slab *refused;

    (void)state;
    set_alone(0);
    for (unsigned i = 0; i < MADE; i++) {
        slabs[i] = slab_with_live(0, CLASS_64, 1);
        starts[i] = slabs[i]->start;
        give(slabs[i], slots[0][0]);
    }
    cold = slab_with_live(0, CLASS_64, 0);
    refused = slab_with_live(0, CLASS_64, 1);
    give(refused, slots[0][0]);
    refused->is_refused = true;
    np_depot_settle(cold);
    np_depot_settle(refused);
    assert_int_equal(np_depot_count(CLASS_64), 0);
    for (unsigned i = 0; i < MADE; i++)
        np_depot_settle(slabs[i]);
    assert_int_equal(np_depot_count(CLASS_64), KEPT);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), KEPT);
    assert_int_equal(atomic_load(&np_slab_sums.settled_bytes), 0);
    expect_sound();
    for (unsigned i = KEPT; i < MADE; i++)
        assert_null(np_slab_find(starts[i]));
    /* One that is taken has its page, and makes room for another. */
    assert_ptr_equal(np_depot_take(CLASS_64, 0), slabs[0]);
    assert_int_equal(np_slab_live_count(slabs[0]), 0);
    assert_true(np_slab_refill(slabs[0]));
    assert_int_equal(np_slab_resident_bytes(slabs[0]), PAGE);
    np_depot_settle(slabs[0]);
    assert_int_equal(np_depot_count(CLASS_64), KEPT);
    expect_sound();
}

/* Settles an entirely free slab that has had five pages and has lost some of them. */
static struct np_slab *settle_without(uint32_t lost_pages)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 5 * SLOTS_OF_PAGE);

    for (unsigned i = 0; i < 5 * SLOTS_OF_PAGE; i++)
        (void)np_slab_push(slab, slots[0][i], NP_PUSH_ONLY);
    slab->cold_pages |= lost_pages;
    np_depot_settle(slab);
    return slab;
}

/* One that was returned but for some pages takes more bookkeeping than it spares. */
static void an_empty_slab_with_few_pages_left_goes_back(void **state)
{
    struct np_slab *slab;

    (void)state;
    set_alone(0);
    slab = settle_without(1u << 1 | 1u << 2);
    assert_null(np_slab_find((uintptr_t)slots[0][0]));
    assert_int_equal(np_depot_count(CLASS_64), 0);
    slab = settle_without(1u << 2); /* a quarter of 16 */
    assert_true(np_slab_is_listed(slab));
    slab = settle_without(1u << 2 | 1u << 3 | 1u << 4); /* the first two are there */
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(np_depot_count(CLASS_64), 2);
    expect_sound();
}

/* One that is listed already when it empties counts with them. */
static void a_listed_slab_that_empties_is_listed_as_such(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 3);
    uint64_t word;

    (void)state;
    set_alone(0);
    np_depot_settle(slab);
    assert_true(np_slab_try_open(slab, &word));
    for (unsigned i = 0; i < 3; i++)
        (void)np_slab_push(slab, slots[0][i], NP_PUSH_ONLY);
    np_depot_settle(slab);
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(slab->node.key >> 48, slab->slot_count);
    assert_int_equal(atomic_load(&slab->charged_count), 1);
    expect_sound();
}

/* What others have pushed since the holder last looked counts. */
static void a_slab_that_others_emptied_goes_back(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 100);
    uintptr_t start = slab->start;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(np_slab_push(slab, slots[0][i], NP_PUSH_ONLY), NP_PUSH_DONE);
    np_depot_settle(slab);
    assert_null(np_slab_find(start));
    expect_sound();
}

static void the_fullest_is_taken_first_then_the_lowest(void **state)
{
    static const unsigned live[] = {300, 880, 500, 880, 700};
    static const unsigned order[] = {1, 3, 4, 2, 0};
    struct np_slab *slabs[COUNT_OF(live)];

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(live); i++)
        slabs[i] = slab_with_live(i, CLASS_64, live[i]);
    assert_true(slabs[1]->start < slabs[3]->start);
    for (unsigned i = COUNT_OF(live); i-- > 0;)
        np_depot_settle(slabs[i]);
    expect_sound();
    for (unsigned i = 0; i < COUNT_OF(live); i++)
        assert_ptr_equal(np_depot_take(CLASS_64, 0), slabs[order[i]]);
}

/* A full slab is not listed; from an eighth of its slots on a pusher looks, and lists it. */
static void a_full_slab_is_listed_when_it_has_room(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 1024);
    unsigned pushed = 0;

    (void)state;
    assert_int_equal(slab->slot_count, 1024);
    np_depot_settle(slab);
    assert_false(np_slab_is_listed(slab));
    assert_null(np_depot_take(CLASS_64, 0));
    shuffle_slots(slots[0], 1024);
    while (np_slab_push(slab, slots[0][pushed++], NP_PUSH_ONLY) == NP_PUSH_DONE)
        assert_in_range(pushed, 1, 1024 / 8);
    assert_int_equal(pushed, 1024 / 8);
    np_depot_settle(slab); /* as whoever claims it does */
    assert_true(np_slab_is_listed(slab));
    expect_sound();
}

/* A closed slab is looked at again each time half of its live slots are gone, and when none is
 * left: a dozen times at the most. */
static void a_slab_is_looked_at_when_half_is_gone(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 880);
    unsigned live_count = 880;
    unsigned settled_count = 880;
    unsigned claims = 0;

    (void)state;
    np_depot_settle(slab);
    shuffle_slots(slots[0], 880);
    for (unsigned i = 0; i < 880; i++) {
        bool is_claimed = np_slab_push(slab, slots[0][i], NP_PUSH_ONLY) == NP_PUSH_CLAIMED;

        live_count--;
        assert_int_equal(is_claimed, live_count == settled_count / 2);
        assert_true(np_slab_is_listed(slab));
        if (!is_claimed)
            continue;
        claims++;
        settled_count = live_count;
        np_depot_settle(slab);
        assert_int_equal(atomic_load(&np_slab_sums.settled_bytes), live_count * 64);
        expect_sound();
    }
    assert_in_range(claims, 10, 12);
    assert_int_equal(np_depot_count(CLASS_64), 0);
    assert_int_equal(atomic_load(&np_slab_sums.granules), 0);
    expect_sound();
}

/* Its place in the tree follows: once it has twice the room it was listed with. */
static void a_slab_with_twice_the_room_finds_another_place(void **state)
{
    struct np_slab *emptying = slab_with_live(0, CLASS_64, 924); /* room: 100 */
    struct np_slab *other = slab_with_live(1, CLASS_64, 824);    /* room: 200 */
    unsigned pushed = 0;

    (void)state;
    np_depot_settle(emptying);
    np_depot_settle(other);
    while (pushed < 99)
        assert_int_not_equal(np_slab_push(emptying, slots[0][pushed++], NP_PUSH_ONLY),
                             NP_PUSH_CLAIMED);
    /* Room 199: a light close leaves it where it is, first. */
    assert_true(try_open(emptying));
    np_depot_settle(emptying);
    assert_ptr_equal(np_depot_take(CLASS_64, 0), emptying);
    np_depot_settle(emptying); /* listed anew, with room 199 */
    assert_ptr_equal(np_depot_take(CLASS_64, 0), emptying);
    for (unsigned i = 0; i < 99; i++)
        give(emptying, slots[0][100 + i]);
    np_depot_settle(emptying); /* room 298: behind the other one */
    assert_ptr_equal(np_depot_take(CLASS_64, 0), other);
    np_depot_settle(other);
    expect_sound();
    while (pushed < 100)
        (void)np_slab_push(emptying, slots[0][pushed++], NP_PUSH_ONLY);
    for (unsigned i = 200; i < 600; i++) /* room 699 of 298 */
        if (np_slab_push(emptying, slots[0][i], NP_PUSH_ONLY) == NP_PUSH_CLAIMED)
            np_depot_settle(emptying);
    assert_true(try_open(emptying));
    np_depot_settle(emptying);
    assert_true(emptying->node.key > other->node.key);
    assert_true(emptying->node.key >> 48 >= 2 * 298); /* the room, and above the address */
    assert_true(np_slab_is_listed(emptying));
    assert_int_equal(np_depot_count(CLASS_64), 2);
    expect_sound();
}

/* A listed slab that closes with room stays where it is: no lock is needed. */
static void a_light_close_needs_no_lock(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 500);
    uint64_t key;

    (void)state;
    np_depot_settle(slab);
    key = slab->node.key;
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    (void)np_slab_refill(slab);
    np_depot_fork(NP_FORK_PREPARE); /* nobody gets the lock */
    np_depot_settle(slab);
    np_depot_fork(NP_FORK_PARENT);
    assert_false(np_slab_is_open(slab));
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(slab->node.key, key);
    assert_int_equal(word_count(slab), slab->slot_count - 499);
    expect_sound();
    assert_ptr_equal(np_depot_take(CLASS_64, 0), slab);
}

/* A slab that is not listed is known to its holder alone: it goes back without the lock. */
static void an_unlisted_slab_goes_back_without_the_lock(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 100);
    uintptr_t start = slab->start;

    (void)state;
    for (unsigned i = 0; i < 100; i++)
        give(slab, slots[0][i]);
    np_depot_fork(NP_FORK_PREPARE);
    np_depot_settle(slab);
    np_depot_fork(NP_FORK_PARENT);
    assert_null(np_slab_find(start));
    expect_sound();
}

/* A listed one whose live slots are gone is unlisted first. */
static void a_listed_slab_that_empties_leaves_the_list(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 3);
    struct np_slab *other = slab_with_live(1, CLASS_64, 3);
    uintptr_t start = slab->start;

    (void)state;
    np_depot_settle(slab);
    np_depot_settle(other);
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    for (unsigned i = 1; i < 3; i++)
        (void)np_slab_push(slab, slots[0][i], NP_PUSH_ONLY);
    assert_true(np_slab_is_listed(slab));
    np_depot_settle(slab);
    assert_null(np_slab_find(start));
    assert_int_equal(np_depot_count(CLASS_64), 1);
    expect_sound();
    assert_ptr_equal(np_depot_take(CLASS_64, 0), other);
}

/* A listed slab that has filled up leaves the list when it is closed. */
static void a_listed_slab_that_fills_leaves_the_list(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 500);

    (void)state;
    np_depot_settle(slab);
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    for (unsigned i = 0; i < 500; i++)
        assert_non_null(take(slab));
    np_depot_settle(slab);
    assert_false(np_slab_is_listed(slab));
    assert_false(np_slab_is_open(slab));
    assert_int_equal(np_depot_count(CLASS_64), 0);
    expect_sound();
}

/* A few slots, all of a page's, in a slab that was never extended further: the rest is cold, and
 * is room. */
static void cold_slots_are_room(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_2048, 2);

    (void)state;
    assert_int_equal(np_slab_resident_bytes(slab), 4096);
    np_depot_settle(slab);
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(atomic_load(&slab->charged_count), 0); /* nothing there to return */
    /* Both live slots come back: the last push claims it. */
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_ONLY), NP_PUSH_CLAIMED); /* half */
    np_depot_settle(slab);
    assert_int_equal(np_slab_push(slab, slots[0][1], NP_PUSH_ONLY), NP_PUSH_CLAIMED);
    np_depot_settle(slab);
    assert_null(np_slab_find((uintptr_t)slots[0][0]));
    expect_sound();
}

/* What closed slabs retain is charged, and no longer once they are taken or gone. */
static void closed_slabs_are_charged_with_free_pages(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_2048, 32);

    (void)state;
    for (unsigned i = 4; i < 24; i++)
        give(slab, slots[0][i]);
    np_depot_settle(slab);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 10);
    /* A page more. */
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_ONLY), NP_PUSH_DONE);
    assert_int_equal(np_slab_push(slab, slots[0][1], NP_PUSH_ONLY), NP_PUSH_CHARGED);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 11);
    assert_int_equal(atomic_load(&np_slab_sums.granules), NP_UNIT_GRANULES);
    assert_ptr_equal(np_depot_take(CLASS_2048, 0), slab);
    for (unsigned i = 24; i < 32; i++)
        give(slab, slots[0][i]);
    give(slab, slots[0][2]);
    give(slab, slots[0][3]);
    np_depot_settle(slab);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
    assert_int_equal(atomic_load(&np_slab_sums.settled_bytes), 0);
    expect_sound();
}

/* A listed slab that a pusher has opened is passed over, and listed again by its holder. */
static void an_opened_slab_is_passed_over(void **state)
{
    struct np_slab *first = slab_with_live(0, CLASS_64, 880);
    struct np_slab *second = slab_with_live(1, CLASS_64, 100);

    (void)state;
    np_depot_settle(first);
    np_depot_settle(second);
    assert_int_equal(np_slab_push(first, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    assert_true(np_slab_is_listed(first));
    assert_ptr_equal(np_depot_take(CLASS_64, 0), second);
    assert_false(np_slab_is_listed(first));
    assert_null(np_depot_take(CLASS_64, 0));
    assert_true(np_slab_is_open(first)); /* dropped, not taken */
    np_depot_settle(first);
    assert_ptr_equal(np_depot_take(CLASS_64, 0), first);
    expect_sound();
}

/* A heap gets the slabs of its side first, the fullest of them; then those of the sides behind it,
 * round to the first. */
static void a_side_has_its_own_slabs_first(void **state)
{
    const unsigned last = NP_DEPOT_SIDES - 1;
    struct np_slab *full_of_first = slab_with_live(0, CLASS_64, 880);
    struct np_slab *full_of_last = slab_with_live(1, CLASS_64, 500);
    struct np_slab *of_last = slab_with_live(2, CLASS_64, 100);
    struct np_slab *of_second = slab_with_live(3, CLASS_64, 700);
    uint64_t word;

    (void)state;
    full_of_last->side = of_last->side = (uint8_t)last;
    of_second->side = 1;
    np_depot_settle(of_last);
    np_depot_settle(full_of_last);
    np_depot_settle(of_second);
    np_depot_settle(full_of_first);
    expect_sound();
    assert_true(np_slab_try_open(full_of_last, &word));
    np_depot_settle(full_of_last); /* its place is right still: it keeps it */
    assert_ptr_equal(np_depot_take(CLASS_64, last), full_of_last);
    assert_ptr_equal(np_depot_take(CLASS_64, 2), of_last);
    assert_ptr_equal(np_depot_take(CLASS_64, last), full_of_first);
    assert_ptr_equal(np_depot_take(CLASS_64, last), of_second);
    assert_null(np_depot_take(CLASS_64, last));
    expect_sound();
}

/* Settles a slab of which nothing is live any more, but has been. */
static void settle_emptied(unsigned side)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 1);

    give(slab, slots[0][0]);
    slab->side = (uint8_t)side;
    np_depot_settle(slab);
}

/* What was entirely free when it was listed is counted by side. */
static void empty_slabs_are_counted_by_side(void **state)
{
    enum { KEPT = 8 };
    const unsigned last = NP_DEPOT_SIDES - 1;

    (void)state;
    set_alone(0);
    for (unsigned i = 0; i < KEPT + 1; i++)
        settle_emptied(3);
    assert_int_equal(np_depot_count(CLASS_64), KEPT);
    for (unsigned i = 0; i < KEPT + 1; i++)
        settle_emptied(last);
    assert_int_equal(np_depot_count(CLASS_64), 2 * KEPT);
    settle_emptied(2);
    assert_int_equal(np_depot_count(CLASS_64), 2 * KEPT + 1);
    expect_sound();
}

/* Held by M_MXFAST: an empty slab stays until a trim, whose own slabs it then is. */
static void held_slabs_stay_until_a_trim(void **state)
{
    struct np_slab *slab;
    struct np_slab *other;
    uintptr_t start;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    slab = slab_with_live(0, CLASS_64, 200);
    for (unsigned i = 0; i < 200; i++)
        give(slab, slots[0][i]);
    other = slab_with_live(1, NP_TWIN_CLASS, 3);
    start = slab->start;
    np_depot_settle(slab);
    np_depot_settle(other);
    assert_ptr_equal(np_slab_find(start), slab);
    assert_true(np_slab_is_listed(slab));
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0); /* on purpose */
    expect_sound();
    np_depot_trim();
    assert_null(np_slab_find(start));
    assert_non_null(np_slab_find((uintptr_t)slots[1][0])); /* not empty */
    assert_int_equal(np_depot_count(CLASS_64), 0);
    assert_int_equal(np_depot_count(NP_TWIN_CLASS), 1);
    np_depot_trim();
    assert_int_equal(np_depot_count(NP_TWIN_CLASS), 1);
    /* A larger class is not held. */
    slab = slab_with_live(2, CLASS_2048, 0);
    start = slab->start;
    np_depot_settle(slab);
    assert_null(np_slab_find(start));
    expect_sound();
}

/* A trim looks at those that are free now; what the limit has held it is told when that falls. */
static void held_slabs_are_let_go_when_the_limit_falls(void **state)
{
    struct np_slab *free_slab;
    struct np_slab *sparse;
    struct np_slab *full;
    uintptr_t start;

    (void)state;
    assert_true(np_tune_set(NP_KNOB_MXFAST, 120));
    full = slab_with_live(0, CLASS_64, 800);
    np_depot_settle(full);
    sparse = slab_with_live(1, CLASS_64, 200); /* four pages */
    for (unsigned i = 0; i < 192; i++)
        give(sparse, slots[1][i]);
    np_depot_settle(sparse);
    np_depot_trim();
    assert_int_equal(np_depot_count(CLASS_64), 2);
    free_slab = slab_with_live(2, CLASS_64, 200);
    for (unsigned i = 0; i < 200; i++)
        give(free_slab, slots[2][i]);
    start = free_slab->start;
    np_depot_settle(free_slab);
    assert_int_equal(np_depot_count(CLASS_64), 3);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 0);
    expect_sound();
    assert_true(np_tune_set(NP_KNOB_MXFAST, 0));
    np_depot_release_held();
    assert_null(np_slab_find(start));
    assert_int_equal(np_depot_count(CLASS_64), 2);
    assert_int_equal(atomic_load(&sparse->charged_count), 3);
    assert_int_equal(atomic_load(&np_slab_sums.charged_granules), 3);
    assert_true(np_slab_is_listed(full) && np_slab_is_listed(sparse));
    expect_sound();
}

static struct np_slab *settled_during_fork[3];

static void *settle_and_take(void *unused)
{
    (void)unused;
    assert_null(np_depot_take(CLASS_64, 0));
    np_depot_trim();
    for (unsigned i = 0; i < COUNT_OF(settled_during_fork); i++)
        np_depot_settle(settled_during_fork[i]);
    return NULL;
}

/* Nobody waits for a fork; what could not be listed stays open, aside, until the forking thread
 * settles it. */
static void a_fork_is_not_waited_for(void **state)
{
    pthread_t other;
    struct np_slab *listed = slab_with_live(3, CLASS_64, 880);

    (void)state;
    settled_during_fork[0] = slab_with_live(0, CLASS_64, 500);
    settled_during_fork[1] = slab_with_live(1, CLASS_64, 1024);
    /* With memory, to be listed at other times. */
    settled_during_fork[2] = slab_with_live(2, CLASS_64, 1);
    give(settled_during_fork[2], slots[2][0]);
    np_depot_settle(listed);
    np_depot_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, settle_and_take, NULL);
    pthread_join(other, NULL); /* would hang */
    np_depot_fork(NP_FORK_PARENT);
    expect_sound();
    assert_true(np_slab_is_open(settled_during_fork[0]));
    assert_false(np_slab_is_open(settled_during_fork[1])); /* full: needs no lock */
    assert_null(np_slab_find(settled_during_fork[2]->start)); /* nor does giving back */
    np_depot_settle_aside();
    expect_sound();
    assert_true(np_slab_is_listed(settled_during_fork[0]));
    assert_int_equal(word_count(settled_during_fork[0]), 524);
    assert_ptr_not_equal(np_slab_find(settled_during_fork[2]->start), settled_during_fork[2]);
    assert_int_equal(np_depot_count(CLASS_64), 2);
    assert_ptr_equal(np_depot_take(CLASS_64, 0), listed);
    assert_ptr_equal(np_depot_take(CLASS_64, 0), settled_during_fork[0]);
    assert_null(np_depot_take(CLASS_64, 0));
}

/* A listed slab that has no live slot any more cannot leave the list meanwhile: it waits aside, and
 * no taker finds it closed. */
static void *empty_and_settle(void *slab)
{
    (void)np_slab_push(slab, slots[0][1], NP_PUSH_ONLY);
    (void)np_slab_push(slab, slots[0][2], NP_PUSH_ONLY);
    np_depot_settle(slab);
    return NULL;
}

static void a_listed_slab_that_empties_waits_for_the_fork(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 3);
    uintptr_t start = slab->start;
    pthread_t other;

    (void)state;
    np_depot_settle(slab);
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    slab->is_refused = true; /* otherwise it would be closed as it is: there are two threads */
    np_depot_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, empty_and_settle, slab);
    pthread_join(other, NULL);
    np_depot_fork(NP_FORK_PARENT);
    assert_true(np_slab_is_open(slab));
    assert_true(np_slab_is_listed(slab));
    expect_sound();
    /* A taker drops it from the list; it is still the list's of those that wait. */
    assert_null(np_depot_take(CLASS_64, 0));
    assert_true(np_slab_is_open(slab));
    np_depot_settle_aside();
    assert_null(np_slab_find(start));
    assert_int_equal(np_depot_count(CLASS_64), 0);
    expect_sound();
}

/* A listed slab that has filled up closes listed, without a lock; the taker that meets it settles
 * it. */
static void a_listed_slab_that_fills_during_a_fork_stays_listed(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 500);
    pthread_t other;

    (void)state;
    np_depot_settle(slab);
    assert_int_equal(np_slab_push(slab, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    settled_during_fork[0] = slab;
    settled_during_fork[1] = slab_with_live(1, CLASS_64, 1024);
    settled_during_fork[2] = slab_with_live(2, CLASS_64, 1024);
    for (unsigned i = 0; i < 525; i++)
        assert_non_null(take(slab));
    np_depot_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, settle_and_take, NULL);
    pthread_join(other, NULL);
    np_depot_fork(NP_FORK_PARENT);
    assert_false(np_slab_is_open(slab));
    assert_true(np_slab_is_listed(slab));
    expect_sound();
    assert_ptr_equal(np_depot_take(CLASS_64, 0), slab);
    np_depot_settle(slab);
    assert_false(np_slab_is_listed(slab));
    expect_sound();
}

/* In the child the slabs that another thread put aside are settled as in the parent, and what was
 * listed is there. */
static void the_child_keeps_the_lists(void **state)
{
    pthread_t other;
    struct np_slab *listed = slab_with_live(3, CLASS_64, 880);

    (void)state;
    for (unsigned i = 0; i < COUNT_OF(settled_during_fork); i++)
        settled_during_fork[i] = slab_with_live(i, CLASS_64, 500);
    np_depot_settle(listed);
    np_depot_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, settle_and_take, NULL);
    pthread_join(other, NULL);
    np_depot_fork(NP_FORK_CHILD);
    np_depot_settle_aside();
    expect_sound();
    assert_ptr_equal(np_depot_take(CLASS_64, 0), listed);
    for (unsigned i = 0; i < COUNT_OF(settled_during_fork); i++)
        assert_non_null(np_depot_take(CLASS_64, 0));
    assert_null(np_depot_take(CLASS_64, 0));
}

static void the_audit_sees_a_stranger(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 10);

    (void)state;
    np_depot_settle(slab);
    slab->class_index = CLASS_112;
    assert_non_null(np_depot_audit(CLASS_64));
    slab->class_index = CLASS_64;
    assert_null(np_depot_audit(CLASS_64));
    np_slab_note_unlisted(slab);
    assert_non_null(np_depot_audit(CLASS_64));
}

/* ---- threads ---- */

enum { THREADS = 4, STEPS = 4000 };

static _Atomic(void *) mailbox[64];

/* Each takes slabs, takes slots of them and leaves those for the others, and frees what it
 * finds, as a thread without a heap does. */
static void *work(void *argument)
{
    unsigned seed = (unsigned)(uintptr_t)argument;
    struct np_arena *my_home = NULL;

    for (unsigned step = 0; step < STEPS; step++) {
        struct np_slab *slab = np_depot_take(CLASS_2048, 0);

        if (slab == NULL)
            slab = np_slab_make(&my_home, CLASS_2048, CLASS_2048, NP_MAY_GROW);
        for (unsigned i = 0; i < 3; i++) {
            void *memory = take(slab);
            void *other;

            if (memory == NULL)
                break;

            memset(memory, 0x5A, 2048);
            seed = seed * 1103515245 + 12345;
            other = atomic_exchange(&mailbox[(seed >> 16) % COUNT_OF(mailbox)], memory);
            if (other == NULL)
                continue;
            if (np_slab_find((uintptr_t)other) == slab)
                give(slab, other);
            else if (np_slab_push(np_slab_find((uintptr_t)other), other, NP_PUSH_ONLY) ==
                     NP_PUSH_CLAIMED)
                np_depot_settle(np_slab_find((uintptr_t)other));
        }
        np_depot_settle(slab);
    }
    return NULL;
}

static void threads_share_a_depot(void **state)
{
    pthread_t threads[THREADS];
    struct np_slab *left;

    (void)state;
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)(uintptr_t)(i + 1));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    expect_sound();
    for (size_t i = 0; i < COUNT_OF(mailbox); i++) {
        void *memory = atomic_load(&mailbox[i]);
        struct np_slab *slab = np_slab_find((uintptr_t)memory);

        if (memory != NULL && np_slab_push(slab, memory, NP_PUSH_ONLY) == NP_PUSH_CLAIMED)
            np_depot_settle(slab);
        expect_sound();
    }
    /* All was freed, so what is left is listed and entirely free: no slab waits for a push that
     * need not come. */
    while ((left = np_depot_take(CLASS_2048, 0)) != NULL) {
        assert_int_equal(np_slab_live_count(left), 0);
        np_slab_destroy(left);
    }
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_int_equal(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT,
                         atomic_load(&arena->system_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slab_with_room_is_listed),
        cmocka_unit_test(an_empty_slab_goes_back),
        cmocka_unit_test(some_empty_slabs_are_listed_for_other_threads),
        cmocka_unit_test(an_empty_slab_with_few_pages_left_goes_back),
        cmocka_unit_test(a_listed_slab_that_empties_is_listed_as_such),
        cmocka_unit_test(a_slab_that_others_emptied_goes_back),
        cmocka_unit_test(the_fullest_is_taken_first_then_the_lowest),
        cmocka_unit_test(a_full_slab_is_listed_when_it_has_room),
        cmocka_unit_test(a_slab_is_looked_at_when_half_is_gone),
        cmocka_unit_test(a_slab_with_twice_the_room_finds_another_place),
        cmocka_unit_test(a_light_close_needs_no_lock),
        cmocka_unit_test(an_unlisted_slab_goes_back_without_the_lock),
        cmocka_unit_test(a_listed_slab_that_empties_leaves_the_list),
        cmocka_unit_test(a_listed_slab_that_fills_leaves_the_list),
        cmocka_unit_test(cold_slots_are_room),
        cmocka_unit_test(closed_slabs_are_charged_with_free_pages),
        cmocka_unit_test(an_opened_slab_is_passed_over),
        cmocka_unit_test(held_slabs_stay_until_a_trim),
        cmocka_unit_test(held_slabs_are_let_go_when_the_limit_falls),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(a_side_has_its_own_slabs_first),
        cmocka_unit_test(empty_slabs_are_counted_by_side),
        cmocka_unit_test(a_listed_slab_that_empties_waits_for_the_fork),
        cmocka_unit_test(a_listed_slab_that_fills_during_a_fork_stays_listed),
        cmocka_unit_test(the_child_keeps_the_lists),
        cmocka_unit_test(the_audit_sees_a_stranger),
        cmocka_unit_test(threads_share_a_depot),
    };

    return run_isolated(tests, COUNT_OF(tests));
}
