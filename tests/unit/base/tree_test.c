/* The tree against an array of flags, audited after every step; and that the audit sees what it
 * is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../expected_nodes.h"
#include "tree.h"

enum { KEYS = 300, STEPS = 20000, MANY = 100000 };

static struct np_tree_node nodes[MANY];
static bool is_in[KEYS];
static const struct expected_nodes expected = {nodes, is_in, KEYS};

static uint64_t key_of(size_t index)
{
    return (uint64_t)index * 7 + 5;
}

static struct np_tree_node *expected_before(uint64_t key)
{
    for (size_t i = KEYS; i-- > 0;)
        if (is_in[i] && key_of(i) < key)
            return &nodes[i];
    return NULL;
}

static void behaves_like_a_set(void **state)
{
    struct np_tree tree = {NULL};

    (void)state;
    srandom(1);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t index = (size_t)random() % KEYS;
        uint64_t asked = (uint64_t)random() % (KEYS * 7 + 20);

        nodes[index].key = key_of(index);
        if (is_in[index])
            np_tree_remove(&tree, &nodes[index]);
        else
            np_tree_insert(&tree, &nodes[index]);
        is_in[index] = !is_in[index];
        assert_null(np_tree_audit(&tree));
        assert_ptr_equal(np_tree_first_from(&tree, asked), expected_from(expected, asked));
        assert_ptr_equal(np_tree_last_before(&tree, asked), expected_before(asked));
        assert_ptr_equal(np_tree_last(&tree), expected_last(expected));
    }
}

static void the_empty_tree_has_nothing(void **state)
{
    const struct np_tree tree = {NULL};

    (void)state;
    assert_null(np_tree_first_from(&tree, 0));
    assert_null(np_tree_last(&tree));
    assert_null(np_tree_audit(&tree));
}

static void the_extreme_keys_are_keys(void **state)
{
    struct np_tree tree = {NULL};
    struct np_tree_node least = {.key = 0};
    struct np_tree_node most = {.key = UINT64_MAX};

    (void)state;
    np_tree_insert(&tree, &most);
    np_tree_insert(&tree, &least);
    assert_null(np_tree_audit(&tree));
    assert_ptr_equal(np_tree_first_from(&tree, 0), &least);
    assert_ptr_equal(np_tree_first_from(&tree, 1), &most);
    assert_ptr_equal(np_tree_first_from(&tree, UINT64_MAX), &most);
    assert_ptr_equal(np_tree_last(&tree), &most);
}

static unsigned depth_of(const struct np_tree_node *node)
{
    unsigned left = node == NULL ? 0 : depth_of(node->left);
    unsigned right = node == NULL ? 0 : depth_of(node->right);

    return node == NULL ? 0 : 1 + (left > right ? left : right);
}

/* Runs come in rising order, which would make a plain tree a list. */
static void rising_keys_keep_it_flat(void **state)
{
    struct np_tree tree = {NULL};

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        nodes[i].key = (uint64_t)1 << 36 | i;
        np_tree_insert(&tree, &nodes[i]);
    }
    /* log2 of 100,000 is 17; a treap of random priorities is about 2.5 times as deep. */
    assert_in_range(depth_of(tree.root), 17, 64);
}

static void small_tree(struct np_tree *tree)
{
    tree->root = NULL;
    for (size_t i = 0; i < 20; i++) {
        nodes[i].key = key_of(i);
        np_tree_insert(tree, &nodes[i]);
    }
    assert_null(np_tree_audit(tree));
}

/* A node that has children below it. */
static struct np_tree_node *inner_node(struct np_tree *tree)
{
    assert_true(tree->root->left != NULL || tree->root->right != NULL);
    return tree->root;
}

static void the_audit_sees_disorder(void **state)
{
    struct np_tree tree;
    struct np_tree_node *node;
    struct np_tree_node *child;
    const char *fault;

    (void)state;
    small_tree(&tree);
    node = inner_node(&tree);
    child = node->left;
    node->left = node->right;
    node->right = child;
    fault = np_tree_audit(&tree);
    assert_non_null(fault);
    assert_memory_equal(fault, "T1", 2);

    /* A rotation keeps the order and breaks the heap. */
    small_tree(&tree);
    node = inner_node(&tree);
    child = node->left != NULL ? node->left : node->right;
    if (child == node->left) {
        node->left = child->right;
        child->right = node;
    } else {
        node->right = child->left;
        child->left = node;
    }
    tree.root = child;
    fault = np_tree_audit(&tree);
    assert_non_null(fault);
    assert_memory_equal(fault, "T2", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(behaves_like_a_set),
        cmocka_unit_test(the_empty_tree_has_nothing),
        cmocka_unit_test(the_extreme_keys_are_keys),
        cmocka_unit_test(rising_keys_keep_it_flat),
        cmocka_unit_test(the_audit_sees_disorder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
