/* workloads.h: the workloads and their variants; workloads.c lists them by name. Each answers a
 * checksum of what it read back from its blocks.
 */
#ifndef WORKLOADS_WORKLOADS_H
#define WORKLOADS_WORKLOADS_H

#include "common.h"

/* churn.c */
enum { CHURN_MIXED, CHURN_HOT, CHURN_TINY, CHURN_WIDE };
uint64_t run_churn(const struct plan *plan);
enum { LIFETIMES_SHORT, LIFETIMES_LONG };
uint64_t run_lifetimes(const struct plan *plan);
enum { PHASES_RISING, PHASES_SHIFTING };
uint64_t run_phases(const struct plan *plan);

/* structures.c */
uint64_t run_tree(const struct plan *plan);
enum { LISTS_LONG, LISTS_SHORT };
uint64_t run_lists(const struct plan *plan);
uint64_t run_strings(const struct plan *plan);

/* locality.c */
enum { LOCALITY_FRESH, LOCALITY_AGED };
uint64_t run_locality(const struct plan *plan);

/* handover.c */
enum { SERVER_SMALL, SERVER_LARGE, SERVER_TURNOVER };
uint64_t run_server(const struct plan *plan);
enum { PIPE_MIXED, PIPE_SMALL, PIPE_LARGE };
uint64_t run_pipe(const struct plan *plan);
uint64_t run_exchange(const struct plan *plan);

/* threads.c */
enum { THREADS_BUSY, THREADS_IDLE };
uint64_t run_threads(const struct plan *plan);
enum { SHARING_ACTIVE, SHARING_PASSIVE };
uint64_t run_sharing(const struct plan *plan);

/* large.c */
enum { BIG_MIXED, BIG_MIDDLE, BIG_SAME, BIG_OF_THREADS };
uint64_t run_big(const struct plan *plan);
enum { FRESH_SMALL, FRESH_LARGE };
uint64_t run_fresh(const struct plan *plan);

/* buffers.c */
uint64_t run_grow(const struct plan *plan);
uint64_t run_grow_one(const struct plan *plan);
uint64_t run_grow_small(const struct plan *plan);
uint64_t run_zeroed(const struct plan *plan);
uint64_t run_zeroed_tables(const struct plan *plan);
enum { ALIGNED_SMALL, ALIGNED_PAGES };
uint64_t run_aligned(const struct plan *plan);

#endif
