/* The slab's word and its private side, alone and with several threads at once. */
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "isolated.h"
#include "meta.h"
#include "os_fake.h"
#include "slab.h"

enum { CLASS_48 = 2, CLASS_64 = 3, CLASS_10K = 55 };

static struct np_arena *home;

static struct np_slab *make(unsigned class_index)
{
    struct np_slab *slab = np_slab_make(&home, class_index, class_index, NP_MAY_GROW);

    assert_non_null(slab);
    return slab;
}

static void *pop(struct np_slab *slab)
{
    struct np_slot *slot = slab->free_slots;

    assert_non_null(slot);
    slab->free_slots = np_slot_next(slab, slot);
    NP_OWNER_ADD(slab->until_notice, 1);
    return slot;
}

static void a_fresh_slab_is_held_and_cold(void **state)
{
    struct np_slab *slab = make(CLASS_64);

    (void)state;
    assert_true(np_slab_is_open(slab));
    assert_null(slab->free_slots);
    assert_int_equal(np_slab_used_count(slab), 0);
    assert_int_equal(np_slab_free_count(slab), 0);
    assert_int_equal(np_slab_shared_count(slab), 0);
    assert_int_equal(np_slab_extended_bytes(slab), 0);
    assert_null(atomic_load(&slab->owner));
    assert_int_equal(slab->start % NP_UNIT_BYTES, 0);
    assert_int_equal(os_fake_resident_bytes((void *)slab->start, NP_UNIT_BYTES), 0);
    assert_sound(np_slab_audit(slab));
}

static void every_address_of_a_slab_finds_it(void **state)
{
    struct np_slab *small = make(CLASS_48);
    struct np_slab *two_units = make(CLASS_10K);
    struct np_slab *next = make(CLASS_48);

    (void)state;
    assert_int_equal(two_units->unit_count, 2);
    for (uintptr_t offset = 0; offset < NP_UNIT_BYTES; offset += 1000) {
        assert_ptr_equal(np_slab_find(small->start + offset), small);
        assert_ptr_equal(np_slab_find(two_units->start + offset), two_units);
        assert_ptr_equal(np_slab_find(two_units->start + NP_UNIT_BYTES + offset), two_units);
        assert_ptr_equal(np_slab_find(next->start + offset), next);
    }
    assert_null(np_slab_find(0));
    assert_null(np_slab_find(UINTPTR_MAX));
    assert_null(np_slab_find((uintptr_t)&home));
}

static void a_destroyed_slab_is_found_no_more(void **state)
{
    struct np_slab *slab = make(CLASS_10K);
    uintptr_t start = slab->start;

    (void)state;
    np_slab_destroy(slab);
    assert_null(np_slab_find(start));
    assert_null(np_slab_find(start + NP_UNIT_BYTES));
    assert_sound(np_arena_audit_all());
    /* Its record is used anew by a smaller one. */
    slab = make(CLASS_48);
    assert_int_equal(slab->start, start);
    assert_ptr_equal(np_slab_find(start), slab);
    assert_null(np_slab_find(start + NP_UNIT_BYTES));
}

/* A system page at a time, and only that page is touched. */
static void extend_by_pages(unsigned class_index, size_t page_bytes)
{
    struct np_slab *slab = make(class_index);
    unsigned seen = 0;
    uintptr_t last = 0;
    size_t before = 0;

    while (np_slab_extend(slab, 0)) {
        size_t reached = np_slab_extended_bytes(slab);
        unsigned fresh = np_slab_free_count(slab);

        assert_sound(np_slab_audit(slab));
        assert_true(fresh > 0);
        assert_int_equal(reached % page_bytes, 0);
        assert_true(os_fake_resident_bytes((void *)slab->start, NP_UNIT_BYTES) <= reached);
        if (slab->slot_bytes <= page_bytes)
            assert_int_equal(reached, before + page_bytes);
        before = reached;
        for (unsigned i = 0; i < fresh; i++) {
            void *slot = pop(slab);

            assert_true((uintptr_t)slot > last); /* in rising order */
            last = (uintptr_t)slot;
            assert_int_equal(np_slab_slot_index(slab, last), seen++);
            assert_true(last + slab->slot_bytes <= slab->start + reached);
        }
    }
    assert_int_equal(seen, slab->slot_count);
    assert_int_equal(np_slab_used_count(slab), slab->slot_count);
    assert_false(np_slab_extend(slab, 0));
}

static void slabs_grow_by_system_pages(void **state)
{
    (void)state;
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        extend_by_pages(class_index, 4096);
}

static void slabs_grow_by_system_pages_of_16k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(16384);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        extend_by_pages(class_index, 16384);
}

static void slabs_grow_by_system_pages_of_64k(void **state)
{
    (void)state;
    os_fake_set_page_bytes(65536);
    for (unsigned class_index = 0; class_index < NP_CLASS_COUNT; class_index++)
        extend_by_pages(class_index, 65536);
}

static void a_fresh_slab_costs_one_page(void **state)
{
    struct np_slab *slab = make(CLASS_64);

    (void)state;
    assert_true(np_slab_extend(slab, 0));
    assert_int_equal(slab->extended_count, 4096 / 64);
    memset(pop(slab), 1, 64);
    assert_int_equal(os_fake_resident_bytes((void *)slab->start, NP_UNIT_BYTES), 4096);
    assert_true(np_slab_extend(slab, 1000)); /* a limit above is obeyed */
    assert_int_equal(slab->extended_count, 1000);
}

/* P4: what a program can overrun or read does not look like an address. */
static void links_are_encoded(void **state)
{
    struct np_slab *slab = make(CLASS_64);
    const struct np_slot *slot;
    unsigned near_count = 0;

    (void)state;
    (void)np_slab_extend(slab, 0);
    assert_true(slab->key != 0);
    for (slot = slab->free_slots; slot != NULL; slot = np_slot_next(slab, slot))
        near_count += slot->encoded_next - slab->start < NP_UNIT_BYTES;
    assert_int_equal(near_count, 0);
    assert_true(make(CLASS_64)->key != slab->key);
}

static void the_audit_sees_a_broken_list(void **state)
{
    struct np_slab *slab = make(CLASS_64);
    const char *fault;

    (void)state;
    (void)np_slab_extend(slab, 0);
    slab->free_slots->encoded_next ^= 0x100000;
    fault = np_slab_audit(slab);
    assert_non_null(fault);
    assert_memory_equal(fault, "S2", 2);
    slab->free_slots->encoded_next ^= 0x100000;
    assert_null(np_slab_audit(slab));
    NP_OWNER_ADD(slab->until_notice, 1);
    fault = np_slab_audit(slab);
    assert_non_null(fault);
    assert_memory_equal(fault, "S2", 2);
    slab->extended_count = (uint16_t)(slab->slot_count + 1);
    fault = np_slab_audit(slab);
    assert_non_null(fault);
    assert_memory_equal(fault, "S1", 2);
}

/* A slab with all its first page's slots in the program's hands. */
static struct np_slab *full_page(void **slots, unsigned *slot_count)
{
    struct np_slab *slab = make(CLASS_64);

    (void)np_slab_extend(slab, 0);
    *slot_count = slab->extended_count;
    for (unsigned i = 0; i < *slot_count; i++)
        slots[i] = pop(slab);
    return slab;
}

static void pushed_slots_are_collected(void **state)
{
    void *slots[64];
    unsigned count;
    struct np_slab *slab = full_page(slots, &count);

    (void)state;
    assert_false(np_slab_collect(slab));
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_DONE);
        assert_int_equal(np_slab_shared_count(slab), i + 1);
        assert_int_equal(np_slab_used_count(slab), count); /* the holder has not looked */
    }
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_shared_count(slab), 0);
    assert_int_equal(np_slab_free_count(slab), 10);
    assert_sound(np_slab_audit(slab));
    /* Into a list that has something already. */
    for (unsigned i = 10; i < 25; i++)
        (void)np_slab_push(slab, slots[i], NP_PUSH_ONLY);
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_free_count(slab), 25);
    assert_sound(np_slab_audit(slab));
    for (unsigned i = 0; i < 25; i++)
        (void)pop(slab);
    assert_null(slab->free_slots);
}

static void a_push_into_an_open_slab_claims_nothing(void **state)
{
    void *slots[64];
    unsigned count;
    struct np_slab *slab = full_page(slots, &count);

    (void)state;
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_AND_OPEN), NP_PUSH_DONE);
    assert_false(np_slab_try_open(slab)); /* it is */
}

static void the_notice_decides_who_opens(void **state)
{
    void *slots[64];
    unsigned count;
    struct np_slab *slab = full_page(slots, &count);

    (void)state;
    assert_true(np_slab_try_close(slab, 5));
    assert_false(np_slab_is_open(slab));
    assert_int_equal(np_slab_used_count(slab), slab->extended_count); /* S3 */
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(np_slab_push(slab, slots[i], NP_PUSH_ONLY), NP_PUSH_DONE);
    assert_int_equal(np_slab_push(slab, slots[4], NP_PUSH_ONLY), NP_PUSH_CLAIMED);
    assert_true(np_slab_is_open(slab));
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_free_count(slab), 5);
    assert_sound(np_slab_audit(slab));
    /* Closed with what it has; a wish opens at once. */
    assert_true(np_slab_try_close(slab, 60));
    assert_int_equal(np_slab_shared_count(slab), 5);
    assert_null(slab->free_slots);
    assert_int_equal(np_slab_push(slab, slots[5], NP_PUSH_AND_OPEN), NP_PUSH_CLAIMED);
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_free_count(slab), 6);
    assert_sound(np_slab_audit(slab));
}

static void a_slab_that_was_pushed_into_does_not_close(void **state)
{
    void *slots[64];
    unsigned count;
    struct np_slab *slab = full_page(slots, &count);

    (void)state;
    (void)np_slab_push(slab, slots[0], NP_PUSH_ONLY);
    assert_false(np_slab_try_close(slab, 60));
    assert_true(np_slab_is_open(slab));
    assert_true(np_slab_collect(slab));
    assert_true(np_slab_try_close(slab, 60));
    assert_true(np_slab_try_open(slab));
    assert_false(np_slab_try_open(slab));
    assert_true(np_slab_collect(slab));
    assert_int_equal(np_slab_free_count(slab), 1);
}

/* ---- threads ---- */

enum { PUSHERS = 3, ROUNDS = 300 };

static struct np_slab *shared_slab;
static void *to_push[PUSHERS][1024];
static unsigned to_push_count[PUSHERS];
static _Atomic int round_started;
static _Atomic int pushers_done;
static _Atomic int claims;

/* Whoever is given the slab collects and closes it again, as a thread without a heap would. */
static void hold_and_close(struct np_slab *slab)
{
    do
        (void)np_slab_collect(slab);
    while (!np_slab_try_close(slab, np_slab_free_count(slab) + 7));
}

static void *push_all(void *argument)
{
    size_t self = (size_t)(uintptr_t)argument;

    for (int round = 1; round <= ROUNDS; round++) {
        while (atomic_load(&round_started) < round)
            sched_yield();
        for (unsigned i = 0; i < to_push_count[self]; i++) {
            if (np_slab_push(shared_slab, to_push[self][i],
                             i % 5 == 0 ? NP_PUSH_AND_OPEN : NP_PUSH_ONLY) == NP_PUSH_CLAIMED) {
                atomic_fetch_add(&claims, 1);
                hold_and_close(shared_slab);
            }
        }
        atomic_fetch_add(&pushers_done, 1);
    }
    return NULL;
}

/* All slots are dealt to pushers, who push them while the holder collects, closes and is robbed;
 * all come back, each once. */
static void no_slot_is_lost_or_doubled(void **state)
{
    static bool is_seen[1024];
    pthread_t pushers[PUSHERS];
    unsigned count = 0;

    (void)state;
    shared_slab = make(CLASS_64);
    while (np_slab_extend(shared_slab, 0))
        ;
    for (size_t i = 0; i < PUSHERS; i++)
        pthread_create(&pushers[i], NULL, push_all, (void *)(uintptr_t)i);
    for (int round = 1; round <= ROUNDS; round++) {
        memset(to_push_count, 0, sizeof to_push_count);
        for (count = 0; shared_slab->free_slots != NULL; count++) {
            size_t pusher = random_below(PUSHERS);

            to_push[pusher][to_push_count[pusher]++] = pop(shared_slab);
        }
        assert_int_equal(count, shared_slab->slot_count);
        atomic_store(&pushers_done, 0);
        if (round % 2 == 0)
            assert_true(np_slab_try_close(shared_slab, 1 + (unsigned)random_below(400)));
        atomic_store(&round_started, round);
        while (atomic_load(&pushers_done) < PUSHERS) {
            if (round % 2 != 0)
                (void)np_slab_collect(shared_slab);
            else if (np_slab_try_open(shared_slab))
                hold_and_close(shared_slab);
        }
        if (round % 2 == 0)
            assert_true(np_slab_try_open(shared_slab));
        (void)np_slab_collect(shared_slab);
        assert_int_equal(np_slab_free_count(shared_slab), shared_slab->slot_count);
        assert_int_equal(np_slab_used_count(shared_slab), 0);
        assert_sound(np_slab_audit(shared_slab));
        memset(is_seen, 0, sizeof is_seen);
        for (const struct np_slot *slot = shared_slab->free_slots; slot != NULL;
             slot = np_slot_next(shared_slab, slot)) {
            int index = np_slab_slot_index(shared_slab, (uintptr_t)slot);

            assert_true(index >= 0 && !is_seen[index]);
            is_seen[index] = true;
        }
    }
    for (size_t i = 0; i < PUSHERS; i++)
        pthread_join(pushers[i], NULL);
    assert_true(atomic_load(&claims) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fresh_slab_is_held_and_cold),
        cmocka_unit_test(every_address_of_a_slab_finds_it),
        cmocka_unit_test(a_destroyed_slab_is_found_no_more),
        cmocka_unit_test(slabs_grow_by_system_pages),
        cmocka_unit_test(slabs_grow_by_system_pages_of_16k),
        cmocka_unit_test(slabs_grow_by_system_pages_of_64k),
        cmocka_unit_test(a_fresh_slab_costs_one_page),
        cmocka_unit_test(links_are_encoded),
        cmocka_unit_test(the_audit_sees_a_broken_list),
        cmocka_unit_test(pushed_slots_are_collected),
        cmocka_unit_test(a_push_into_an_open_slab_claims_nothing),
        cmocka_unit_test(the_notice_decides_who_opens),
        cmocka_unit_test(a_slab_that_was_pushed_into_does_not_close),
        cmocka_unit_test(no_slot_is_lost_or_doubled),
    };

    return run_isolated(tests, COUNT_OF(tests));
}
