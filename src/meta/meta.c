/* Pools: chunks from the kernel, carved front to back, and a list of records given back. A chunk's
 * pages are touched as records are handed out. The first records of all pools share a piece of the library's own data,
 * so that a process that needs few takes no chunk and no page for each pool. */
#include "meta.h"

#include "bits.h"
#include "check.h"
#include "limits.h"
#include "os.h"

/* Address space asked for at a time; the kernel backs what is touched only. */
#define CHUNK_BYTES ((size_t)256 << 10)

/* The first thread's heap and a few records of runs. */
#define SHARED_BYTES ((size_t)6 << 10)

static NP_SPARSE_ZERO _Alignas(NP_ALIGNMENT) char shared[SHARED_BYTES];
static _Atomic size_t shared_used_bytes;
static _Atomic size_t mapped_bytes;
static _Atomic size_t used_bytes;

void *np_meta_map(size_t bytes)
{
    void *memory = np_os_map_guarded(bytes, 1);

    return memory != NULL ? memory : np_os_map(bytes, 1);
}

/* Where so much is refused, room for one record: with it the addresses that an arena has already
 * can still be lent. The lock is held across these calls, once in thousands of records; nobody who
 * holds it waits for anything else. */
static bool take_chunk(struct np_pool_part *part, size_t record_bytes)
{
    size_t bytes = CHUNK_BYTES;
    char *chunk = np_meta_map(bytes);

    if (chunk == NULL) {
        bytes = np_align_up(record_bytes, np_os_page_bytes());
        chunk = np_meta_map(bytes);
    }
    if (chunk == NULL)
        return false;
    atomic_fetch_add_explicit(&mapped_bytes, bytes, memory_order_relaxed);
    part->fresh = chunk;
    part->fresh_end = chunk + bytes;
    return true;
}

/* A record of the shared piece, or NULL: what is left is too small for it. Several pools may ask at once. */
static void *take_shared(size_t record_bytes)
{
    size_t used = atomic_load_explicit(&shared_used_bytes, memory_order_relaxed);

    do
        if (SHARED_BYTES - used < record_bytes)
            return NULL;
    while (!atomic_compare_exchange_weak_explicit(&shared_used_bytes, &used, used + record_bytes,
                                                  memory_order_relaxed, memory_order_relaxed));
    return shared + used;
}

/* A record that was never used. */
static void *take_fresh(struct np_pool *pool, struct np_pool_part *part)
{
    void *record;

    if ((size_t)(part->fresh_end - part->fresh) < pool->record_bytes) {
        record = take_shared(pool->record_bytes);
        if (record != NULL || !take_chunk(part, pool->record_bytes))
            return record;
    }
    record = part->fresh;
    part->fresh += pool->record_bytes;
    return record;
}

static void *take_locked(struct np_pool *pool, struct np_pool_part *part)
{
    void *record = part->free_records;

    if (record != NULL) {
        part->free_records = *(void **)record;
        return record;
    }
    record = take_fresh(pool, part);
    if (record != NULL)
        atomic_fetch_add_explicit(&used_bytes, pool->record_bytes, memory_order_relaxed);
    return record;
}

/* The part that serves now, its lock held. The second one's is never held for a fork, so it is
 * waited for. */
static struct np_pool_part *lock_part(struct np_pool *pool)
{
    if (NP_LIKELY(np_lock_acquire(&pool->usual.lock)))
        return &pool->usual;
    (void)np_lock_acquire(&pool->for_forks.lock);
    return &pool->for_forks;
}

void *np_pool_take(struct np_pool *pool)
{
    struct np_pool_part *part = lock_part(pool);
    void *record = take_locked(pool, part);

    np_lock_release(&part->lock);
    return record;
}

void np_pool_prepare(struct np_pool *pool)
{
    struct np_pool_part *part = lock_part(pool);

    if (part->fresh == NULL)
        (void)take_chunk(part, pool->record_bytes);
    np_lock_release(&part->lock);
}

void np_pool_give(struct np_pool *pool, void *record)
{
    struct np_pool_part *part = lock_part(pool);

    *(void **)record = part->free_records;
    part->free_records = record;
    np_lock_release(&part->lock);
}

static void append(void **list, void *records)
{
    while (*list != NULL)
        list = *list;
    *list = records;
}

/* Before a fork: what is free is for the other threads, so that forks cost no fresh records. The
 * list that is walked is what they gave since the usual lock was taken. The second lock is not
 * waited for, here nor below: its holder may be in a signal handler that waits to fork. */
static void lend_free_records(struct np_pool *pool)
{
    if (!np_lock_try(&pool->for_forks.lock))
        return;
    append(&pool->for_forks.free_records, pool->usual.free_records);
    pool->usual.free_records = NULL;
    np_lock_release(&pool->for_forks.lock);
}

/* After it: back to the usual part, whose lock the fork still has. What is given to the second
 * part later comes back after the next fork. */
static void join_parts(struct np_pool *pool)
{
    if (!np_lock_try(&pool->for_forks.lock))
        return;
    append(&pool->usual.free_records, pool->for_forks.free_records);
    pool->for_forks.free_records = NULL;
    np_lock_release(&pool->for_forks.lock);
}

/* In a child of a fork that has not had the lock. A signal handler may have forked inside this
 * very thread's critical section: all stays as it is. Or the fork had to do without, and who was
 * at work is not here: its records are lost. */
static void begin_anew_if_orphaned(struct np_pool *pool)
{
    np_lock_fork(&pool->usual.lock, NP_FORK_CHILD);
    if (np_lock_is_held_for_fork(&pool->usual.lock))
        pool->usual = (struct np_pool_part)NP_POOL_PART_INIT;
}

void np_pool_fork(struct np_pool *pool, enum np_fork_phase phase)
{
    if (phase == NP_FORK_PREPARE)
        np_lock_fork(&pool->usual.lock, phase);
    if (!np_lock_is_held_for_fork(&pool->usual.lock)) {
        if (phase == NP_FORK_CHILD)
            begin_anew_if_orphaned(pool);
        return;
    }
    if (phase == NP_FORK_PREPARE) {
        lend_free_records(pool);
        return;
    }
    /* A thread that is not in the child was at work there: its records are lost. */
    if (phase == NP_FORK_CHILD && !np_lock_is_own(&pool->for_forks.lock) &&
        atomic_load_explicit(&pool->for_forks.lock.word, memory_order_relaxed) != 0)
        pool->for_forks = (struct np_pool_part)NP_POOL_PART_INIT;
    join_parts(pool);
    np_lock_fork(&pool->usual.lock, phase);
}

size_t np_pool_mapped_bytes(void)
{
    return atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

size_t np_pool_used_bytes(void)
{
    return atomic_load_explicit(&used_bytes, memory_order_relaxed);
}

size_t np_page_bytes(void)
{
    return np_os_page_bytes();
}

bool np_barrier(void)
{
    return np_os_barrier();
}

bool np_may_barrier(void)
{
    return np_os_may_barrier();
}

uint64_t np_secret(void)
{
    static _Atomic uint64_t secret;
    uint64_t value = atomic_load_explicit(&secret, memory_order_relaxed);

    if (NP_UNLIKELY(value == 0)) {
        uint64_t fresh = np_os_random() | 1;

        /* Two threads may come here at once; the first one's number is everybody's. */
        if (atomic_compare_exchange_strong(&secret, &value, fresh))
            value = fresh;
    }
    return value;
}
