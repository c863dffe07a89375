/* stage.h: what the scenarios of the return experiment are played with.
 *
 * A stage has workers, the main thread the first of them, and for each a table of blocks. The
 * tables are mappings of their own, resident before the first reading, so that only the allocator
 * under test moves the figures. The other threads sleep until np_stage_let them work, and sleep
 * again afterwards: such a thread is blocked for ever as far as its allocator can tell.
 *
 * Only the main thread calls what is below, except where it says otherwise. The play is
 * scenarios.c; a process plays one (return.c).
 */
#ifndef NP_EXPERIMENTS_STAGE_H
#define NP_EXPERIMENTS_STAGE_H

#include "rss.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STAGE_WORKER_MAX = 256, STAGE_MARK_MAX = 8192 };

struct block {
    void *address;
    uint32_t bytes;
    bool is_kept;           /* never freed */
};

/* Live bytes at a moment, for the charts. */
struct stage_mark {
    double seconds;         /* of CLOCK_MONOTONIC */
    uint64_t live_bytes;
};

struct worker {
    struct stage *stage;
    unsigned index;
    struct block *blocks;
    size_t capacity;        /* blocks that the table has room for */
    size_t block_count;
    size_t failed_count;    /* mallocs that returned NULL */
    size_t damaged_count;   /* blocks that did not hold what was written to them */
    uint64_t random;
    void (*work)(struct worker *worker);
    sem_t is_wanted;
    pthread_t thread;
};

struct stage {
    uint64_t share_bytes;   /* of each worker that fills its table, in blocks of random sizes */
    uint32_t min_bytes;     /* from here */
    uint32_t max_bytes;     /* to here */
    unsigned stride_count;  /* marks of one fill or free of a table */
    bool is_checked;        /* every block is compared with what was written before it is freed */
    struct worker *workers;
    unsigned worker_count;
    sem_t is_done;
    double seconds;         /* of the timed parts together */
    double cpu_seconds;
    double wall_start;      /* of the timed part that runs */
    double cpu_start;
    _Atomic uint64_t live_bytes;        /* any thread adds and subtracts; nothing hangs on it */
    struct stage_mark *marks;           /* NULL: none are wanted */
    _Atomic unsigned mark_count;        /* may pass STAGE_MARK_MAX */
};

/* Makes workers, without tables, and starts the threads of the first started_count after the main
 * thread; the others are records for threads that the scenario starts itself. False, with a
 * sentence in *error, if there is no memory or no thread. */
bool np_stage_make(struct stage *stage, unsigned worker_count, unsigned started_count,
                   const char **error);

/* Ends the threads. */
void np_stage_end(struct stage *stage);

/* A table with room for so many blocks; 0: for a share of them, and some more. */
bool np_stage_make_table(struct worker *worker, size_t block_count);

/* Lets some workers do a piece of work at the same time, and waits until all have done it. */
void np_stage_let(struct stage *stage, unsigned first, unsigned count,
                  void (*work)(struct worker *worker));

/* The same in two steps, for when the main thread works beside them. */
void np_stage_start_work(struct stage *stage, unsigned first, unsigned count,
                         void (*work)(struct worker *worker));
void np_stage_wait_for(struct stage *stage, unsigned count);

/* What is between these counts as time of the program. */
void np_stage_start_clock(struct stage *stage);
void np_stage_stop_clock(struct stage *stage);

/* From here on any thread, each on tables that nobody else is at work on. */

/* Allocates a block and writes all of it. False if there is none. */
bool np_stage_take(struct worker *worker, uint32_t bytes);

/* Fills the table with a share of blocks. */
void np_stage_fill(struct worker *worker);

/* Frees the blocks first, first + step, first + 2 step and so on of a table, but not the kept.
 * freer is who does it, owner whose table it is. */
void np_stage_free(struct worker *freer, const struct worker *owner, size_t first, size_t step);

/* The same with the highest first. */
void np_stage_free_backwards(struct worker *freer, const struct worker *owner);

void np_stage_shuffle(struct worker *worker);
void np_stage_sort(struct worker *worker);

/* Whether all of a block holds this byte. */
bool np_stage_is_filled(const struct block *block, unsigned char pattern);

/* Adds to the live bytes and notes the moment. */
void np_stage_add_live(struct stage *stage, int64_t bytes);

/* After the last reading. */

struct kept_blocks {
    uint64_t count;
    uint64_t bytes;
    uint64_t page_bytes;    /* of the pages on which they lie: nothing can return those */
    uint64_t damaged_count;
};

/* Changes the order of the tables. */
struct kept_blocks np_stage_count_kept(struct stage *stage, size_t page_bytes);

#endif
