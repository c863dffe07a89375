/* The window table and its slow paths. Layout of a window's mapping: header, bitmap and young units, then the slab records,
 * the run map, the run records and the planes of slot bits, each from a page of its own so that they can be
 * purged apart. */
#include "window.h"

#include "bits.h"
#include "check.h"
#include "meta.h"
#include "os.h"

/* An empty entry has base 0, which is that of window 0: the first entry gets the base of a window that is not its own. */
NP_SPARSE_DATA struct np_window_table np_window_table = {.entries = {{.base = NP_WINDOW_BYTES}}};

static _Atomic(struct np_window *) window_zero; /* that of number 0, which has no place in the table */
static _Atomic(struct np_window *) newest_window;
static _Atomic size_t mapped_bytes;

#define RUNS_BYTES (NP_WINDOW_GRANULES * sizeof(struct np_run *))
#define RECORDS_BYTES (NP_WINDOW_UNITS * NP_SLAB_RECORD_BYTES)
#define RUN_RECORDS_BYTES (NP_WINDOW_UNITS * NP_RUN_RECORD_BYTES)
#define PLANE_BYTES (NP_SLOT_BITS_PLANE_WORDS * sizeof(uint64_t))
#define UNIT_BITS_BYTES (NP_SLOT_BITS_WORDS * sizeof(uint64_t))

/* So that planes are whole system pages of every size, and pieces of np_window_share_bytes are. */
_Static_assert(PLANE_BYTES % NP_UNIT_BYTES == 0 && RECORDS_BYTES % NP_UNIT_BYTES == 0 &&
                   RUN_RECORDS_BYTES % NP_UNIT_BYTES == 0 && RUNS_BYTES % NP_UNIT_BYTES == 0,
               "parts can be purged apart");
_Static_assert(UNIT_BITS_BYTES >= NP_RUN_RECORD_BYTES, "a share's bits fill whole pages");

static struct np_window *of_records(uintptr_t records)
{
    return (struct np_window *)(records - NP_WINDOW_HEADER_BYTES);
}

struct np_window *np_window_find(uintptr_t address)
{
    uintptr_t number = address >> NP_WINDOW_SHIFT;
    const struct np_window_entry *entry = &np_window_table.entries[number % NP_WINDOW_TABLE_COUNT];
    uintptr_t base = atomic_load_explicit(&entry->base, memory_order_acquire);
    /* acquire, as below, pairs with the release of who puts the window there. */
    uintptr_t records = atomic_load_explicit(&entry->records, memory_order_acquire);
    struct np_window *window = of_records(records);

    if (NP_LIKELY(address - base < NP_WINDOW_BYTES))
        return window;
    if (number == 0)
        return atomic_load_explicit(&window_zero, memory_order_acquire);
    if (records == 0)
        return NULL;
    /* Among those that share the place, the first of which has it. */
    while (window != NULL && window->base >> NP_WINDOW_SHIFT != number)
        window = atomic_load_explicit(&window->next_aside, memory_order_acquire);
    return window;
}

void *np_window_record(uintptr_t address)
{
    void *record = np_window_record_fast(address);
    struct np_window *window;

    if (NP_LIKELY(record != NULL))
        return record;
    window = np_window_find(address);
    if (window == NULL)
        return NULL;
    return window->records +
           (((address - window->base) >> NP_UNIT_SHIFT) << NP_SLAB_RECORD_SHIFT);
}

/* The window of an address that is about to be used, from there on. */
static struct np_window *make(uintptr_t address)
{
    size_t bytes = NP_WINDOW_HEADER_BYTES + RECORDS_BYTES + RUNS_BYTES + RUN_RECORDS_BYTES +
                   NP_SLOT_BITS_PLANES * PLANE_BYTES;
    struct np_window *window = np_meta_map(bytes);

    if (window == NULL)
        return NULL;
    window->base = np_align_down(address, NP_WINDOW_BYTES);
    window->mapped_bytes = bytes;
    window->records = (char *)window + NP_WINDOW_HEADER_BYTES;
    window->runs = (void *)(window->records + RECORDS_BYTES);
    window->run_records = (char *)window->runs + RUNS_BYTES;
    window->slot_bits = (void *)(window->run_records + RUN_RECORDS_BYTES);
    window->young_from = (address - window->base) >> NP_UNIT_SHIFT;
    atomic_fetch_add_explicit(&mapped_bytes, bytes, memory_order_relaxed);
    return window;
}

/* Behind the window that has its place. */
static void put_aside(struct np_window *occupant, struct np_window *window)
{
    struct np_window *next = atomic_load_explicit(&occupant->next_aside, memory_order_relaxed);

    do
        atomic_store_explicit(&window->next_aside, next, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&occupant->next_aside, &next, window,
                                                  memory_order_release, memory_order_relaxed));
}

static void put_in_list(struct np_window *window)
{
    struct np_window *first = atomic_load_explicit(&newest_window, memory_order_relaxed);

    do
        window->next = first;
    while (!atomic_compare_exchange_weak_explicit(&newest_window, &first, window,
                                                  memory_order_release, memory_order_relaxed));
}

struct np_window *np_window_list(void)
{
    return atomic_load_explicit(&newest_window, memory_order_acquire);
}

_Atomic uint64_t *np_window_slot_bits(uintptr_t address, unsigned plane_count,
                                      uint16_t *plane_words)
{
    struct np_window *window = np_window_find(address);
    size_t unit = (address - window->base) >> NP_UNIT_SHIFT;
    struct np_young_unit *young = np_window_young(window, unit);

    if (young != NULL && plane_count <= NP_YOUNG_PLANES) {
        *plane_words = NP_SLOT_BITS_WORDS;
        return young->slot_bits[0];
    }
    *plane_words = NP_SLOT_BITS_PLANE_WORDS;
    return window->slot_bits + unit * NP_SLOT_BITS_WORDS;
}

/* The table's two words of an entry are written by one thread: the one that moved `records` from 0.
 * The base is written last, with release, so whoever reads it sees the other one. Until the window is
 * found its maker has not lent any of its memory, so nobody asks. */
static struct np_window *publish(struct np_window *window)
{
    uintptr_t number = window->base >> NP_WINDOW_SHIFT;
    struct np_window_entry *entry = &np_window_table.entries[number % NP_WINDOW_TABLE_COUNT];
    uintptr_t occupant = 0;

    if (number == 0)
        atomic_store_explicit(&window_zero, window, memory_order_release);
    else if (atomic_compare_exchange_strong(&entry->records, &occupant, (uintptr_t)window->records))
        atomic_store_explicit(&entry->base, window->base, memory_order_release);
    else
        put_aside(of_records(occupant), window);
    return window;
}

/* Windows are made under the lock of rank NP_RANK_BREAK, or by a thread that makes an arena of its own
 * during another's fork, which reserves whole windows only: so no window has two makers at once. */
struct np_window *np_window_ensure(uintptr_t address)
{
    struct np_window *window = np_window_find(address);

    if (window != NULL)
        return window;
    window = make(address);
    if (window == NULL)
        return NULL;
    put_in_list(window);
    return publish(window);
}

/* The parts of one window's bookkeeping, on their way to the system in one call. */
struct parts {
    unsigned count;
    struct np_range ranges[3 + NP_SLOT_BITS_PLANES];
};

static void add_part(struct parts *parts, void *array, size_t from_bytes, size_t to_bytes)
{
    size_t page_bytes = np_os_page_bytes();
    size_t from = np_align_up(from_bytes, page_bytes);
    size_t to = np_align_down(to_bytes, page_bytes);

    if (from < to)
        parts->ranges[parts->count++] = (struct np_range){(char *)array + from, to - from};
}

/* What the system refuses to take (locked memory) stays. */
static void purge_parts(const struct parts *parts)
{
    size_t calls = 0;

    for (size_t at = 0; at < parts->count; at++)
        at += np_os_purge_ranges(parts->ranges + at, parts->count - at, &calls);
}

static void purge_records_of(struct np_window *window, uintptr_t start, uintptr_t end)
{
    size_t word_bytes = sizeof window->runs[0];
    size_t first_unit = np_align_up(start - window->base, NP_UNIT_BYTES) >> NP_UNIT_SHIFT;
    size_t last_unit = (end - window->base) >> NP_UNIT_SHIFT;
    struct parts parts = {.count = 0};

    add_part(&parts, window->runs, ((start - window->base) >> NP_GRANULE_SHIFT) * word_bytes,
             ((end - window->base) >> NP_GRANULE_SHIFT) * word_bytes);
    add_part(&parts, window->records, first_unit << NP_SLAB_RECORD_SHIFT,
             last_unit << NP_SLAB_RECORD_SHIFT);
    add_part(&parts, window->run_records, first_unit << NP_RUN_RECORD_SHIFT,
             last_unit << NP_RUN_RECORD_SHIFT);
    for (unsigned plane = 0; plane < NP_SLOT_BITS_PLANES; plane++)
        add_part(&parts, (char *)window->slot_bits + plane * PLANE_BYTES,
                 first_unit * UNIT_BITS_BYTES, last_unit * UNIT_BITS_BYTES);
    purge_parts(&parts);
}

size_t np_window_share_bytes(void)
{
    return np_os_page_bytes() << (NP_UNIT_SHIFT - NP_RUN_RECORD_SHIFT);
}

void np_window_purge_records(uintptr_t start, uintptr_t end)
{
    while (start < end) {
        /* The last address, since the one behind the last window is 0. */
        uintptr_t last = np_min(end - 1, start | (NP_WINDOW_BYTES - 1));
        uintptr_t stop = last + 1;
        struct np_window *window = np_window_find(start);

        if (window != NULL)
            purge_records_of(window, start, stop);
        start = stop;
    }
}

size_t np_window_mapped_bytes(void)
{
    return atomic_load_explicit(&mapped_bytes, memory_order_relaxed);
}

size_t np_window_resident_bytes(void)
{
    size_t bytes = 0;

    for (const struct np_window *window = np_window_list(); window != NULL; window = window->next)
        bytes += np_os_resident_bytes(window, window->mapped_bytes);
    return bytes;
}
