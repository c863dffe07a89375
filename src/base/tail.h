/* The tail of a block: the first bytes behind what was asked for, where the block has any, and its
 * very last ones, which is where a write before the next block comes out. They are zero from malloc
 * to free, so a program that writes beyond a block of a run or a mapping, or a little before the
 * one behind it, is found out when it frees the block. Zero, because a fresh mapping is zero
 * already: a page of it that the program never touches is not touched for this. Both ends lie on
 * the same page, or the first one crosses into that of the last.
 * Owns nothing. Small blocks have no such tail: what was asked for is not kept for them. */
#ifndef NP_BASE_TAIL_H
#define NP_BASE_TAIL_H

#include <string.h>

#include "bits.h"

#define NP_TAIL_MAX_BYTES ((size_t)16)

NP_INLINE size_t np_tail_bytes(size_t requested_bytes, size_t block_bytes)
{
    return np_min(block_bytes - requested_bytes, NP_TAIL_MAX_BYTES);
}

NP_INLINE bool np_tail_is_clear(const void *block, size_t requested_bytes, size_t block_bytes)
{
    size_t bytes = np_tail_bytes(requested_bytes, block_bytes);
    const char *first = (const char *)block + requested_bytes;
    const char *last = (const char *)block + block_bytes - bytes;

    for (size_t at = 0; at < bytes; at++)
        if ((first[at] | last[at]) != 0)
            return false;
    return true;
}

/* For memory that may not be zero. */
NP_INLINE void np_tail_clear(void *block, size_t requested_bytes, size_t block_bytes)
{
    size_t bytes = np_tail_bytes(requested_bytes, block_bytes);

    memset((char *)block + requested_bytes, 0, bytes);
    memset((char *)block + block_bytes - bytes, 0, bytes);
}

#endif
