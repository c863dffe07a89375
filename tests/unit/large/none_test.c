/* Blocks of no bytes, and addresses that wait. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "isolated.h"
#include "large.h"
#include "none.h"
#include "os_fake.h"
#include "tune.h"
#include "waiting.h"

enum { ALL = 16384, PAGE = 4096, NONE_ALIGNMENT = 16 };

static void *blocks[ALL];

static void each_is_apart_and_has_no_memory(void **state)
{
    (void)state;
    assert_false(np_none_holds(0));
    for (size_t i = 0; i < ALL; i++) {
        blocks[i] = np_none_take(NONE_ALIGNMENT);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        assert_true(np_none_holds((uintptr_t)blocks[i]));
        assert_true(np_none_is_lent((uintptr_t)blocks[i]));
        assert_false(np_none_is_lent((uintptr_t)blocks[i] + 1));
    }
    assert_null(np_none_take(NONE_ALIGNMENT));
    assert_int_equal(os_fake_committed_bytes(), 0);
    for (size_t i = 0; i < ALL; i++) {
        assert_true(np_none_give(blocks[i])); /* so no two were the same */
        assert_false(np_none_is_lent((uintptr_t)blocks[i]));
        assert_false(np_none_give(blocks[i]));
    }
    assert_non_null(np_none_take(NONE_ALIGNMENT));
}

static void each_has_its_alignment(void **state)
{
    (void)state;
    for (size_t alignment = 1; alignment <= 16 * PAGE; alignment *= 2) {
        size_t count = 0;

        while (count < ALL && (blocks[count] = np_none_take(alignment)) != NULL) {
            assert_int_equal((uintptr_t)blocks[count] % alignment, 0);
            count++;
        }
        assert_int_equal(count, alignment < 16 ? ALL : ALL * 16 / alignment);
        while (count > 0)
            assert_true(np_none_give(blocks[--count]));
    }
    assert_null(np_none_take((size_t)32 * PAGE));
}

static void one_is_not_used_again_at_once(void **state)
{
    void *first = np_none_take(NONE_ALIGNMENT);

    (void)state;
    assert_true(np_none_give(first));
    for (size_t i = 0; i < 200; i++)
        assert_ptr_not_equal(np_none_take(NONE_ALIGNMENT), first);
}

static void without_addresses_there_are_none(void **state)
{
    (void)state;
    os_fake_refuse(OS_FAKE_RESERVE);
    assert_null(np_none_take(NONE_ALIGNMENT));
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
    object = np_large_take_guarded(PAGE, 16);
    assert_true(np_large_give(object));
    assert_true(np_waiting_holds((uintptr_t)object, &bytes));
    assert_true(np_waiting_end());
    assert_false(np_waiting_holds((uintptr_t)object, &bytes));
    assert_false(np_waiting_end());
}

/* Whoever has them now keeps them: nothing of them is released, however many are freed and
 * whatever is asked. */
static void freed_objects_are_noted(void **state)
{
    char *object = np_large_take(3 * PAGE, 16);
    char *guarded = np_large_take_guarded(PAGE, 16);
    size_t bytes = 0;
    size_t calls;

    (void)state;
    assert_true(np_large_give(object));
    assert_int_equal(np_large_guarded_around((uintptr_t)object + 100, &bytes), NP_GUARDED_FREED);
    assert_int_equal(bytes, 4 * PAGE);
    assert_false(np_waiting_end());
    assert_true(np_waiting_holds((uintptr_t)object, &bytes));
    assert_true(np_large_give(guarded));
    calls = os_fake_calls(OS_FAKE_RELEASE);
    for (unsigned i = 0; i < 255; i++) /* the last takes the place of the first */
        np_waiting_note((void *)((uintptr_t)PAGE * (100 + i)), PAGE);
    assert_int_equal(os_fake_calls(OS_FAKE_RELEASE), calls);
    assert_false(np_waiting_holds((uintptr_t)object, &bytes));
    assert_true(np_waiting_holds((uintptr_t)guarded, &bytes));
    np_waiting_note((void *)PAGE, PAGE);
    assert_int_equal(os_fake_calls(OS_FAKE_RELEASE), calls + 1); /* of the guarded one */
    assert_false(np_waiting_holds((uintptr_t)guarded, &bytes));
    assert_false(np_waiting_end());
}

static void what_a_resized_object_leaves_is_noted(void **state)
{
    char *object = np_large_take(3 * PAGE, 16);
    char *wall = object + 4 * PAGE;
    char *moved;
    size_t bytes;

    (void)state;
    assert_true(os_fake_is_committed(object, 4 * PAGE));
    if (mmap(wall, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
        wall)
        assert_int_equal(errno, EEXIST); /* something lies there already */
    moved = np_large_resize(object, 300 * PAGE);
    assert_non_null(moved);
    assert_ptr_not_equal(moved, object);
    assert_true(np_waiting_holds((uintptr_t)object, &bytes));
    assert_int_equal(bytes, 4 * PAGE);
    assert_false(np_waiting_holds((uintptr_t)moved, &bytes));
}

/* A mark stays while the object does, resized within its pages too, and does not hide it. */
static void objects_have_marks(void **state)
{
    char *object = np_large_take_guarded(10000, 16);
    char *plain = np_large_take(10000, 16);

    (void)state;
    assert_int_equal(np_large_mark(object), 0);
    np_large_set_mark(object, NP_LARGE_MARK_MAX);
    assert_int_equal(np_large_mark(object), NP_LARGE_MARK_MAX);
    assert_ptr_equal(np_large_resize(object, 9000), object);
    assert_int_equal(np_large_mark(object), NP_LARGE_MARK_MAX);
    assert_int_equal(np_large_mark(plain), 0);
    np_large_set_mark(plain, NP_LARGE_MARK_MAX);
    assert_int_equal(np_large_mark(plain), NP_LARGE_MARK_MAX);
    assert_int_equal(np_large_requested_bytes(plain), 10000);
    assert_int_equal(np_large_around((uintptr_t)plain + 1), (uintptr_t)plain);
    assert_int_equal(np_large_mark(plain + NP_LARGE_MARK_MAX), -1);
    np_large_check();
    np_large_set_mark(&blocks, 1);
    assert_int_equal(np_large_mark(&blocks), -1);
    assert_true(np_large_give(object));
    assert_true(np_large_give(plain));
    assert_int_equal(np_large_mark(plain), -1);
}

/* Of what was cut off nothing can be read behind a smaller object. */
static void shrunk_objects_show_nothing(void **state)
{
    char *object = np_large_take(10 * PAGE, 16);

    (void)state;
    memset(object, 1, 10 * PAGE);
    assert_ptr_equal(np_large_resize(object, 2 * PAGE + 100), object);
    for (size_t at = 2 * PAGE + 100; at < np_large_bytes(object); at++)
        assert_int_equal(object[at], 0);
    assert_int_equal(object[2 * PAGE + 99], 1);
    assert_true(np_large_give(object));
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
        cmocka_unit_test(each_has_its_alignment),
        cmocka_unit_test(one_is_not_used_again_at_once),
        cmocka_unit_test(without_addresses_there_are_none),
        cmocka_unit_test(guarded_objects_keep_their_addresses_for_a_while),
        cmocka_unit_test(freed_objects_are_noted),
        cmocka_unit_test(what_a_resized_object_leaves_is_noted),
        cmocka_unit_test(objects_have_marks),
        cmocka_unit_test(shrunk_objects_show_nothing),
        cmocka_unit_test(guarded_objects_are_aligned_and_resized_within_their_pages),
    };

    return run_isolated(tests, COUNT_OF(tests));
}
