/* The shadow of the heap: see shadow.h for the contract. */
#include "shadow.h"

#include "pattern.h"

/* How many blocks begin below `start`; where it belongs. */
static size_t rank_of(const struct shadow *shadow, const unsigned char *start)
{
    size_t low = 0;
    size_t high = shadow->live_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if ((uintptr_t)shadow->live[middle].start < (uintptr_t)start)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Blocks of 0 bytes are apart, too. */
static uintptr_t end_of(const struct shadow_block *block)
{
    return (uintptr_t)block->start + (block->usable_bytes > 0 ? block->usable_bytes : 1);
}

const char *shadow_enter(struct shadow *shadow, const struct shadow_block *block)
{
    size_t at = rank_of(shadow, block->start);
    struct shadow_block *place = &shadow->live[at];

    if (block->start == NULL)
        return "no memory";
    if ((uintptr_t)block->start % 16 != 0)
        return "not aligned to 16 bytes";
    if (block->alignment_bytes != 0 && (uintptr_t)block->start % block->alignment_bytes != 0)
        return "not aligned as asked for";
    if (block->usable_bytes < block->size_bytes)
        return "less is usable than was asked for";
    if (at > 0 && end_of(&place[-1]) > (uintptr_t)block->start)
        return "overlaps the live block before it";
    if (at < shadow->live_count && end_of(block) > (uintptr_t)place->start)
        return "overlaps the live block behind it";
    memmove(place + 1, place, (shadow->live_count - at) * sizeof(*place));
    *place = *block;
    shadow->live_count++;
    shadow->live_bytes += block->size_bytes;
    pattern_fill_edges(block->start, block->usable_bytes, block->seed);
    return NULL;
}

const char *shadow_check(const struct shadow_block *block)
{
    return pattern_edges_hold(block->start, block->usable_bytes, block->seed)
               ? NULL
               : "a live block does not hold what was written to it";
}

const char *shadow_take_out(struct shadow *shadow, size_t at, struct shadow_block *taken)
{
    struct shadow_block *place = &shadow->live[at];

    *taken = *place;
    shadow->live_count--;
    shadow->live_bytes -= taken->size_bytes;
    memmove(place, place + 1, (shadow->live_count - at) * sizeof(*place));
    return shadow_check(taken);
}

static size_t common_bytes(const struct shadow_block *block, size_t new_size_bytes)
{
    return block->size_bytes < new_size_bytes ? block->size_bytes : new_size_bytes;
}

void shadow_prepare_resize(const struct shadow_block *block, size_t new_size_bytes)
{
    pattern_fill_edges(block->start, common_bytes(block, new_size_bytes), block->seed);
}

const char *shadow_check_resized(const struct shadow_block *old_block, const unsigned char *start,
                                 size_t new_size_bytes)
{
    return pattern_edges_hold(start, common_bytes(old_block, new_size_bytes), old_block->seed)
               ? NULL
               : "realloc did not keep the contents";
}
