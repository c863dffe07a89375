/* Which nodes a tree has, told by an array of them in the order of their keys, and flags. */
#ifndef NP_TESTS_EXPECTED_NODES_H
#define NP_TESTS_EXPECTED_NODES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tree.h"

struct expected_nodes {
    struct np_tree_node *nodes;
    const bool *is_in;
    size_t count;
};

/* The first that is in with a key of at least this, or NULL. */
static inline struct np_tree_node *expected_from(struct expected_nodes expected, uint64_t key)
{
    for (size_t i = 0; i < expected.count; i++)
        if (expected.is_in[i] && expected.nodes[i].key >= key)
            return &expected.nodes[i];
    return NULL;
}

/* The last one that is in, or NULL. */
static inline struct np_tree_node *expected_last(struct expected_nodes expected)
{
    for (size_t i = expected.count; i-- > 0;)
        if (expected.is_in[i])
            return &expected.nodes[i];
    return NULL;
}

#endif
