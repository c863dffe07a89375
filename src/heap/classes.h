/* Size classes: which slot size serves a request.
 *
 * By 16 to 256 bytes, then in steps of at most an eighth, to 16 KiB: at most 12.5 % or 15 bytes of a slot are
 * waste. Where some number of slots fills a 4 KiB page closely, the class has the largest size of which so
 * many fit and its slots are laid so that none straddles a page (*fitted*): a page then empties sooner. The
 * sizes between such ones are packed.
 *
 * Classes come in *groups* of neighbours; a heap uses the largest of a group for all of it until it wants much of that,
 * and then halves the group, so that a program, or a thread, that allocates little touches few pages.
 *
 * One class more, the *twin*, holds slots of a size that a further class has too: with M_MXFAST = 120 the
 * requests to 120 bytes are kept and those of 121 to 128 are not, and both need 128-byte slots.
 *
 * Owns constants only.
 */
#ifndef NP_HEAP_CLASSES_H
#define NP_HEAP_CLASSES_H

#include "attr.h"
#include "bits.h"
#include "limits.h"

#define NP_CLASS_COUNT 62
#define NP_TWIN_CLASS NP_CLASS_COUNT
#define NP_CLASS_TABLE_COUNT (NP_CLASS_COUNT + 1)

/* Requests up to this, and so many classes, are found by one table look-up on the fast path. */
#define NP_DIRECT_MAX_BYTES ((size_t)1024)
#define NP_DIRECT_COUNT (NP_DIRECT_MAX_BYTES / NP_ALIGNMENT + 1)
#define NP_DIRECT_CLASS_COUNT 30

struct np_class {
    uint16_t slot_bytes;
    uint16_t slots_per_page; /* fitted: slots in each 4 KiB; 0: packed without regard to pages */
    uint16_t slot_count;     /* of a whole slab */
    uint16_t unit_count;     /* of its run */
};

extern const struct np_class np_classes[NP_CLASS_COUNT];

/* The class of requests of (index * 16 - 15) to (index * 16) bytes; index 0 is the request of no bytes. */
extern const uint8_t np_class_by_granule[NP_DIRECT_COUNT];

/* The largest class of the group that a class is in at first, which may be itself. */
unsigned np_class_group_top(unsigned class_index);

/* How much smaller than the slots of the class a request is at most that it serves in a heap whose groups are halved down to
 * pairs. */
uint16_t np_class_spare_bytes(unsigned class_index);

/* size_bytes <= NP_SMALL_MAX_BYTES. */
NP_INLINE unsigned np_class_of(size_t size_bytes)
{
    if (size_bytes <= NP_DIRECT_MAX_BYTES)
        return np_class_by_granule[(size_bytes + NP_ALIGNMENT - 1) / NP_ALIGNMENT];

    /* Eight classes a doubling: the three bits below the highest one of size - 1 tell which. */
    unsigned doubling = np_log2_floor(size_bytes - 1);

    return NP_DIRECT_CLASS_COUNT + (doubling - 10) * 8 +
           (unsigned)(((size_bytes - 1) >> (doubling - 3)) & 7);
}

#endif
