/* Addresses of freed mappings. See waiting.h. */
#include "waiting.h"

#include "os.h"

#define WAITING_COUNT 256
#define PAGES_BITS 16 /* larger ones do not wait */
#define PAGES_MASK ((UINT64_C(1) << PAGES_BITS) - 1)

#define NOTED_BIT (UINT64_C(1) << 63) /* the system has them, as far as we know: nothing is to be released */

static NP_SPARSE_ZERO _Atomic uint64_t waiting[WAITING_COUNT]; /* the number of the first page, and how many; 0: none */
static _Atomic unsigned next;

static uintptr_t start_of(uint64_t word)
{
    return (uintptr_t)((word & ~NOTED_BIT) >> PAGES_BITS) * np_os_page_bytes();
}

static size_t bytes_of(uint64_t word)
{
    return (size_t)(word & PAGES_MASK) * np_os_page_bytes();
}

/* False: there was nothing to be released. */
static bool release(uint64_t word)
{
    return word != 0 && (word & NOTED_BIT) == 0 &&
           np_os_release((void *)start_of(word), bytes_of(word));
}

static void file(const void *start, uint64_t page_count, uint64_t mark)
{
    uint64_t word = (uint64_t)((uintptr_t)start / np_os_page_bytes()) << PAGES_BITS | page_count | mark;

    (void)release(atomic_exchange(&waiting[atomic_fetch_add(&next, 1) % WAITING_COUNT], word));
}

void np_waiting_note(const void *start, size_t bytes)
{
    if (bytes / np_os_page_bytes() <= PAGES_MASK)
        file(start, bytes / np_os_page_bytes(), NOTED_BIT);
}

void np_waiting_put(void *start, size_t bytes)
{
    uint64_t page_count = bytes / np_os_page_bytes();

    /* Between the two steps another thread may get the addresses; then they do not wait. */
    if (np_os_release(start, bytes) && page_count <= PAGES_MASK &&
        np_os_reserve_at(start, bytes) != NULL)
        file(start, page_count, 0);
}

bool np_waiting_end(void)
{
    bool is_any = false;

    for (unsigned at = 0; at < WAITING_COUNT; at++) {
        uint64_t word = atomic_load_explicit(&waiting[at], memory_order_relaxed);

        if (word != 0 && (word & NOTED_BIT) == 0)
            is_any |= release(atomic_exchange(&waiting[at], 0));
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
