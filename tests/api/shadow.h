/* A shadow of the heap: which addresses are taken, and what each live block must hold.
 *
 * Whoever calls the entry points enters each block that it gets and takes it out before it gives it
 * back. Entering fills all usable bytes with what no other block has, so two blocks that share a
 * byte are found, at once by their addresses or later by what they hold.
 *
 * Owns the table; not its users' blocks. One thread at a time. Allocates nothing. The functions
 * return NULL, or a sentence that says what is wrong. */
#ifndef NEAP_TESTS_API_SHADOW_H
#define NEAP_TESTS_API_SHADOW_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SHADOW_MOST_LIVE = 8192 };

struct shadow_block {
    unsigned char *start;
    size_t size_bytes;      /* what was asked for */
    size_t usable_bytes;    /* what malloc_usable_size says */
    size_t alignment_bytes; /* that was asked for; 0: with a function that does not ask */
    uint64_t seed;          /* of what it holds */
};

/* Sorted by address. */
struct shadow {
    size_t live_count;
    size_t live_bytes; /* asked for, of all live ones */
    struct shadow_block live[SHADOW_MOST_LIVE];
};

/* Checks address, alignment and usable size, and that the block overlaps no other; fills it. There
 * must be room. */
const char *shadow_enter(struct shadow *shadow, const struct shadow_block *block);

/* Whether the block still holds what it was filled with. */
const char *shadow_check(const struct shadow_block *block);

/* Takes out the block at this place of the table, after a check. */
const char *shadow_take_out(struct shadow *shadow, size_t at, struct shadow_block *taken);

/* Around a realloc of a block that was taken out: before it, so that the part that both sizes have
 * in common can be told; and after it, whether it is there. */
void shadow_prepare_resize(const struct shadow_block *block, size_t new_size_bytes);
const char *shadow_check_resized(const struct shadow_block *old_block, const unsigned char *start,
                                 size_t new_size_bytes);

#ifdef __cplusplus
}
#endif

#endif
