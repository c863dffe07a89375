/* instrument.h: what an experiment measures with, and keeps its notes in, without malloc.
 *
 * The instrument must not disturb what it measures, so nothing here allocates. No state; callable
 * from any thread. rss.h reads the memory.
 */
#ifndef NP_EXPERIMENTS_INSTRUMENT_H
#define NP_EXPERIMENTS_INSTRUMENT_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* Memory of the experiment's own, resident from now on. NULL if there is none. */
void *np_map_touched(size_t byte_count);

double np_clock_seconds(clockid_t clock);

/* One true sleep, not shortened by signals. */
void np_sleep_seconds(double seconds);

/* Pseudo-random numbers (xorshift); the state is never 0. Every run has the same. */
uint64_t np_random_next(uint64_t *state);

#endif
