/* Blocks of no bytes, and addresses that wait. */
#include <string.h>

#include "isolated.h"
#include "large.h"
#include "none.h"
#include "os_fake.h"
#include "tune.h"
#include "waiting.h"

enum { ALL = 16384, PAGE = 4096 };

static void *blocks[ALL];

static void each_is_apart_and_has_no_memory(void **state)
{
    (void)state;
    assert_false(np_none_holds(0));
    for (size_t i = 0; i < ALL; i++) {
        blocks[i] = np_none_take();
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        assert_true(np_none_holds((uintptr_t)blocks[i]));
        assert_true(np_none_is_lent((uintptr_t)blocks[i]));
        assert_false(np_none_is_lent((uintptr_t)blocks[i] + 1));
    }
    assert_null(np_none_take());
    assert_int_equal(os_fake_committed_bytes(), 0);
    for (size_t i = 0; i < ALL; i++) {
        assert_true(np_none_give(blocks[i])); /* so no two were the same */
        assert_false(np_none_is_lent((uintptr_t)blocks[i]));
        assert_false(np_none_give(blocks[i]));
    }
    assert_non_null(np_none_take());
}

static void one_is_not_used_again_at_once(void **state)
{
    void *first = np_none_take();

    (void)state;
    assert_true(np_none_give(first));
    for (size_t i = 0; i < 200; i++)
        assert_ptr_not_equal(np_none_take(), first);
}

static void without_addresses_there_are_none(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_RESERVE);
    assert_null(np_none_take());
    assert_false(np_none_holds(4096));
    assert_false(np_none_give(&blocks));
}

static void guarded_objects_keep_their_addresses_for_a_while(void **state)
{
    char *object = np_large_take_guarded(3 * PAGE, 16);
    size_t bytes = 0;

    (void)state;
    assert_non_null(object);
    assert_int_equal(np_large_requested_bytes(object), 3 * PAGE);
    assert_true(os_fake_is_committed(object, 4 * PAGE));
    assert_false(os_fake_is_committed(object - PAGE, PAGE));
    assert_false(os_fake_is_committed(object + 4 * PAGE, PAGE));
    assert_int_equal(np_large_guarded_around((uintptr_t)object - 1, &bytes), NP_GUARDED_BESIDE);
    assert_int_equal(bytes, 3 * PAGE);
    assert_sound(np_large_audit());
    assert_true(np_large_give(object));
    assert_false(np_large_give(object));
    assert_sound(np_large_audit());
    assert_int_equal(np_large_guarded_around((uintptr_t)object, &bytes), NP_GUARDED_FREED);
    for (unsigned i = 0; i < 256; i++) {
        assert_true(np_waiting_holds((uintptr_t)object, &bytes));
        assert_true(np_large_give(np_large_take_guarded(PAGE, 16)));
    }
    assert_false(np_waiting_holds((uintptr_t)object, &bytes));
}

static void guarded_objects_are_aligned_and_resized_within_their_pages(void **state)
{
    (void)state;
    for (size_t alignment = 16; alignment <= 64 * PAGE; alignment *= 2) {
        char *object = np_large_take_guarded(10000, alignment);

        assert_non_null(object);
        assert_int_equal((uintptr_t)object % alignment, 0);
        assert_ptr_equal(np_large_resize(object, 9000), object);
        assert_int_equal(np_large_requested_bytes(object), 9000);
        assert_null(np_large_resize(object, 20000));
        assert_sound(np_large_audit());
        assert_true(np_large_give(object));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_apart_and_has_no_memory),
        cmocka_unit_test(one_is_not_used_again_at_once),
        cmocka_unit_test(without_addresses_there_are_none),
        cmocka_unit_test(guarded_objects_keep_their_addresses_for_a_while),
        cmocka_unit_test(guarded_objects_are_aligned_and_resized_within_their_pages),
    };

    return run_isolated(tests, COUNT_OF(tests));
}
