/* rss.h: how much memory this process holds, asked of the kernel with open, read and close only.
 *
 * The instrument must not disturb what it measures: a single fopen would leave a chunk in the
 * heap that is being watched (docs/experiments.md, "pin"). So nothing here allocates.
 * No state; callable from any thread.
 */
#ifndef NP_EXPERIMENTS_RSS_H
#define NP_EXPERIMENTS_RSS_H

#include <stdint.h>

struct rss_reading {
    uint64_t rss_bytes;
    uint64_t anonymous_bytes;   /* of those, what is no file's: heap, stacks, changed data */
};

/* Resident bytes of this process, counted by walking its page tables (some milliseconds for each
 * GiB). Zeros when the kernel does not say; where it does not walk, its counters, and no
 * anonymous_bytes. */
struct rss_reading np_rss_exact(void);

/* The rss_bytes of that. */
uint64_t np_rss_exact_bytes(void);

/* The most that has been resident since the process executed its program, by the counter of
 * np_rss_quick_bytes. 0 when the kernel does not say. */
uint64_t np_rss_peak_bytes(void);

/* Resident bytes as the kernel's running counter has them: quick, but counted for each processor
 * apart, and so off by up to some hundred KiB. statm_fd is an open /proc/PID/statm. */
uint64_t np_rss_quick_bytes(int statm_fd);

#endif
