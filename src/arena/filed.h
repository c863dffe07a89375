/* The free runs of an arena that are filed (R5 in arena.h), found by length, and by address among those of one length.
 *
 * Of each length up to 256 KiB there is a tree, which mostly has a few nodes; the longer ones share one. Keys are as for
 * one tree of all: the length, then the address. Owns nothing; guarded by arena->lock.
 */
#ifndef NP_ARENA_FILED_H
#define NP_ARENA_FILED_H

#include "attr.h"
#include "tree.h"

#define NP_FILED_LENGTHS 64

struct np_filed {
    uint64_t lengths; /* bit n: there are runs of n + 1 granules */
    struct np_tree of_length[NP_FILED_LENGTHS];
    struct np_tree longer;
};

/* A key orders by length, then by address: 28 bits of granules (1 TiB), 36 of granule number (48-bit
 * addresses, which is what Linux gives unasked). */
#define NP_FILED_ADDRESS_BITS 36

NP_INLINE uint64_t np_filed_key(size_t granule_count)
{
    return (uint64_t)granule_count << NP_FILED_ADDRESS_BITS;
}

void np_filed_insert(struct np_filed *filed, struct np_tree_node *node);

/* node is filed here. */
void np_filed_remove(struct np_filed *filed, struct np_tree_node *node);

/* The node with the smallest key >= key, or NULL. */
struct np_tree_node *np_filed_first_from(const struct np_filed *filed, uint64_t key);

/* The node with the largest key, or NULL. */
struct np_tree_node *np_filed_last(const struct np_filed *filed);

/* NULL, or the invariant that does not hold. */
const char *np_filed_audit(const struct np_filed *filed);

#endif
