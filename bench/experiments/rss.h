/* rss.h: how much memory this process holds, asked of the kernel with open, read and close only.
 *
 * The instrument must not disturb what it measures: a single fopen would leave a chunk in the
 * heap that is being watched (docs/experiments.md, "pin"). So nothing here allocates.
 * No state; callable from any thread.
 */
#ifndef NP_EXPERIMENTS_RSS_H
#define NP_EXPERIMENTS_RSS_H

#include <stdint.h>

/* Resident bytes of this process, counted by walking its page tables (some milliseconds for each
 * GiB). 0 when the kernel does not say. */
uint64_t np_rss_exact_bytes(void);

/* Resident bytes as the kernel's running counter has them: quick, but counted for each processor
 * apart, and so off by up to some hundred KiB. statm_fd is an open /proc/self/statm. */
uint64_t np_rss_quick_bytes(int statm_fd);

#endif
