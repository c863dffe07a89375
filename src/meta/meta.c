/* Pools: chunks from the kernel, carved front to back, and a list of records given back. A chunk's
 * pages are touched as records are handed out, so a pool that is hardly used costs one page. */
#include "meta.h"

#include "bits.h"
#include "check.h"
#include "os.h"

/* Address space asked for at a time; the kernel backs what is touched only. */
#define CHUNK_BYTES ((size_t)256 << 10)

static void *take_locked(struct np_pool *pool)
{
    void *record = pool->free_records;

    if (record != NULL) {
        pool->free_records = *(void **)record;
        return record;
    }
    if ((size_t)(pool->fresh_end - pool->fresh) < pool->record_bytes) {
        /* The lock is held across this one system call, once in thousands of records; nobody who
         * holds it waits for anything else. */
        char *chunk = np_os_map(CHUNK_BYTES);

        if (chunk == NULL)
            return NULL;
        atomic_fetch_add_explicit(&pool->mapped_bytes, CHUNK_BYTES, memory_order_relaxed);
        pool->fresh = chunk;
        pool->fresh_end = chunk + CHUNK_BYTES;
    }
    record = pool->fresh;
    pool->fresh += pool->record_bytes;
    return record;
}

void *np_pool_take(struct np_pool *pool)
{
    void *record;

    if (NP_UNLIKELY(!np_lock_acquire(&pool->lock)))
        return np_os_map(np_align_up(pool->record_bytes, np_os_page_bytes()));
    record = take_locked(pool);
    np_lock_release(&pool->lock);
    return record;
}

void np_pool_give(struct np_pool *pool, void *record)
{
    if (NP_UNLIKELY(!np_lock_acquire(&pool->lock)))
        return;
    *(void **)record = pool->free_records;
    pool->free_records = record;
    np_lock_release(&pool->lock);
}

void np_pool_fork(struct np_pool *pool, enum np_fork_phase phase)
{
    np_lock_fork(&pool->lock, phase);
}

size_t np_page_bytes(void)
{
    return np_os_page_bytes();
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
