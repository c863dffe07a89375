/* Large objects: one mapping each, found again through a table, given back by munmap.
 *
 * The table is a chain of levels, each twice the one before. An object's address selects a window of
 * WINDOW_COUNT entries in a level; it takes a free entry in the first level that has one there. Entries are
 * claimed and freed with single atomic steps, so no lock is needed, and a fork finds no lock held.
 *
 * [L1] An entry's address is 0 (free), 1 (being filled), or that of a live object whose mapping begins there, its mark and
 *      its room; requested_bytes is what the program has asked for, and the mapping has that many and a tail (tail.h) in
 *      whole system pages, and then the room: addresses without memory, for an object that grows by small steps. Room
 *      counts nowhere.
 * [L2] A level's live_count is at least the number of its entries that are not free.
 *
 * Leaves out: which requests are large (core/).
 */
#ifndef NP_LARGE_LARGE_H
#define NP_LARGE_LARGE_H

#include "attr.h"

/* A zeroed object at an alignment (a power of two); NULL: no memory, or M_MMAP_MAX objects exist. */
void *np_large_take(size_t size_bytes, size_t alignment_bytes);

/* The same between two pages that nobody may access, and with all that is left of its last page filled with a pattern, which
 * is checked when it is freed; its addresses are not used again for a while then. */
void *np_large_take_guarded(size_t size_bytes, size_t alignment_bytes);

/* Dies if one of all objects was written beyond. For use while no other thread is at work here. */
void np_large_check(void);

/* A number that stays with an object, 0 at first; -1: there is none. For any address. */
#define NP_LARGE_MARK_MAX 7
void np_large_set_mark(void *memory, unsigned mark);
int np_large_mark(const void *memory);

/* What such objects have at an address: nothing; a guard page; or there was one that has been freed. *requested_bytes: how
 * large it is, or was. Reads the whole table. */
enum np_guarded { NP_GUARDED_NONE, NP_GUARDED_BESIDE, NP_GUARDED_FREED };
enum np_guarded np_large_guarded_around(uintptr_t address, size_t *requested_bytes);

/* Bytes of the mapping of the large object that starts at this address, with its room; 0: there is none. For any address. */
size_t np_large_bytes(const void *memory);

/* Of these, how many were asked for, at least 1; the same for any address. */
size_t np_large_requested_bytes(const void *memory);

/* Unmaps it and raises the dynamic mmap threshold to its size. False: no large object starts there. */
bool np_large_give(void *memory);

/* Another size, perhaps at another address, contents kept, fresh bytes zero. NULL: unchanged. */
void *np_large_resize(void *memory, size_t size_bytes);

/* A large object that holds the address, or 0: for diagnosis, reads the whole table. */
uintptr_t np_large_around(uintptr_t address);

struct np_large_totals {
    size_t count;
    size_t bytes;
    size_t requested_bytes; /* of the bytes, what the program has asked for */
    size_t count_max;       /* since the start */
    size_t bytes_max;
    uint64_t unmapped_bytes; /* given back, ever, whole or by shrinking */
    size_t unmapped_calls;
    uint64_t unmapping_ns; /* time spent in these calls */
    size_t table_bytes; /* of bookkeeping, mapped */
};

struct np_large_totals np_large_totals(void);

/* Of the bookkeeping, how many bytes have memory behind them: asks the kernel. */
size_t np_large_table_resident_bytes(void);

/* NULL, or the invariant that does not hold; for use while no other thread is at work here. */
const char *np_large_audit(void);

#endif
