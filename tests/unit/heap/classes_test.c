/* Every sentence of classes.h and of classes.c's comment, for every class and every size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "classes.h"
#include "slab.h"

enum { PAGE = 4096 };

static size_t slot_bytes(size_t class_index)
{
    return np_classes[class_index].slot_bytes;
}

static void sizes_rise_in_steps_of_16_then_an_eighth(void **state)
{
    (void)state;
    assert_int_equal(slot_bytes(0), 16);
    assert_int_equal(slot_bytes(NP_CLASS_COUNT - 1), NP_SMALL_MAX_BYTES);
    for (size_t i = 1; i < NP_CLASS_COUNT; i++) {
        size_t step = slot_bytes(i) - slot_bytes(i - 1);

        assert_true(slot_bytes(i) > slot_bytes(i - 1));
        if (slot_bytes(i) <= 256)
            assert_int_equal(step, 16);
        else
            assert_true(step * 8 <= slot_bytes(i));
        assert_int_equal(slot_bytes(i) % NP_ALIGNMENT, 0);
    }
}

static void a_request_gets_the_smallest_slot_that_holds_it(void **state)
{
    size_t expected = 0;

    (void)state;
    for (size_t size = 0; size <= NP_SMALL_MAX_BYTES; size++) {
        size_t waste;

        if (size > slot_bytes(expected))
            expected++;
        assert_int_equal(np_class_of(size), expected);
        waste = slot_bytes(expected) - size;
        if (size > 0)
            assert_true(waste <= 15 || waste * 8 <= slot_bytes(expected));
    }
}

static void fitted_slots_are_the_largest_of_which_so_many_fit(void **state)
{
    size_t fitted_count = 0;

    (void)state;
    for (size_t i = 0; i < NP_CLASS_COUNT; i++) {
        size_t per_page = np_classes[i].slots_per_page;

        if (per_page == 0)
            continue;
        fitted_count++;
        assert_int_equal(per_page, PAGE / slot_bytes(i));
        assert_int_equal(slot_bytes(i), PAGE / per_page / NP_ALIGNMENT * NP_ALIGNMENT);
        assert_true(PAGE % slot_bytes(i) != 0); /* those that fill the page say packed */
    }
    assert_true(fitted_count > 0);
}

static void a_slab_is_two_units_where_one_holds_fewer_than_8(void **state)
{
    (void)state;
    for (size_t i = 0; i < NP_CLASS_COUNT; i++) {
        const struct np_class *shape = &np_classes[i];
        size_t slab_bytes = shape->unit_count * NP_UNIT_BYTES;

        assert_int_equal(shape->unit_count, NP_UNIT_BYTES / slot_bytes(i) < 8 ? 2 : 1);
        if (shape->slots_per_page == 0)
            assert_int_equal(shape->slot_count, slab_bytes / slot_bytes(i));
        else
            assert_int_equal(shape->slot_count, slab_bytes / PAGE * shape->slots_per_page);
        assert_true(shape->slot_count >= 8);
    }
}

static void groups_are_neighbours(void **state)
{
    unsigned end_count = 0;

    (void)state;
    for (unsigned i = 0; i < NP_CLASS_COUNT; i++) {
        unsigned top = np_class_group_top(i);

        assert_true(top >= i && slot_bytes(top) <= 4 * slot_bytes(i));
        assert_int_equal(slot_bytes(top) & (slot_bytes(top) - 1), 0); /* as aligned as can be */
        if (top == i)
            end_count++;
        else
            assert_int_equal(np_class_group_top(i + 1), top);
    }
    assert_int_equal(end_count, 8);
}

static void the_direct_table_ends_with_a_class(void **state)
{
    (void)state;
    assert_int_equal(slot_bytes(NP_DIRECT_CLASS_COUNT - 1), NP_DIRECT_MAX_BYTES);
    assert_int_equal(NP_TWIN_CLASS, NP_CLASS_COUNT);
    assert_int_equal(np_class_by_granule[NP_DIRECT_COUNT - 1], NP_DIRECT_CLASS_COUNT - 1);
}

/* Slot addresses by class, as slab.c computes them, with a record that no arena knows. */
static struct np_slab slab_of_class(size_t class_index)
{
    const struct np_class *shape = &np_classes[class_index];

    return (struct np_slab){
        .start = 7 * NP_UNIT_BYTES,
        .slot_bytes = shape->slot_bytes,
        .slots_per_page = (uint16_t)(PAGE % shape->slot_bytes == 0 ? PAGE / shape->slot_bytes
                                                                   : shape->slots_per_page),
        .slot_count = shape->slot_count,
        .inverse = UINT32_MAX / shape->slot_bytes + 1,
        .unit_count = (uint8_t)shape->unit_count,
    };
}

static void slots_lie_apart_inside_their_slab(void **state)
{
    (void)state;
    for (size_t i = 0; i < NP_CLASS_COUNT; i++) {
        struct np_slab slab = slab_of_class(i);
        uintptr_t end = slab.start;

        for (unsigned slot = 0; slot < slab.slot_count; slot++) {
            uintptr_t at = np_slab_slot_at(&slab, slot);

            assert_true(at >= end);
            assert_int_equal(at % NP_ALIGNMENT, 0);
            end = at + slab.slot_bytes;
            if (slab.slots_per_page != 0)
                assert_int_equal(at / PAGE, (end - 1) / PAGE); /* none straddles */
        }
        assert_true(end <= slab.start + slab.unit_count * NP_UNIT_BYTES);
        assert_true(slab.slot_count <= INT16_MAX); /* the word's count is signed, of 16 bits */
    }
}

/* free() of anything but the start of a slot is an error that is seen: for every address of
 * every class. */
static void only_starts_of_slots_have_an_index(void **state)
{
    (void)state;
    for (size_t i = 0; i < NP_CLASS_COUNT; i++) {
        struct np_slab slab = slab_of_class(i);
        unsigned next = 0;

        uintptr_t end = slab.start + slab.unit_count * NP_UNIT_BYTES;

        for (uintptr_t at = slab.start; at < end; at++) {
            int index = np_slab_slot_index(&slab, at);

            if (next < slab.slot_count && at == np_slab_slot_at(&slab, next))
                assert_int_equal(index, next++);
            else
                assert_int_equal(index, -1);
        }
        assert_int_equal(next, slab.slot_count);
        assert_int_equal(np_slab_slot_index(&slab, slab.start - 1), -1);
        assert_int_equal(np_slab_slot_index(&slab, end), -1);
        assert_int_equal(np_slab_slot_index(&slab, 0), -1);
    }
}

/* What operator delete takes for right without further questions: the sizes of the class, and of
 * the other one of its pair, if that is of the same group. */
static void a_slab_serves_the_sizes_of_its_class_and_pair(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NP_CLASS_COUNT; i++) {
        struct np_slab slab = slab_of_class(i);
        unsigned pair = i % 2 != 0 && np_class_group_top(i - 1) >= i ? i - 1 : i;

        slab.spare_bytes = np_class_spare_bytes(i);
        for (size_t size = 0; size <= NP_SMALL_MAX_BYTES; size++) {
            unsigned of_size = np_class_of(size);

            assert_int_equal(np_slab_serves(&slab, size), of_size == i || of_size == pair);
        }
        assert_false(np_slab_serves(&slab, SIZE_MAX));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_rise_in_steps_of_16_then_an_eighth),
        cmocka_unit_test(a_request_gets_the_smallest_slot_that_holds_it),
        cmocka_unit_test(fitted_slots_are_the_largest_of_which_so_many_fit),
        cmocka_unit_test(a_slab_is_two_units_where_one_holds_fewer_than_8),
        cmocka_unit_test(groups_are_neighbours),
        cmocka_unit_test(the_direct_table_ends_with_a_class),
        cmocka_unit_test(a_slab_serves_the_sizes_of_its_class_and_pair),
        cmocka_unit_test(slots_lie_apart_inside_their_slab),
        cmocka_unit_test(only_starts_of_slots_have_an_index),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
