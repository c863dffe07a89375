/*
 * stack_pool.c: one buffer cut into neighbouring stacks (include/neap/region.h says how to use it).
 *
 * It owns the buffer and writes the caller's table of sizes; the caller guards both. It leaves out
 * switching between stacks, which belongs to whoever runs on them. region.c is the other half of
 * the header.
 *
 * [P1] The stacks tile the pool, lowest first: each starts where the one below ends. A size of 0 is
 * a number without a stack. [P2] The lowest NEAP_STACK_ALIGN bytes of a stack are its guard, and
 * hold GUARD until it overflows.
 */
#include "neap/region.h"

#define GUARD  0x5C
#define UNUSED 0xA5

static unsigned char *lower_end(const struct neap_stack_pool *pool, unsigned index)
{
    unsigned char *end = pool->base;

    while (index != 0)
        end += pool->sizes[--index];
    return end;
}

static bool is_fit(size_t bytes)
{
    return bytes > NEAP_STACK_ALIGN && bytes % NEAP_STACK_ALIGN == 0 && bytes <= UINT16_MAX;
}

/* volatile keeps a compiler from making a call of memset out of the loop. */
static void fill(unsigned char *to, unsigned char value, size_t bytes)
{
    volatile unsigned char *out = to;

    for (; bytes != 0; bytes--)
        *out++ = value;
}

void neap_stack_pool_refill(struct neap_stack_pool *pool, unsigned index)
{
    if (pool->sizes[index] == 0)
        return;
    fill(lower_end(pool, index), GUARD, NEAP_STACK_ALIGN);
    fill(neap_stack_pool_stack(pool, index), UNUSED, neap_stack_pool_usable_bytes(pool, index));
}

bool neap_stack_pool_init(struct neap_stack_pool *pool, void *buffer, size_t bytes, uint16_t *sizes,
                          unsigned count)
{
    size_t skipped_bytes = (0 - (uintptr_t)buffer) & (NEAP_STACK_ALIGN - 1);
    size_t left_bytes;
    unsigned index;

    if (skipped_bytes > bytes)
        return false;
    left_bytes = bytes - skipped_bytes;
    for (index = 0; index < count; index++) {
        if (!is_fit(sizes[index]) || sizes[index] > left_bytes)
            return false;
        left_bytes -= sizes[index];
    }
    pool->base = (unsigned char *)buffer + skipped_bytes;
    pool->sizes = sizes;
    pool->count = count;
    for (index = 0; index < count; index++)
        neap_stack_pool_refill(pool, index);
    return true;
}

/* The next number above `index` that has a stack, or the count. */
static unsigned above(const struct neap_stack_pool *pool, unsigned index)
{
    do {
        index++;
    } while (index < pool->count && pool->sizes[index] == 0);
    return index;
}

bool neap_stack_pool_join(struct neap_stack_pool *pool, unsigned index)
{
    unsigned upper = above(pool, index);

    if (upper >= pool->count || pool->sizes[index] == 0 ||
        pool->sizes[upper] > UINT16_MAX - pool->sizes[index])
        return false;
    pool->sizes[index] = (uint16_t)(pool->sizes[index] + pool->sizes[upper]);
    pool->sizes[upper] = 0;
    neap_stack_pool_refill(pool, index);
    return true;
}

bool neap_stack_pool_split(struct neap_stack_pool *pool, unsigned index, size_t bytes)
{
    size_t whole_bytes = index < pool->count ? pool->sizes[index] : 0;

    if (bytes >= whole_bytes || index + 1 >= pool->count || pool->sizes[index + 1] != 0 ||
        !is_fit(bytes) || !is_fit(whole_bytes - bytes))
        return false;
    pool->sizes[index] = (uint16_t)bytes;
    pool->sizes[index + 1] = (uint16_t)(whole_bytes - bytes);
    neap_stack_pool_refill(pool, index);
    neap_stack_pool_refill(pool, index + 1);
    return true;
}

void *neap_stack_pool_stack(const struct neap_stack_pool *pool, unsigned index)
{
    return lower_end(pool, index) + NEAP_STACK_ALIGN;
}

size_t neap_stack_pool_usable_bytes(const struct neap_stack_pool *pool, unsigned index)
{
    return pool->sizes[index] == 0 ? 0 : pool->sizes[index] - NEAP_STACK_ALIGN;
}

void *neap_stack_pool_top(const struct neap_stack_pool *pool, unsigned index)
{
    return lower_end(pool, index) + pool->sizes[index];
}

size_t neap_stack_pool_maxused_bytes(const struct neap_stack_pool *pool, unsigned index)
{
    const unsigned char *byte = neap_stack_pool_stack(pool, index);
    size_t maxused_bytes = neap_stack_pool_usable_bytes(pool, index);

    while (maxused_bytes != 0 && *byte++ == UNUSED)
        maxused_bytes--;
    return maxused_bytes;
}

/* From the top down: a stack that ran through all of the one below broke that one's guard too, but
 * the highest broken guard can only be its own stack's doing. */
int neap_stack_pool_check(const struct neap_stack_pool *pool)
{
    unsigned index = pool->count;

    while (index-- != 0) {
        const unsigned char *guard = lower_end(pool, index);
        unsigned byte;

        for (byte = 0; pool->sizes[index] != 0 && byte < NEAP_STACK_ALIGN; byte++) {
            if (guard[byte] != GUARD)
                return (int)index;
        }
    }
    return -1;
}
