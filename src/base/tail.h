/* The tail of a block: the first bytes behind what was asked for, where the block has any, and its
 * very last ones, which is where a write before the next block comes out. They are one byte over and
 * over from malloc to free, so a program that writes beyond a block of a run or a mapping, or a little before the
 * one behind it, is found out when it frees the block. In mappings it is zero, because a fresh one
 * is zero already: a page of it that the program never touches is not touched for this. In runs it
 * is none that text, zeros or all ones are made of: a string that is one byte too long ends in a zero.
 * Both ends lie on
 * the same page, or the first one crosses into that of the last.
 * Owns nothing. Small blocks have no such tail: what was asked for is not kept for them. */
#ifndef NP_BASE_TAIL_H
#define NP_BASE_TAIL_H

#include <string.h>

#include "bits.h"

#define NP_TAIL_MAX_BYTES ((size_t)16)

enum np_tail { NP_TAIL_OF_MAPPING = 0, NP_TAIL_OF_RUN = 0xA9 };

NP_INLINE size_t np_tail_bytes(size_t requested_bytes, size_t block_bytes)
{
    return np_min(block_bytes - requested_bytes, NP_TAIL_MAX_BYTES);
}

NP_INLINE bool np_tail_is_whole(const void *block, size_t requested_bytes, size_t block_bytes,
                                enum np_tail tail)
{
    size_t bytes = np_tail_bytes(requested_bytes, block_bytes);
    const unsigned char *first = (const unsigned char *)block + requested_bytes;
    const unsigned char *last = (const unsigned char *)block + block_bytes - bytes;
    uint64_t all = (uint64_t)tail * UINT64_C(0x0101010101010101);
    uint64_t words[2 * NP_TAIL_MAX_BYTES / sizeof(uint64_t)];

    /* Mostly there is room for all of it: a few loads then, in place of a loop. */
    if (NP_LIKELY(bytes == NP_TAIL_MAX_BYTES)) {
        memcpy(words, first, NP_TAIL_MAX_BYTES);
        memcpy(words + 2, last, NP_TAIL_MAX_BYTES);
        return ((words[0] ^ all) | (words[1] ^ all) | (words[2] ^ all) | (words[3] ^ all)) == 0;
    }
    for (size_t at = 0; at < bytes; at++) /* both ends are the same bytes here */
        if (first[at] != tail)
            return false;
    return true;
}

/* Where there is no room for all, both ends are the same bytes. Rare, and long where it is in line. */
static NP_COLD void np_tail_fill_short(char *first, size_t bytes, enum np_tail tail)
{
    memset(first, (int)tail, bytes);
}

/* For memory that may be anything. */
NP_INLINE void np_tail_fill(void *block, size_t requested_bytes, size_t block_bytes,
                            enum np_tail tail)
{
    size_t bytes = np_tail_bytes(requested_bytes, block_bytes);
    char *first = (char *)block + requested_bytes;
    char *last = (char *)block + block_bytes - bytes;

    if (NP_LIKELY(bytes == NP_TAIL_MAX_BYTES)) {
        memset(first, (int)tail, NP_TAIL_MAX_BYTES);
        memset(last, (int)tail, NP_TAIL_MAX_BYTES);
        return;
    }
    np_tail_fill_short(first, bytes, tail);
}

#endif
