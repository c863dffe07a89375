/* Addresses of freed mappings. See waiting.h. */
#include "waiting.h"

#include "os.h"

#define WAITING_COUNT 256
#define PAGES_BITS 16 /* larger ones do not wait */
#define PAGES_MASK ((UINT64_C(1) << PAGES_BITS) - 1)

static NP_SPARSE_ZERO _Atomic uint64_t waiting[WAITING_COUNT]; /* the number of the first page, and how many; 0: none */
static _Atomic unsigned next;

static uintptr_t start_of(uint64_t word)
{
    return (uintptr_t)(word >> PAGES_BITS) * np_os_page_bytes();
}

static size_t bytes_of(uint64_t word)
{
    return (size_t)(word & PAGES_MASK) * np_os_page_bytes();
}

void np_waiting_put(void *start, size_t bytes)
{
    uint64_t page_count = bytes / np_os_page_bytes();
    uint64_t word = (uint64_t)((uintptr_t)start / np_os_page_bytes()) << PAGES_BITS | page_count;

    /* Between the two steps another thread may get the addresses; then they do not wait. */
    if (!np_os_release(start, bytes) || page_count > PAGES_MASK ||
        np_os_reserve_at(start, bytes) == NULL)
        return;
    word = atomic_exchange(&waiting[atomic_fetch_add(&next, 1) % WAITING_COUNT], word);
    if (word != 0)
        (void)np_os_release((void *)start_of(word), bytes_of(word));
}

bool np_waiting_end(void)
{
    bool is_any = false;

    for (unsigned at = 0; at < WAITING_COUNT; at++) {
        uint64_t word = atomic_exchange(&waiting[at], 0);

        if (word != 0)
            is_any |= np_os_release((void *)start_of(word), bytes_of(word));
    }
    return is_any;
}

bool np_waiting_holds(uintptr_t address, size_t *bytes)
{
    for (unsigned at = 0; at < WAITING_COUNT; at++) {
        uint64_t word = atomic_load_explicit(&waiting[at], memory_order_relaxed);

        *bytes = bytes_of(word);
        if (address - start_of(word) < *bytes)
            return true;
    }
    return false;
}
