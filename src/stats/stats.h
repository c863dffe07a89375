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

/* Sums over one arena or all. Bytes but for the counts.
 * [A1] system = live + free_resident + cold, in each arena. */
struct np_stats_sums {
    size_t system_bytes; /* address space from the system, without mappings of large objects */
    size_t system_max_bytes;
    size_t live_bytes; /* in slots and runs in the program's hands; whole slots, whole granules */
    size_t live_count;
    size_t free_resident_bytes; /* free, and may have memory behind it; ends of pages too that
                                   no slot fits into */
    size_t cold_bytes;          /* no memory behind it */
    size_t free_slot_count;     /* handed out before, or about to be; not the cold ones */
    size_t free_run_count;      /* with memory behind them */
    size_t held_count; /* free slots kept because of M_MXFAST, part of free_slot_count */
    size_t held_bytes;
    size_t top_resident_bytes;
};

/* Adds up all arenas. */
void np_stats_sum(struct np_stats_sums *sums);

/* malloc_stats: glibc's lines, with numbers that do not wrap. */
void np_stats_write_totals(int fd);

/* malloc_info: XML, handed to write piece by piece, with no lock held. */
void np_stats_write_xml(void (*write)(void *context, const char *bytes, size_t byte_count),
                        void *context);

#endif
