/* Closed slabs with room: what is listed, in which order it is taken, and what goes back
 * instead. */
#include <pthread.h>
#include <string.h>

#include "depot.h"
#include "isolated.h"
#include "lock.h"
#include "meta.h"
#include "os_fake.h"
#include "tune.h"

enum { CLASS_64 = 3, CLASS_112 = 6, CLASS_2048 = 37 };

static struct np_arena *home;
static void *slots[8][4096]; /* live slots of the slabs of a test */
static unsigned slot_count[8];

static void *pop(struct np_slab *slab)
{
    struct np_slot *slot = slab->free_slots;

    slab->free_slots = np_slot_next(slab, slot);
    NP_OWNER_ADD(slab->until_notice, 1);
    return slot;
}

static void give(struct np_slab *slab, void *memory)
{
    struct np_slot *slot = memory;

    slot->encoded_next = (uintptr_t)slab->free_slots ^ slab->key;
    slab->free_slots = slot;
    NP_OWNER_ADD(slab->until_notice, -1);
}

/* A fully extended slab with this many live slots, held. */
static struct np_slab *slab_with_live(unsigned which, unsigned class_index, unsigned live_count)
{
    unsigned slot_class = class_index == NP_TWIN_CLASS ? 7 : class_index;
    struct np_slab *slab = np_slab_make(&home, class_index, slot_class, NP_MAY_GROW);

    assert_non_null(slab);
    while (np_slab_extend(slab, 0))
        ;
    for (slot_count[which] = 0; slot_count[which] < live_count; slot_count[which]++)
        slots[which][slot_count[which]] = pop(slab);
    return slab;
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
    assert_null(np_depot_take(CLASS_64));
    np_depot_settle(slab);
    assert_true(atomic_load(&slab->is_listed));
    assert_false(np_slab_is_open(slab));
    assert_int_equal(np_depot_count(CLASS_64), 1);
    expect_sound();
    assert_null(np_depot_take(CLASS_112));
    assert_ptr_equal(np_depot_take(CLASS_64), slab);
    assert_true(np_slab_is_open(slab));
    assert_false(atomic_load(&slab->is_listed));
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_free_count(slab), slab->slot_count - 500);
    assert_null(np_depot_take(CLASS_64));
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
    static const unsigned live[] = {300, 900, 500, 900, 700};
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
        assert_ptr_equal(np_depot_take(CLASS_64), slabs[order[i]]);
}

/* A full slab is not listed; from a sixteenth of its slots on a pusher looks, and lists it. */
static void a_full_slab_is_listed_when_it_has_room(void **state)
{
    struct np_slab *slab = slab_with_live(0, CLASS_64, 1024);
    unsigned pushed = 0;

    (void)state;
    assert_int_equal(slab->slot_count, 1024);
    np_depot_settle(slab);
    assert_false(atomic_load(&slab->is_listed));
    assert_null(np_depot_take(CLASS_64));
    while (np_slab_push(slab, slots[0][pushed++], NP_PUSH_ONLY) == NP_PUSH_DONE)
        assert_in_range(pushed, 1, 1024 / 16);
    assert_int_equal(pushed, 1024 / 16);
    np_depot_settle(slab); /* as whoever claims it does */
    assert_true(atomic_load(&slab->is_listed));
    expect_sound();
    /* From here on only the push that makes it empty claims it. */
    while (np_slab_push(slab, slots[0][pushed++], NP_PUSH_ONLY) == NP_PUSH_DONE)
        assert_in_range(pushed, 1, 1023);
    assert_int_equal(pushed, 1024);
    assert_true(atomic_load(&slab->is_listed));
    np_depot_settle(slab);
    assert_int_equal(np_depot_count(CLASS_64), 0);
    expect_sound();
}

/* A few slots, all of a page's, in a slab that was never extended further: the rest is cold, and
 * is room. */
static void cold_slots_are_room(void **state)
{
    struct np_slab *slab = np_slab_make(&home, CLASS_2048, CLASS_2048, NP_MAY_GROW);

    (void)state;
    assert_true(np_slab_extend(slab, 0));
    while (slab->free_slots != NULL)
        slots[0][slot_count[0]++] = pop(slab);
    np_depot_settle(slab);
    assert_true(atomic_load(&slab->is_listed));
    /* All of its few live slots come back: the last push claims it. */
    for (unsigned i = 0; i < slot_count[0] - 1; i++)
        assert_int_equal(np_slab_push(slab, slots[0][i], NP_PUSH_ONLY), NP_PUSH_DONE);
    assert_int_equal(np_slab_push(slab, slots[0][slot_count[0] - 1], NP_PUSH_ONLY),
                     NP_PUSH_CLAIMED);
    np_depot_settle(slab);
    assert_null(np_slab_find((uintptr_t)slots[0][0]));
    expect_sound();
}

/* A listed slab that a pusher has opened is passed over, and listed again by its holder. */
static void an_opened_slab_is_passed_over(void **state)
{
    struct np_slab *first = slab_with_live(0, CLASS_64, 900);
    struct np_slab *second = slab_with_live(1, CLASS_64, 100);

    (void)state;
    np_depot_settle(first);
    np_depot_settle(second);
    assert_int_equal(np_slab_push(first, slots[0][0], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    assert_true(atomic_load(&first->is_listed));
    assert_ptr_equal(np_depot_take(CLASS_64), second);
    assert_false(atomic_load(&first->is_listed));
    assert_null(np_depot_take(CLASS_64));
    np_depot_settle(first);
    assert_ptr_equal(np_depot_take(CLASS_64), first);
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
    slab = slab_with_live(0, CLASS_64, 0);
    other = slab_with_live(1, NP_TWIN_CLASS, 3);
    start = slab->start;
    np_depot_settle(slab);
    np_depot_settle(other);
    assert_ptr_equal(np_slab_find(start), slab);
    assert_true(atomic_load(&slab->is_listed));
    expect_sound();
    assert_true(np_depot_trim());
    assert_null(np_slab_find(start));
    assert_non_null(np_slab_find((uintptr_t)slots[1][0])); /* not empty */
    assert_false(np_depot_trim());
    /* A larger class is not held. */
    slab = slab_with_live(2, CLASS_2048, 0);
    start = slab->start;
    np_depot_settle(slab);
    assert_null(np_slab_find(start));
    expect_sound();
}

static struct np_slab *settled_during_fork[3];

static void *settle_and_take(void *unused)
{
    (void)unused;
    assert_null(np_depot_take(CLASS_64));
    assert_false(np_depot_trim());
    for (unsigned i = 0; i < COUNT_OF(settled_during_fork); i++)
        np_depot_settle(settled_during_fork[i]);
    return NULL;
}

/* Nobody waits for a fork; what could not be listed stays open, aside, until the forking thread
 * settles it. */
static void a_fork_is_not_waited_for(void **state)
{
    pthread_t other;
    struct np_slab *listed = slab_with_live(3, CLASS_64, 900);

    (void)state;
    settled_during_fork[0] = slab_with_live(0, CLASS_64, 500);
    settled_during_fork[1] = slab_with_live(1, CLASS_64, 1024);
    settled_during_fork[2] = slab_with_live(2, CLASS_64, 0);
    np_depot_settle(listed);
    np_depot_fork(NP_FORK_PREPARE);
    pthread_create(&other, NULL, settle_and_take, NULL);
    pthread_join(other, NULL); /* would hang */
    np_depot_fork(NP_FORK_PARENT);
    expect_sound();
    assert_true(np_slab_is_open(settled_during_fork[0]));
    assert_false(np_slab_is_open(settled_during_fork[1])); /* full: needs no lock */
    np_depot_settle_aside();
    expect_sound();
    assert_true(atomic_load(&settled_during_fork[0]->is_listed));
    assert_int_equal(np_slab_shared_count(settled_during_fork[0]), 524);
    assert_ptr_not_equal(np_slab_find(settled_during_fork[2]->start), settled_during_fork[2]);
    assert_int_equal(np_depot_count(CLASS_64), 2);
    assert_ptr_equal(np_depot_take(CLASS_64), listed);
    assert_ptr_equal(np_depot_take(CLASS_64), settled_during_fork[0]);
    assert_null(np_depot_take(CLASS_64));
}

/* In the child the slabs that another thread put aside are lost with that thread; what was
 * listed is there. */
static void the_child_keeps_the_lists(void **state)
{
    pthread_t other;
    struct np_slab *listed = slab_with_live(3, CLASS_64, 900);

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
    assert_ptr_equal(np_depot_take(CLASS_64), listed);
    assert_null(np_depot_take(CLASS_64));
    /* Their blocks can be freed as always. */
    assert_int_equal(np_slab_push(settled_during_fork[0], slots[0][0], NP_PUSH_AND_OPEN),
                     NP_PUSH_DONE);
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
    atomic_store(&slab->is_listed, false);
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
        struct np_slab *slab = np_depot_take(CLASS_2048);

        if (slab == NULL)
            slab = np_slab_make(&my_home, CLASS_2048, CLASS_2048, NP_MAY_GROW);
        (void)np_slab_collect(slab);
        (void)np_slab_extend(slab, 0);
        for (unsigned i = 0; i < 3 && slab->free_slots != NULL; i++) {
            void *memory = pop(slab);
            void *other;

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
    /* All was freed, so all has gone back: no slab waits for a push that need not come. */
    assert_int_equal(np_depot_count(CLASS_2048), 0);
    for (struct np_arena *arena = np_arena_list(); arena != NULL; arena = arena->next)
        assert_int_equal(atomic_load(&arena->free_granules) << NP_GRANULE_SHIFT,
                         atomic_load(&arena->system_bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slab_with_room_is_listed),
        cmocka_unit_test(an_empty_slab_goes_back),
        cmocka_unit_test(a_slab_that_others_emptied_goes_back),
        cmocka_unit_test(the_fullest_is_taken_first_then_the_lowest),
        cmocka_unit_test(a_full_slab_is_listed_when_it_has_room),
        cmocka_unit_test(cold_slots_are_room),
        cmocka_unit_test(an_opened_slab_is_passed_over),
        cmocka_unit_test(held_slabs_stay_until_a_trim),
        cmocka_unit_test(a_fork_is_not_waited_for),
        cmocka_unit_test(the_child_keeps_the_lists),
        cmocka_unit_test(the_audit_sees_a_stranger),
        cmocka_unit_test(threads_share_a_depot),
    };

    return run_isolated(tests, COUNT_OF(tests));
}
