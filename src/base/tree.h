/* An ordered set of 64-bit keys, intrusive: the nodes belong to the caller, nothing is allocated.
 *
 * A treap: a search tree by key that is a heap by a priority. The priority is a mix of the key, so
 * the shape depends on nothing but the set itself and is balanced in expectation: every operation
 * takes O(log n) steps. The caller's lock guards it. Keys are distinct.
 *
 * [T1] left keys < key < right keys.
 * [T2] no child's priority is above its parent's.
 */
#ifndef NP_BASE_TREE_H
#define NP_BASE_TREE_H

#include "attr.h"

struct np_tree_node {
    struct np_tree_node *left;
    struct np_tree_node *right;
    uint64_t key; /* set before insertion, unchanged until removal */
};

struct np_tree {
    struct np_tree_node *root;
};

void np_tree_insert(struct np_tree *tree, struct np_tree_node *node);

/* node is in the tree. */
void np_tree_remove(struct np_tree *tree, struct np_tree_node *node);

/* The node with the smallest key >= key, or NULL. */
struct np_tree_node *np_tree_first_from(const struct np_tree *tree, uint64_t key);

/* The node with the largest key below this one, or NULL. */
struct np_tree_node *np_tree_last_before(const struct np_tree *tree, uint64_t key);

/* The node with the largest key, or NULL. */
struct np_tree_node *np_tree_last(const struct np_tree *tree);

/* NULL, or the invariant that does not hold. */
const char *np_tree_audit(const struct np_tree *tree);

#endif
