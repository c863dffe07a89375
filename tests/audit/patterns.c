/* See patterns.h. */
#include "patterns.h"

#include <stdlib.h>

#include "audit.h"

struct blocks blocks_take(size_t total_bytes, size_t least_bytes, size_t most_bytes,
                          uint64_t *random)
{
    size_t mean_bytes = (least_bytes + most_bytes) / 2;
    struct blocks blocks = {NULL, total_bytes / (mean_bytes + (mean_bytes == 0)) + 1};

    blocks.at = truth_map(blocks.count * sizeof blocks.at[0]);
    for (size_t index = 0; index < blocks.count; index++)
        block_take(&blocks.at[index],
                   least_bytes + random_below(random, most_bytes - least_bytes + 1));
    return blocks;
}

void blocks_shuffle(struct blocks blocks, uint64_t *random)
{
    for (size_t index = blocks.count; index > 1; index--) {
        size_t other = random_below(random, index);
        struct block block = blocks.at[other];

        blocks.at[other] = blocks.at[index - 1];
        blocks.at[index - 1] = block;
    }
}

static int compare(const void *a, const void *b)
{
    uintptr_t first = (uintptr_t)((const struct block *)a)->address;
    uintptr_t second = (uintptr_t)((const struct block *)b)->address;

    return (first > second) - (first < second);
}

/* Heapsort, because libc's qsort would allocate. */
static void sift(struct block *at, size_t root, size_t count)
{
    for (size_t child; (child = 2 * root + 1) < count; root = child) {
        struct block block = at[root];

        if (child + 1 < count && compare(&at[child], &at[child + 1]) < 0)
            child++;
        if (compare(&block, &at[child]) >= 0)
            return;
        at[root] = at[child];
        at[child] = block;
    }
}

void blocks_sort(struct blocks blocks)
{
    for (size_t root = blocks.count / 2; root-- > 0;)
        sift(blocks.at, root, blocks.count);
    for (size_t count = blocks.count; count > 1; count--) {
        struct block block = blocks.at[0];

        blocks.at[0] = blocks.at[count - 1];
        blocks.at[count - 1] = block;
        sift(blocks.at, 0, count - 1);
    }
}

void blocks_give(struct blocks blocks, bool (*wanted)(const struct block *block), const char *where,
                 unsigned nth)
{
    for (size_t index = 0; index < blocks.count; index++) {
        struct block *block = &blocks.at[index];

        if (block->address == NULL || (wanted != NULL && !wanted(block)))
            continue;
        block_give(block);
        audit_now_and_then(where, nth);
    }
    audit_at_rest(where);
}
