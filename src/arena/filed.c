/* See filed.h. */
#include "filed.h"

NP_INLINE size_t length_of(uint64_t key)
{
    return (size_t)(key >> NP_FILED_ADDRESS_BITS);
}

/* None of the longer ones. */
NP_INLINE uint64_t bit_of(size_t length)
{
    return length <= NP_FILED_LENGTHS ? UINT64_C(1) << (length - 1) : 0;
}

void np_filed_insert(struct np_filed *filed, struct np_tree_node *node)
{
    size_t length = length_of(node->key);
    struct np_tree *tree = length <= NP_FILED_LENGTHS ? &filed->of_length[length - 1] : &filed->longer;

    if (tree->root != NULL) {
        np_tree_insert(tree, node);
        return;
    }
    /* Mostly it is the only one of its length. */
    node->left = NULL;
    node->right = NULL;
    tree->root = node;
    filed->lengths |= bit_of(length);
}

void np_filed_remove(struct np_filed *filed, struct np_tree_node *node)
{
    size_t length = length_of(node->key);
    struct np_tree *tree = length <= NP_FILED_LENGTHS ? &filed->of_length[length - 1] : &filed->longer;

    if (tree->root != node || node->left != NULL || node->right != NULL) {
        np_tree_remove(tree, node);
        return;
    }
    tree->root = NULL;
    filed->lengths &= ~bit_of(length);
}

struct np_tree_node *np_filed_first_from(const struct np_filed *filed, uint64_t key)
{
    size_t length = length_of(key);
    uint64_t lengths;

    if (length > NP_FILED_LENGTHS)
        return np_tree_first_from(&filed->longer, key);
    if (length > 0 && (filed->lengths & bit_of(length)) != 0) {
        struct np_tree_node *node = np_tree_first_from(&filed->of_length[length - 1], key);

        /* Perhaps none of this length has an address from that one on. */
        if (node != NULL)
            return node;
    }
    lengths = length < NP_FILED_LENGTHS ? filed->lengths >> length : 0; /* the longer ones */
    return lengths != 0
               ? np_tree_first_from(&filed->of_length[length + (unsigned)__builtin_ctzll(lengths)], 0)
               : np_tree_first_from(&filed->longer, 0);
}

struct np_tree_node *np_filed_last(const struct np_filed *filed)
{
    if (filed->longer.root != NULL || filed->lengths == 0)
        return np_tree_last(&filed->longer);
    return np_tree_last(&filed->of_length[63 - (unsigned)__builtin_clzll(filed->lengths)]);
}

/* Whether the nodes of a tree have lengths in [from, to]. */
static bool has_lengths(const struct np_tree *tree, size_t from, size_t to)
{
    return tree->root == NULL || (length_of(np_tree_first_from(tree, 0)->key) >= from &&
                                  length_of(np_tree_last(tree)->key) <= to);
}

NP_COLD const char *np_filed_audit(const struct np_filed *filed)
{
    const char *fault = np_tree_audit(&filed->longer);

    if (!has_lengths(&filed->longer, NP_FILED_LENGTHS + 1, SIZE_MAX))
        fault = "R5: a free run is filed among longer ones";
    for (size_t length = 1; fault == NULL && length <= NP_FILED_LENGTHS; length++) {
        const struct np_tree *tree = &filed->of_length[length - 1];

        fault = np_tree_audit(tree);
        if (!has_lengths(tree, length, length) ||
            (tree->root != NULL) != ((filed->lengths & bit_of(length)) != 0))
            fault = "R5: a free run is filed under another length";
    }
    return fault;
}
