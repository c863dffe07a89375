/* From an address to what we know of it.
 *
 * A *window* is an aligned 64 MiB stretch of addresses that holds memory of an arena. Its bookkeeping is
 * one mapping of its own: a header, a bitmap of resident granules, a map from granules to runs, and for
 * each unit of 64 KiB the record of the slab, and of the run, that may begin there, and the bitmap of the slab's
 * free slots. All of it is zero, and untouched by the kernel's reckoning, until used; zero means "not ours"
 * throughout, so any address may be looked up.
 *
 * Each kind has an array of its own, so that a large heap keeps no more than it uses; in a small one each array would cost
 * a page or two. So what is known of a window's *young* units, the first ones that were used, lies together and next to
 * the header, save the slab records, which the fast path finds by their index.
 *
 * The table is direct-mapped by window number. A window whose place is taken (two windows a multiple of
 * 64 GiB apart) goes to a list behind the one that has it, which only the slow look-up reads.
 *
 * Who guards it: entries are published once, with release, and never change or go away: readers need
 * no lock. The bits of resident granules and the run map are guarded by their arena's lock, the
 * bits of a lent run are its borrower's (arena/arena.h); the slab records, the bitmaps of slots and
 * `charged` are guarded by the slab protocol (heap/slab.h).
 *
 * [W1] entries[i].base is that of no window, or the base of a window whose number, base / 64 MiB, is i modulo
 *      NP_WINDOW_TABLE_COUNT; entries[i].records is its records then.
 * [W2] The windows that found the place of another taken, and no others, are on that one's list by `next_aside`, so that a
 *      heap of n times 64 GiB in one piece has lists of n - 1. The window of number 0 is in no place and on no list.
 */
#ifndef NP_META_WINDOW_H
#define NP_META_WINDOW_H

#include "attr.h"
#include "limits.h"

struct np_run;

#define NP_WINDOW_TABLE_COUNT 1024

/* From a window's header to its slab records; whole system pages of every size, so that parts can be purged apart. */
#define NP_WINDOW_HEADER_BYTES NP_UNIT_BYTES

/* A young unit's. Of planes of slot bits there are those that all but the smallest slots need. */
#define NP_YOUNG_PLANES 2

struct np_young_unit {
    _Atomic uint64_t slot_bits[NP_YOUNG_PLANES][NP_SLOT_BITS_WORDS];
    _Atomic(struct np_run *) runs[NP_UNIT_GRANULES];
    _Alignas(NP_ALIGNMENT) char run_record[NP_RUN_RECORD_BYTES];
};

/* So many that a window's header and they fill three pages of 4 KiB: 1.4 MiB. */
#define NP_YOUNG_COUNT 22

struct np_window {
    uintptr_t base;
    size_t mapped_bytes;          /* of this bookkeeping */
    struct np_window *next;       /* of all windows, older; fixed */
    _Atomic(struct np_window *) next_aside; /* W2 */
    _Atomic(struct np_run *) *runs; /* by granule; of first and last ones of runs: R4 (arena.h) */
    char *records;                  /* NP_WINDOW_UNITS records of NP_SLAB_RECORD_BYTES, behind the header */
    char *run_records;              /* as many of NP_RUN_RECORD_BYTES */
    _Atomic uint64_t *slot_bits;    /* NP_SLOT_BITS_PLANES planes of NP_SLOT_BITS_PLANE_WORDS words */
    _Atomic uint64_t charged[NP_WINDOW_UNITS / 64]; /* bit: a closed slab may begin there that has
                                                        pages to return; a hint to those who look for such */
    _Atomic uint64_t resident[NP_WINDOW_GRANULES / 64]; /* bit: may have memory behind it */
    size_t young_from; /* the number of the first young unit; fixed */
    struct np_young_unit young[NP_YOUNG_COUNT];
};

_Static_assert(sizeof(struct np_window) <= (size_t)12 << 10, "a header with its young units is three pages");

/* What the look-up of free reads; 16 bytes, so that one index serves both words. */
struct np_window_entry {
    _Atomic uintptr_t base;
    _Atomic uintptr_t records;
};

struct np_window_table {
    struct np_window_entry entries[NP_WINDOW_TABLE_COUNT];
};

extern struct np_window_table np_window_table;

/* The bookkeeping of the window that holds the address, or NULL. */
struct np_window *np_window_find(uintptr_t address);

/* The same, made if need be; NULL: no memory. One caller at a time for one window. */
struct np_window *np_window_ensure(uintptr_t address);

/* The slab record of an address in a window of ours, or NULL: for windows in the table only, which is the
 * fast path's case. An acquire load of the base pairs with the release in np_window_ensure. */
NP_INLINE void *np_window_record_fast(uintptr_t address)
{
    const struct np_window_entry *entry =
        &np_window_table.entries[(address >> NP_WINDOW_SHIFT) % NP_WINDOW_TABLE_COUNT];
    uintptr_t offset = address - NP_FAST_GET(uintptr_t, entry->base);
    void *record;

    if (NP_UNLIKELY(offset >= NP_WINDOW_BYTES))
        return NULL;
    record = (void *)(NP_FAST_GET(uintptr_t, entry->records) +
                      ((offset >> NP_UNIT_SHIFT) << NP_SLAB_RECORD_SHIFT));
    if (record == NULL)
        __builtin_unreachable(); /* spares the caller's test a branch: records do not lie at 0 */
    return record;
}

/* The same for all windows. */
void *np_window_record(uintptr_t address);

/* All windows, newest first, by `next`; NULL: there is none yet. */
struct np_window *np_window_list(void);

/* What is kept of the unit with this number if it is young, or NULL. */
NP_INLINE struct np_young_unit *np_window_young(struct np_window *window, size_t unit)
{
    return unit - window->young_from < NP_YOUNG_COUNT ? &window->young[unit - window->young_from]
                                                      : NULL;
}

/* The first words of the bitmap of slots, of plane_count planes, of the unit at this address of ours; the next plane's are
 * *plane_words further. */
_Atomic uint64_t *np_window_slot_bits(uintptr_t address, unsigned plane_count,
                                      uint16_t *plane_words);

/* The entry of the run map of an address in the window. */
NP_INLINE _Atomic(struct np_run *) *np_window_run_entry(struct np_window *window, uintptr_t address)
{
    size_t granule = (address - window->base) >> NP_GRANULE_SHIFT;
    struct np_young_unit *young = np_window_young(window, granule / NP_UNIT_GRANULES);

    return young != NULL ? &young->runs[granule % NP_UNIT_GRANULES] : &window->runs[granule];
}

/* The run record of its unit. */
NP_INLINE void *np_window_run_record(struct np_window *window, uintptr_t address)
{
    size_t unit = (address - window->base) >> NP_UNIT_SHIFT;
    struct np_young_unit *young = np_window_young(window, unit);

    return young != NULL ? young->run_record : window->run_records + (unit << NP_RUN_RECORD_SHIFT);
}

/* The addresses whose records of any kind fill whole system pages: the piece in which bookkeeping can go
 * back. */
size_t np_window_share_bytes(void);

/* Gives back the memory behind the records, slot bits and run map entries of a range in which no
 * run starts or ends and no slab is. Whole pages only; what does not fill one stays, and what is kept of young units.
 * The range is the caller's alone. */
void np_window_purge_records(uintptr_t start, uintptr_t end);

/* Bytes of bookkeeping that windows have mapped (not all of it touched). */
size_t np_window_mapped_bytes(void);

/* Of these, how many have memory behind them: asks the kernel. */
size_t np_window_resident_bytes(void);

#endif
