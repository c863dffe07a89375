/* Memory for our own structures, kept apart from the program's.
 *
 * A pool hands out records of one type. Records are type-stable: a record given back is only ever
 * used for the same type again, so a late reader of one sees an old or a newer record of that type,
 * never a stranger's bytes. A pool never gives memory back: its records are reused.
 *
 * Each pool has a lock of rank NP_RANK_META. While a fork holds it, a second part of the pool with a lock of its
 * own serves, so nobody waits for a fork; free records go there for the time of
 * the fork, and all come back after it.
 */
#ifndef NP_META_META_H
#define NP_META_META_H

#include "attr.h"
#include "lock.h"

struct np_pool_part {
    struct np_lock lock;
    void *free_records; /* linked through their first word */
    char *fresh;        /* the rest of the newest chunk, never handed out */
    char *fresh_end;
};

struct np_pool {
    size_t record_bytes; /* a multiple of 16, at least that of a pointer */
    struct np_pool_part usual;
    struct np_pool_part for_forks; /* serves while a fork holds the usual one */
};

#define NP_POOL_PART_INIT { NP_LOCK_INIT(NP_RANK_META), NULL, NULL, NULL }
#define NP_POOL_INIT(type) { (sizeof(type) + 15) & ~(size_t)15, NP_POOL_PART_INIT, NP_POOL_PART_INIT }

/* A record, its bytes zero if it was never used and otherwise as they were given back except for the
 * first word; NULL: no memory. */
void *np_pool_take(struct np_pool *pool);

/* Sees to it that the pool has a chunk of its own, so that later there are records though there is no memory. */
void np_pool_prepare(struct np_pool *pool);

/* The record's first word is overwritten at once. */
void np_pool_give(struct np_pool *pool, void *record);

void np_pool_fork(struct np_pool *pool, enum np_fork_phase phase);

/* Of all pools together: bytes mapped; and those that records have been made of, which stay: of these and of 6 KiB of the
 * library's own data. */
size_t np_pool_mapped_bytes(void);
size_t np_pool_used_bytes(void);

/* Memory for bookkeeping, whole system pages: zero, between two pages that nobody may access, so that a
 * write that runs out of a mapping of the program's ends there; without them where there are too many
 * mappings. NULL: no memory. */
void *np_meta_map(size_t bytes);

/* Bytes of a system page, for layers that do not see the kernel. */
size_t np_page_bytes(void);

/* A full memory barrier in every thread (np_os_barrier), for the same; and whether there may be one. */
bool np_barrier(void);
bool np_may_barrier(void);

/* A number that is hard to guess from outside, the same for the life of the process and never zero. */
uint64_t np_secret(void);

#endif
