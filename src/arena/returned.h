/* What went back to the system, by way, and how soon after it had become free.
 *
 * Counted on slow paths only: where memory is purged or the break lowered, and where whole system
 * pages join or leave what is retained. Nothing here takes a lock or waits, so a fork finds nothing
 * in between, and the child goes on with its parent's counts.
 *
 * *The flow.* Retained memory is seen as a queue of bytes: bytes that become free join at its end;
 * bytes that are returned, or taken again for blocks while they are still resident, leave at its
 * front. Which bytes of a run really leave is a matter of addresses, so "the oldest first" is a
 * convention. It flatters nobody: what is retained counts as the youngest, and so as not returned
 * of what was freed last, and the wait of those that go counts from the longest ago.
 *
 * Numbering the bytes of the flow from 1, in the order in which they join, every 256 KiB one is a
 * *sample*: the time at which it joined and the time at which it left are kept for the last 256
 * samples. What is said of the last 64 MiB freed comes from these.
 *
 * [F1] left <= joined: what leaves without having joined (a purge that found pages nobody had told
 *      of) joins in the same moment.
 * [F2] left = returned + reused, except while a thread is between the two.
 *
 * Leaves out mappings of single objects, which always go at once and have no part in the flow:
 * large/large.h counts them.
 */
#ifndef NP_ARENA_RETURNED_H
#define NP_ARENA_RETURNED_H

#include "attr.h"

enum np_return_way {
    NP_RETURN_BREAK, /* sbrk(-n): memory and addresses */
    NP_RETURN_PURGE, /* madvise, process_madvise: memory, the addresses stay */
    NP_RETURN_WAY_COUNT
};

/* Memory went back: `bytes` of it were resident before, in `calls` system calls that took spent_ns.
 * Calls that were refused are noted too, with the bytes that went in spite of that. */
void np_returned_note(enum np_return_way way, size_t bytes, size_t calls, uint64_t spent_ns);

/* So many bytes of resident system pages have become free of live blocks, as far as slow paths know
 * it, and are retained now. To be called before anybody else can take or purge them. */
void np_returned_note_freed(size_t bytes);

/* So many of those have been taken for blocks again. What a look at retained memory takes out of
 * the account and puts back is not to be noted; only the difference is. */
void np_returned_note_reused(size_t bytes);

/* So many bytes that had been returned have memory again. */
void np_returned_note_refault(size_t bytes);

/* Retained memory of the process, after what there was to return has been returned. */
void np_returned_note_retained(size_t bytes);

/* Sums have 64 bits: a 32-bit process, too, frees more than 4 GiB in a day. */
struct np_returned_totals {
    struct np_returned_way {
        uint64_t bytes;
        size_t calls;
        uint64_t spent_ns;
    } ways[NP_RETURN_WAY_COUNT];
    uint64_t refaulted_bytes;
    size_t retained_max_bytes; /* the most that np_returned_note_retained was told */
    uint64_t joined_bytes;     /* the flow, since the start */
    uint64_t left_bytes;
    uint64_t reused_bytes;
    struct np_returned_recent { /* the last 64 MiB that joined, or all if there were less */
        uint64_t freed_bytes;
        uint64_t returned_bytes; /* [F3] freed = returned + reused + waiting */
        uint64_t reused_bytes;
        uint64_t waiting_bytes;
        uint64_t delay_mean_ns; /* from joining to leaving, of returned samples; 0: none was */
        uint64_t delay_max_ns;
        uint64_t waiting_ns; /* since the first sample joined that has not left; 0: there is none */
    } recent;
};

/* While other threads work the figures are of slightly different moments, and still bounded by each
 * other. */
struct np_returned_totals np_returned_totals(void);

#endif
