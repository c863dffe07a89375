/* The filed runs of an arena against an array of flags, audited after every step; and that the
 * audit sees what it is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "../expected_nodes.h"
#include "filed.h"

/* Lengths on both sides of the last one that has a tree of its own, three addresses each. */
enum { LENGTHS = 70, PLACES = 3, KEYS = LENGTHS * PLACES, STEPS = 20000 };

static struct np_tree_node nodes[KEYS];
static bool is_in[KEYS];
static const struct expected_nodes expected = {nodes, is_in, KEYS};

static uint64_t key_of(size_t index)
{
    return np_filed_key(index / PLACES + 1) | (index % PLACES * 1000 + 7);
}

static void is_ordered_by_length_and_then_by_address(void **state)
{
    static struct np_filed filed;

    (void)state;
    srandom(1);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t index = (size_t)random() % KEYS;
        uint64_t asked = key_of((size_t)random() % KEYS);

        /* Mostly few are in, as in an arena. */
        if (step % 4 != 0 && !is_in[index])
            continue;
        nodes[index].key = key_of(index);
        if (is_in[index])
            np_filed_remove(&filed, &nodes[index]);
        else
            np_filed_insert(&filed, &nodes[index]);
        is_in[index] = !is_in[index];
        assert_null(np_filed_audit(&filed));
        assert_ptr_equal(np_filed_first_from(&filed, 0), expected_from(expected, 0));
        assert_ptr_equal(np_filed_first_from(&filed, asked), expected_from(expected, asked));
        assert_ptr_equal(np_filed_first_from(&filed, asked + 1),
                         expected_from(expected, asked + 1));
        assert_ptr_equal(np_filed_last(&filed), expected_last(expected));
    }
    assert_ptr_equal(np_filed_first_from(&filed, np_filed_key(LENGTHS + 1)), NULL);
}

static void the_audit_sees_lengths_that_are_not_there(void **state)
{
    static struct np_filed filed;
    struct np_tree_node node = {.key = np_filed_key(5) | 3};

    (void)state;
    np_filed_insert(&filed, &node);
    assert_null(np_filed_audit(&filed));
    filed.lengths <<= 1;
    assert_non_null(np_filed_audit(&filed));
    filed.lengths = 0;
    assert_non_null(np_filed_audit(&filed));
}

static void the_audit_sees_a_length_in_the_tree_of_another(void **state)
{
    static struct np_filed filed;
    struct np_tree_node node = {.key = np_filed_key(5) | 3};

    (void)state;
    np_filed_insert(&filed, &node);
    node.key = np_filed_key(6) | 3;
    assert_non_null(np_filed_audit(&filed));
    node.key = np_filed_key(5) | 3;
    assert_null(np_filed_audit(&filed));
    filed.longer.root = &node;
    assert_non_null(np_filed_audit(&filed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_ordered_by_length_and_then_by_address),
        cmocka_unit_test(the_audit_sees_lengths_that_are_not_there),
        cmocka_unit_test(the_audit_sees_a_length_in_the_tree_of_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
