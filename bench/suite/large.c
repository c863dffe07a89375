/* large.c: the workloads of large blocks that come and go, and of heaps that only grow. */
#include "workloads.h"

#include <stdlib.h>
#include <string.h>

/* big: buffers come and go, at most a few at a time. All of each is written, as whoever reads a
 * file or draws a picture does. */

enum { BIG_MAX = 64, MIB = 1 << 20 };

struct big_kind {
    size_t slot_count;              /* in all threads together */
    size_t step_count;
    size_t from_bytes;
    size_t to_bytes;
};

static const struct big_kind big_kinds[] = {
    [BIG_MIXED] = {4, 100, 1 * MIB, 32 * MIB},
    [BIG_MIDDLE] = {2, 100, 5 * MIB, 25 * MIB},
    [BIG_SAME] = {1, 300, 8 * MIB, 8 * MIB},
    [BIG_OF_THREADS] = {16, 600, 1 * MIB, 8 * MIB},
};

static struct block big_slots[BIG_MAX];

static void live_big(struct share *share)
{
    const struct big_kind *kind = &big_kinds[share->plan->variant];
    struct block *slots = &big_slots[slice_start(share, kind->slot_count)];
    size_t slot_count = slice_count(share, kind->slot_count);

    for (size_t left = shared_out(share, kind->step_count); left > 0; left--) {
        struct block *block = &slots[random_below(&share->random, slot_count)];

        share->sum += drop(block);
        block->byte_count = random_between(&share->random, kind->from_bytes, kind->to_bytes);
        block->bytes = take(block->byte_count);
        memset(block->bytes, (int)left, block->byte_count);
    }
    share->sum += drop_all(slots, slot_count);
}

uint64_t run_big(const struct plan *plan)
{
    return run_shares(plan, live_big);
}

/* fresh: a heap that only grows, every page of which is written, and a program that ends without
 * freeing it, as compilers do. What is measured is how memory comes from the system. */

enum { FRESH_BYTES = 384 << 20 };

static void grow_heap(struct share *share)
{
    size_t left_bytes = shared_out(share, FRESH_BYTES);

    while (left_bytes > 0) {
        size_t byte_count = share->plan->variant == FRESH_SMALL
                                ? random_size(&share->random)
                                : random_octave(&share->random, 64 << 10, 3);
        void *block = take(byte_count);

        fill(block, byte_count, left_bytes);
        share->sum += read_back(block, byte_count);
        left_bytes -= byte_count < left_bytes ? byte_count : left_bytes;
    }
}

uint64_t run_fresh(const struct plan *plan)
{
    return run_shares(plan, grow_heap);
}
