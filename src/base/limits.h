/* The sizes that more than one layer builds on. Each carries its reason.
 * Everything here holds for every system page size; that one is known at run time only
 * (np_os_page_bytes). */
#ifndef NP_BASE_LIMITS_H
#define NP_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Every block is aligned to this: what max_align_t wants on 64-bit machines, what glibc gives. */
#define NP_ALIGNMENT ((size_t)16)

/* Runs are counted in granules: the smallest system page, so that no run is larger than it need be
 * on machines that have the small page, and offsets mean the same on all machines. */
#define NP_GRANULE_SHIFT 12
#define NP_GRANULE_BYTES ((size_t)1 << NP_GRANULE_SHIFT)

/* A unit is the length and the alignment of a slab: the slab record of an address is found by
 * dividing by it. 64 KiB is the largest system page, and keeps a record's cost at 0.2 %. */
#define NP_UNIT_SHIFT 16
#define NP_UNIT_BYTES ((size_t)1 << NP_UNIT_SHIFT)
#define NP_UNIT_GRANULES (NP_UNIT_BYTES / NP_GRANULE_BYTES)

/* A window is an aligned stretch of addresses whose bookkeeping is one mapping. 64 MiB is glibc's
 * step for further arenas, and makes one table of 1024 entries reach 64 GiB. */
#define NP_WINDOW_SHIFT 26
#define NP_WINDOW_BYTES ((size_t)1 << NP_WINDOW_SHIFT)
#define NP_WINDOW_UNITS (NP_WINDOW_BYTES / NP_UNIT_BYTES)
#define NP_WINDOW_GRANULES (NP_WINDOW_BYTES / NP_GRANULE_BYTES)

/* One slab record; two cache lines: its holder's and everybody's (heap/slab.h). */
#define NP_SLAB_RECORD_SHIFT 7
#define NP_SLAB_RECORD_BYTES ((size_t)1 << NP_SLAB_RECORD_SHIFT)

/* A slab's bitmap of free slots: a word for each granule in each of four planes, since the smallest slots are 256 a
 * granule; only those of less than 64 bytes need more than the first plane. */
#define NP_SLOT_BITS_WORDS NP_UNIT_GRANULES
#define NP_SLOT_BITS_PLANES 4
#define NP_SLOT_BITS_PLANE_WORDS (NP_WINDOW_UNITS * NP_SLOT_BITS_WORDS)

/* One run record, of those that lie in a window's bookkeeping: runs that start at a unit (arena/arena.h). */
#define NP_RUN_RECORD_SHIFT 6
#define NP_RUN_RECORD_BYTES ((size_t)1 << NP_RUN_RECORD_SHIFT)

/* Requests up to this come from slabs. */
#define NP_SMALL_MAX_BYTES ((size_t)16384)

/* A block above that which grows by at most 1/8 of itself will grow again: it gets addresses for 1/4 more, its room, which
 * have no memory. */
#define NP_SMALL_STEP_SHARE 8
#define NP_ROOM_SHARE 4

/* No object may be larger: pointer differences inside it must fit in ptrdiff_t (C23, glibc). */
#define NP_REQUEST_MAX_BYTES ((size_t)PTRDIFF_MAX)

/* What one purge gives back at the most while a freeing thread waits for it. Lowering the break and
 * unmapping have no such limit: they cost less a page, and are one call each in any case. */
#define NP_PURGE_BATCH_BYTES ((size_t)4 << 20)

#endif
