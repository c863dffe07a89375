/* The treap of tree.h. Loops, not recursion, except in the audit. */
#include "tree.h"

#include "bits.h"

/* As np_mix, but for the last step, which is for low bits: here they hardly count. */
NP_INLINE uint64_t priority(const struct np_tree_node *node)
{
    uint64_t value = node->key * NP_MIX_FACTOR;

    return (value ^ value >> 32) * NP_MIX_FACTOR;
}

/* Cuts the tree at *top into the keys below and above key. */
static void split(struct np_tree_node *top, uint64_t key, struct np_tree_node **below,
                  struct np_tree_node **above)
{
    while (top != NULL) {
        if (top->key < key) {
            *below = top;
            below = &top->right;
            top = top->right;
        } else {
            *above = top;
            above = &top->left;
            top = top->left;
        }
    }
    *below = NULL;
    *above = NULL;
}

void np_tree_insert(struct np_tree *tree, struct np_tree_node *node)
{
    struct np_tree_node **link = &tree->root;
    uint64_t own = priority(node);

    while (*link != NULL && priority(*link) >= own)
        link = node->key < (*link)->key ? &(*link)->left : &(*link)->right;
    split(*link, node->key, &node->left, &node->right);
    *link = node;
}

void np_tree_remove(struct np_tree *tree, struct np_tree_node *node)
{
    struct np_tree_node **link = &tree->root;
    struct np_tree_node *left = node->left;
    struct np_tree_node *right = node->right;

    while (*link != node)
        link = node->key < (*link)->key ? &(*link)->left : &(*link)->right;
    while (left != NULL && right != NULL) {
        if (priority(left) >= priority(right)) {
            *link = left;
            link = &left->right;
            left = left->right;
        } else {
            *link = right;
            link = &right->left;
            right = right->left;
        }
    }
    *link = left != NULL ? left : right;
}

struct np_tree_node *np_tree_first_from(const struct np_tree *tree, uint64_t key)
{
    struct np_tree_node *best = NULL;
    struct np_tree_node *node = tree->root;

    while (node != NULL) {
        if (node->key >= key) {
            best = node;
            node = node->left;
        } else {
            node = node->right;
        }
    }
    return best;
}

struct np_tree_node *np_tree_last_before(const struct np_tree *tree, uint64_t key)
{
    struct np_tree_node *best = NULL;
    struct np_tree_node *node = tree->root;

    while (node != NULL) {
        if (node->key < key) {
            best = node;
            node = node->right;
        } else {
            node = node->left;
        }
    }
    return best;
}

struct np_tree_node *np_tree_last(const struct np_tree *tree)
{
    struct np_tree_node *node = tree->root;

    while (node != NULL && node->right != NULL)
        node = node->right;
    return node;
}

static const char *audit(const struct np_tree_node *node, uint64_t lowest, uint64_t highest)
{
    const char *fault;

    if (node == NULL)
        return NULL;
    if (node->key < lowest || node->key > highest)
        return "T1: a tree's keys are out of order";
    if ((node->left != NULL && (node->key == lowest || priority(node->left) > priority(node))) ||
        (node->right != NULL && (node->key == highest || priority(node->right) > priority(node))))
        return "T2: a child's priority is above its parent's";
    fault = audit(node->left, lowest, node->key - 1);
    return fault != NULL ? fault : audit(node->right, node->key + 1, highest);
}

const char *np_tree_audit(const struct np_tree *tree)
{
    return audit(tree->root, 0, UINT64_MAX);
}
