/* Memory for our own structures, kept apart from the program's.
 *
 * A pool hands out records of one type. Records are type-stable: a record given back is only ever
 * used for the same type again, so a late reader of one sees an old or a newer record of that type,
 * never a stranger's bytes. A pool never gives memory back: its records are reused.
 *
 * Each pool has a lock of rank NP_RANK_META. When a fork holds it, a record is carved from fresh
 * pages of its own, so taking one never waits for a fork.
 */
#ifndef NP_META_META_H
#define NP_META_META_H

#include "attr.h"
#include "lock.h"

struct np_pool {
    struct np_lock lock;
    size_t record_bytes;       /* a multiple of 16, at least that of a pointer */
    void *free_records;        /* linked through their first word */
    char *fresh;               /* the part of the newest chunk that was never handed out */
    char *fresh_end;
    _Atomic size_t mapped_bytes; /* of all chunks, for statistics */
};

#define NP_POOL_INIT(type) { NP_LOCK_INIT(NP_RANK_META), (sizeof(type) + 15) & ~(size_t)15, NULL, \
                             NULL, NULL, 0 }

/* A record, its bytes zero if it was never used and otherwise as they were given back except for the
 * first word; NULL: no memory. */
void *np_pool_take(struct np_pool *pool);

/* The record's first word is overwritten at once. Lost, harmlessly, if a fork holds the lock. */
void np_pool_give(struct np_pool *pool, void *record);

void np_pool_fork(struct np_pool *pool, enum np_fork_phase phase);

/* Bytes of a system page, for layers that do not see the kernel. */
size_t np_page_bytes(void);

/* A number that is hard to guess from outside, the same for the life of the process and never zero. */
uint64_t np_secret(void);

#endif
