/*
 * neap/region.h: a heap inside a buffer that the caller gives, and stacks beside it.
 *
 * For firmware, plugins, shared memory and tests: no libc, no global variable, any number of heaps
 * at once, nothing but offsets in the buffer (it may be mapped at two addresses). Compile
 * src/region/region.c, and src/region/stack_pool.c if stacks are wanted, with the rest of the
 * firmware; only <stdbool.h>, <stddef.h> and <stdint.h> are needed.
 *
 * Every call walks the heap and looks at each header. Nothing changes a damaged heap, nor does a
 * pointer that is not a block's: the call says so to neap_region_on_fault and returns NULL or
 * false. Without guards that finds damage if a size becomes impossible; with them it finds any
 * overflow.
 *
 * Nothing here locks. A heap belongs to one thread, or to whoever holds the caller's lock or has
 * interrupts off; every call but the printer is short enough for that (docs/region.md gives
 * cycles).
 *
 * A block costs a header of 2 bytes, spent like this (bit 0 is the lowest):
 *
 *     bits 0-10   size of the block, header included, in units of NEAP_REGION_ALIGN bytes
 *     bit  11     free
 *     bits 12-15  owner, 0 to 15
 *
 * so a buffer may have 2,048 units: 4,096 bytes on AVR (unit 2), 8,192 on 32-bit machines (unit 4),
 * 16,384 on 64-bit ones (unit 8). Without owners the size has 15 bits: 32 KiB on AVR, 128 KiB and
 * 256 KiB. With NEAP_REGION_WIDE the header has 4 bytes and the size 27 bits (31 without owners),
 * but no heap has more than half the address space. The heap itself keeps two such words at the
 * start of the buffer, 4 bytes (8 when wide).
 *
 * Choices are made when region.c is compiled; all files of a program must agree on them:
 *
 *     NEAP_REGION_ALIGN      2 | 4 | 8   alignment of blocks, bytes; default: a pointer's size
 *     NEAP_REGION_MIN_BYTES  4 | 8       least room in a block; default: 8, or 4 where ALIGN is 2
 *     NEAP_REGION_OWNERS     1 (0)       4 bits of every header name an owner
 *     NEAP_REGION_GUARDS     0 (1)       at least 2 guard bytes end every block
 *     NEAP_REGION_WIDE       0 (1)       4-byte headers for larger buffers
 */
#ifndef NEAP_REGION_H
#define NEAP_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The least buffer that neap_region_init takes. */
#define NEAP_REGION_BUFFER_MIN_BYTES 64

/* A heap. It lives inside its buffer, at most NEAP_REGION_ALIGN bytes from the start of it. */
struct neap_region;

/* What can be wrong, and what the address beside it then means. */
enum neap_region_fault {
    NEAP_REGION_SOUND = 0,
    /* Found when a pointer is handed in; the address is that pointer. */
    NEAP_REGION_FOREIGN,    /* it points outside the buffer */
    NEAP_REGION_MISALIGNED, /* into the buffer, where no block can begin */
    NEAP_REGION_INTERIOR,   /* into the middle of a live block */
    NEAP_REGION_FREED,      /* into free memory: freed before, or never handed out */
    /* Found by a walk; the address is the block to blame, not the block that was damaged. */
    NEAP_REGION_GUARD,      /* the block's guard is broken: its user wrote past its end */
    NEAP_REGION_SIZE,       /* the header after the block holds an impossible size: the same, seen
                             * without guards; the heap itself if the first header is the one */
    NEAP_REGION_NEIGHBOURS, /* the block and the next are both free, yet not merged */
    NEAP_REGION_PEAK        /* more is in use than ever was: the heap's own words are damaged */
};

/* The free table. Bytes count headers, so used + free = total; the largest request that can be met
 * is maxfree less a header (and less 2 with guards). */
struct neap_region_stats {
    size_t total_bytes;   /* all that blocks may have: the buffer less the heap's own words */
    size_t used_bytes;    /* in live blocks */
    size_t free_bytes;    /* in free blocks */
    size_t maxused_bytes; /* the most that used_bytes has been after any call; exact */
    size_t maxfree_bytes; /* the largest free block */
    size_t used_count;    /* live blocks */
    size_t free_count;    /* free blocks */
};

/* Makes a heap in `buffer` of `bytes` bytes, whatever it held. NULL if the buffer has less than
 * NEAP_REGION_BUFFER_MIN_BYTES or more than a header's size field reaches (see above). */
struct neap_region *neap_region_init(void *buffer, size_t bytes);

/* A block of at least `bytes` bytes, contents undefined, or NULL if none fits (or the heap is found
 * damaged). Zero bytes give a block of the least size. Best fit: the smallest free block that
 * serves, the lowest of equals. A request for more than an eighth of the heap is cut from the upper
 * end of that block and any other from its lower end, so large buffers that come and go do not
 * leave holes among small blocks that stay. */
void *neap_region_alloc(struct neap_region *region, size_t bytes);

/* The same for `count` elements of `bytes` bytes, all zero; NULL if the product overflows. */
void *neap_region_calloc(struct neap_region *region, size_t count, size_t bytes);

/* The same at a multiple of `alignment`, which must be a power of two (else NULL). The bytes that
 * are skipped stay free. */
void *neap_region_aligned_alloc(struct neap_region *region, size_t alignment, size_t bytes);

/* Resizes `block`; what it held is kept up to the smaller size. A shrink returns the tail to the
 * heap. A growth takes from the free neighbour above, else moves down into the one below, else
 * moves elsewhere; NULL if none of it is possible, and then the block is as it was. The owner
 * stays. A NULL `block` is an allocation; zero bytes leave a block of the least size. */
void *neap_region_realloc(struct neap_region *region, void *block, size_t bytes);

/* Frees `block` and merges it with its free neighbours. NULL is nothing to do. False, with the heap
 * as it was, if neap_region_on_fault has been told why the pointer cannot be freed: a block with a
 * broken guard is such a one, and stays for the post-mortem. */
bool neap_region_free(struct neap_region *region, void *block);

/* The hook: called for each fault that a call comes upon. The library has a weak one that does
 * nothing; a program that defines this function has its own called instead. It may call
 * neap_region_check and the statistics; the heap is as sound as it was found. */
void neap_region_on_fault(struct neap_region *region, enum neap_region_fault fault,
                          const void *address);

/* Walks the heap and returns the first fault, or NEAP_REGION_SOUND; `*address` is set as the
 * enumeration says, NULL when sound. Calls no hook. */
enum neap_region_fault neap_region_check(const struct neap_region *region, const void **address);

/* Fills `stats` by walking the heap; on a damaged one, as far as the damage. */
void neap_region_stats(const struct neap_region *region, struct neap_region_stats *stats);

/* Prints the free table, a line of titles and a line of numbers, through `put_char`, which is
 * handed `context`. */
void neap_region_print(const struct neap_region *region, void (*put_char)(char c, void *context),
                       void *context);

/*
 * Owners: whom a block belongs to, 0 to 15 (only 0 without NEAP_REGION_OWNERS). What an operating
 * system does when a process dies is neap_region_free_owner.
 */

/* Blocks allocated from now on belong to `owner`; at first that is 0. An operating system says so
 * when it switches processes. False if there is no such owner. */
bool neap_region_set_owner(struct neap_region *region, unsigned owner);

/* Gives a live block to another owner. False if there is no such owner or block. */
bool neap_region_give(struct neap_region *region, void *block, unsigned owner);

/* Bytes in the live blocks of `owner`, headers included. */
size_t neap_region_owner_bytes(const struct neap_region *region, unsigned owner);

/* Frees every block of `owner`; returns the bytes that came free. */
size_t neap_region_free_owner(struct neap_region *region, unsigned owner);

/*
 * Stacks: one buffer cut into neighbouring stacks, each with a guard at its lower end (stacks are
 * taken to grow downwards) and filled with a pattern, so that it can be told how deep each one went
 * and which one went too deep. The table of sizes is the caller's and must outlive the pool.
 */

/* Bytes that a stack and its guard are aligned to, and that a guard takes out of each stack. */
#define NEAP_STACK_ALIGN                                                                           \
    (sizeof(void *) < 4 ? (size_t)2 : sizeof(void *) < 8 ? (size_t)8 : (size_t)16)

struct neap_stack_pool {
    unsigned char *base; /* lower end of stack 0, aligned */
    uint16_t *sizes;     /* bytes of each stack, guard included; 0: joined to the one below */
    unsigned count;
};

/* Cuts `buffer` into `count` stacks, stack 0 lowest, of the sizes in `sizes` (bytes, guard
 * included, each a multiple of NEAP_STACK_ALIGN and more than that). False if a size is unfit or
 * the buffer too small. */
bool neap_stack_pool_init(struct neap_stack_pool *pool, void *buffer, size_t bytes, uint16_t *sizes,
                          unsigned count);

/* Joins stack `index` and the one above it, both idle, to one stack that has the lower one's number
 * and both sizes; the upper number is without a stack from then on. So chunks of 256 and of 64
 * bytes serve as 256, as 64 or as 320. False if there is none above or the sum is over 65,535. */
bool neap_stack_pool_join(struct neap_stack_pool *pool, unsigned index);

/* Cuts idle stack `index` again, so that it keeps `bytes` and the next number, which must be
 * without a stack, has the rest. False if that cannot be. */
bool neap_stack_pool_split(struct neap_stack_pool *pool, unsigned index, size_t bytes);

/* Makes a stack as new, for another user: fills it and writes its guard. */
void neap_stack_pool_refill(struct neap_stack_pool *pool, unsigned index);

/* Lowest usable byte of stack `index` (just above its guard), its usable bytes, and the address
 * just above it, where a stack pointer starts. */
void *neap_stack_pool_stack(const struct neap_stack_pool *pool, unsigned index);
size_t neap_stack_pool_usable_bytes(const struct neap_stack_pool *pool, unsigned index);
void *neap_stack_pool_top(const struct neap_stack_pool *pool, unsigned index);

/* How many bytes of stack `index` were ever used: all above the lowest one that has changed. (A
 * user whose deepest bytes happen to be the pattern looks that much shallower.) */
size_t neap_stack_pool_maxused_bytes(const struct neap_stack_pool *pool, unsigned index);

/* The number of the highest stack that has run over its lower end, or -1. The one named is the one
 * that overflowed; those harmed are below it, and their guards may be broken too. */
int neap_stack_pool_check(const struct neap_stack_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
