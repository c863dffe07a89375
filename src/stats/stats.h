/* Questions about the whole allocator, answered by walking it: arenas, runs, slabs. Nothing is
 * pushed here by the layers below, so asking costs, and not asking costs nothing.
 *
 * Walks take one arena's lock at a time; heaps go on meanwhile, so figures of slabs in use may
 * be a few blocks old. Memory that was returned is neither in use nor free: it is counted as
 * cold.
 */
#ifndef NP_STATS_STATS_H
#define NP_STATS_STATS_H

#include "attr.h"

/* Sums over one arena or all. Bytes but for the counts. Every byte of an arena's addresses is in
 * one place, as docs/architecture.md has the words:
 * [A1] system = live + hole + top + run + closed + open + refused + cold, in each arena.
 * [A2] medium is part of live; held of the free slots; keep of top. */
struct np_stats_sums {
    size_t system_bytes; /* address space from the system, without mappings of large objects */
    size_t system_max_bytes;
    size_t live_bytes; /* in slots and runs in the program's hands; whole slots, whole granules */
    size_t live_count;
    size_t medium_bytes; /* in runs of their own */
    size_t medium_count;
    size_t medium_requested_bytes; /* what the program asked for there */
    size_t used_max_bytes;         /* the most that was lent at a time: slabs in use count whole */
    size_t hole_bytes;             /* free, on system pages with live bytes; ends of pages too that
                                      no slot fits into */
    size_t top_bytes;              /* retained: in the top of each arena, */
    size_t run_bytes;              /* in other free runs, */
    size_t closed_bytes;           /* on free pages of slabs that nobody holds, */
    size_t open_bytes;             /* and of slabs that somebody does, as far as the bits tell */
    size_t refused_bytes;          /* as retained, but the system would not take it */
    size_t cold_bytes;             /* no memory behind it */
    size_t free_slot_count;        /* with memory behind them */
    size_t free_run_count;         /* with memory behind them */
    size_t cold_slot_count;        /* free without */
    size_t cold_run_count;
    size_t largest_free_bytes; /* addresses of the largest free run, or slot */
    size_t held_count;         /* free slots kept because of M_MXFAST, part of free_slot_count */
    size_t held_bytes;
    size_t keep_bytes; /* in the top of the main arena: glibc's keepcost */
};

/* What could be returned now. */
NP_INLINE size_t np_stats_retained_bytes(const struct np_stats_sums *sums)
{
    return sums->top_bytes + sums->run_bytes + sums->closed_bytes + sums->open_bytes;
}

/* Free, and may have memory behind it. */
NP_INLINE size_t np_stats_free_bytes(const struct np_stats_sums *sums)
{
    return sums->hole_bytes + np_stats_retained_bytes(sums) + sums->refused_bytes;
}

/* Adds up all arenas. */
void np_stats_sum(struct np_stats_sums *sums);

/* The sums of the arena with this index; false: there is none. Arenas are numbered from 0, without
 * gaps. */
bool np_stats_sum_arena(unsigned index, struct np_stats_sums *sums);

/* What else there is in the process, counted at the call. */
struct np_stats_process {
    size_t metadata_bytes;        /* bookkeeping that has memory */
    size_t metadata_mapped_bytes; /* addresses of all bookkeeping */
    size_t arena_count;
    size_t heap_count;        /* that threads have */
    size_t parked_heap_count; /* that wait for a thread */
};

struct np_stats_process np_stats_process(void);

/* malloc_stats: glibc's lines, with numbers that do not wrap. */
void np_stats_write_totals(int fd);

/* malloc_info: XML, handed to write piece by piece, with no lock held. */
void np_stats_write_xml(void (*write)(void *context, const char *bytes, size_t byte_count),
                        void *context);

/* The table of NuttX's `free`, with two columns more; handed to write row by row, with no lock
 * held. */
void np_stats_write_table(void (*write)(void *context, const char *bytes, size_t byte_count),
                          void *context);

#endif
