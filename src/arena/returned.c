/* The counters and the samples of the flow; see returned.h.
 *
 * A sample's two times are one word each, tagged with the sample's number, so a reader can tell
 * whether the word belongs to the sample it asks about: not if the ring has come round, or the
 * writer, whose count is seen before, has not stored it yet. Such a sample is left out. Whose
 * addition to a count passes a multiple of SAMPLE_BYTES writes that sample, so each has one writer.
 */
#include "returned.h"

#include "alone.h"
#include "bits.h"
#include "os.h"

#define SAMPLE_BYTES (UINT64_C(256) << 10)

/* A power of two; together 64 MiB: enough for a mean, and at 1 GiB a second still 60 ms. */
#define SAMPLE_COUNT 256

/* A sample's word: 40 bits of time in units of 2^20 ns (the clock is not finer), whether the byte
 * was returned, and 23 bits of the sample's number plus one, so that a word never written has the
 * number of no sample. */
#define TICK_SHIFT 20
#define TIME_BITS 40
#define RETURNED_BIT (UINT64_C(1) << TIME_BITS)
#define NUMBER_SHIFT (TIME_BITS + 1)
#define NUMBER_MASK ((UINT64_C(1) << (64 - NUMBER_SHIFT)) - 1)

struct sample {
    _Atomic uint64_t joined;
    _Atomic uint64_t left;
    _Atomic uint64_t returned_before; /* bytes returned when it left */
};

static NP_SPARSE_ZERO struct sample samples[SAMPLE_COUNT];

/* Read and written by every thread that frees much; the counters below only when memory goes. */
static _Alignas(NP_CACHE_LINE_BYTES) _Atomic uint64_t joined_bytes;
static _Atomic uint64_t left_bytes;
static _Atomic uint64_t returned_bytes;
static _Atomic uint64_t reused_bytes;
static _Atomic size_t retained_max_bytes;

static struct {
    _Atomic uint64_t bytes;
    _Atomic size_t calls;
    _Atomic uint64_t spent_ns;
} ways[NP_RETURN_WAY_COUNT];

static _Atomic uint64_t refaulted_bytes;

static struct sample *sample_of(uint64_t number)
{
    return &samples[number % SAMPLE_COUNT];
}

static uint64_t tagged(uint64_t number, uint64_t now_ns)
{
    return ((number + 1) & NUMBER_MASK) << NUMBER_SHIFT |
           (now_ns >> TICK_SHIFT & ((UINT64_C(1) << TIME_BITS) - 1));
}

static bool is_of(uint64_t word, uint64_t number)
{
    return word >> NUMBER_SHIFT == ((number + 1) & NUMBER_MASK);
}

static uint64_t time_of(uint64_t word)
{
    return (word & ((UINT64_C(1) << TIME_BITS) - 1)) << TICK_SHIFT;
}

/* The first sample above a number of bytes that is worth writing on the way to another: a leap over
 * the whole ring writes each place once. */
static uint64_t first_sample(uint64_t from_bytes, uint64_t to_bytes)
{
    uint64_t last = to_bytes / SAMPLE_BYTES;

    return np_max64(from_bytes / SAMPLE_BYTES + 1,
                    last >= SAMPLE_COUNT ? last - SAMPLE_COUNT + 1 : 1);
}

static void sample_joined(uint64_t from_bytes, uint64_t to_bytes)
{
    uint64_t last = to_bytes / SAMPLE_BYTES;
    uint64_t now_ns;

    if (NP_LIKELY(from_bytes / SAMPLE_BYTES == last))
        return;
    now_ns = np_os_coarse_ns();
    for (uint64_t number = first_sample(from_bytes, to_bytes); number <= last; number++)
        atomic_store_explicit(&sample_of(number)->joined, tagged(number, now_ns),
                              memory_order_relaxed);
}

/* F1. */
static void raise_joined_to(uint64_t bytes)
{
    uint64_t joined = atomic_load_explicit(&joined_bytes, memory_order_relaxed);

    while (joined < bytes)
        if (atomic_compare_exchange_weak_explicit(&joined_bytes, &joined, bytes,
                                                  memory_order_relaxed, memory_order_relaxed))
            sample_joined(joined, bytes);
}

/* returned_at: how many had been returned when the first of these left; flag: RETURNED_BIT if these
 * are, too. */
static void leave(size_t bytes, uint64_t returned_at, uint64_t flag)
{
    uint64_t from = atomic_fetch_add_explicit(&left_bytes, bytes, memory_order_relaxed);
    uint64_t last = (from + bytes) / SAMPLE_BYTES;
    uint64_t now_ns;

    raise_joined_to(from + bytes);
    if (NP_LIKELY(from / SAMPLE_BYTES == last))
        return;
    now_ns = np_os_coarse_ns();
    for (uint64_t number = first_sample(from, from + bytes); number <= last; number++) {
        struct sample *sample = sample_of(number);
        uint64_t more = flag != 0 ? number * SAMPLE_BYTES - from : 0;

        atomic_store_explicit(&sample->returned_before, returned_at + more, memory_order_relaxed);
        atomic_store_explicit(&sample->left, tagged(number, now_ns) | flag, memory_order_relaxed);
    }
}

void np_returned_note(enum np_return_way way, size_t bytes, size_t calls, uint64_t spent_ns)
{
    atomic_fetch_add_explicit(&ways[way].bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&ways[way].calls, calls, memory_order_relaxed);
    atomic_fetch_add_explicit(&ways[way].spent_ns, spent_ns, memory_order_relaxed);
    leave(bytes, atomic_fetch_add_explicit(&returned_bytes, bytes, memory_order_relaxed),
          RETURNED_BIT);
}

void np_returned_note_freed(size_t bytes)
{
    uint64_t from;

    if (bytes == 0)
        return;
    from = np_fetch_add(&joined_bytes, bytes);

    sample_joined(from, from + bytes);
}

void np_returned_note_reused(size_t bytes)
{
    if (bytes == 0)
        return;
    atomic_fetch_add_explicit(&reused_bytes, bytes, memory_order_relaxed);
    leave(bytes, atomic_load_explicit(&returned_bytes, memory_order_relaxed), 0);
}

void np_returned_note_refault(size_t bytes)
{
    atomic_fetch_add_explicit(&refaulted_bytes, bytes, memory_order_relaxed);
}

void np_returned_note_retained(size_t bytes)
{
    size_t most = atomic_load_explicit(&retained_max_bytes, memory_order_relaxed);

    while (NP_UNLIKELY(bytes > most) &&
           !atomic_compare_exchange_weak_explicit(&retained_max_bytes, &most, bytes,
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

static uint64_t since(uint64_t now_ns, uint64_t then_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

/* Samples in (first, last] that were returned: how long they had waited. */
static void measure_delays(struct np_returned_recent *recent, uint64_t first, uint64_t last)
{
    uint64_t sum_ns = 0;
    uint64_t count = 0;

    for (uint64_t number = first + 1; number <= last; number++) {
        uint64_t left = atomic_load_explicit(&sample_of(number)->left, memory_order_relaxed);
        uint64_t joined = atomic_load_explicit(&sample_of(number)->joined, memory_order_relaxed);
        uint64_t delay_ns;

        if (!is_of(left, number) || !is_of(joined, number) ||
            (left & RETURNED_BIT) == 0)
            continue;
        delay_ns = since(time_of(left), time_of(joined));
        sum_ns += delay_ns;
        recent->delay_max_ns = np_max64(recent->delay_max_ns, delay_ns);
        count++;
    }
    recent->delay_mean_ns = count > 0 ? sum_ns / count : 0;
}

static void measure_waiting(struct np_returned_recent *recent, uint64_t number)
{
    uint64_t joined = atomic_load_explicit(&sample_of(number)->joined, memory_order_relaxed);

    if (is_of(joined, number))
        recent->waiting_ns = since(np_os_coarse_ns(), time_of(joined));
}

static void look_back(const struct np_returned_totals *totals, uint64_t returned,
                      struct np_returned_recent *recent)
{
    uint64_t newest = totals->joined_bytes / SAMPLE_BYTES;
    uint64_t first = newest >= SAMPLE_COUNT ? newest - SAMPLE_COUNT + 1 : 0;
    uint64_t start = first * SAMPLE_BYTES;
    uint64_t gone = totals->left_bytes > start ? totals->left_bytes - start : 0;
    uint64_t returned_before = 0;

    if (first > 0)
        returned_before =
            atomic_load_explicit(&sample_of(first)->returned_before, memory_order_relaxed);
    recent->freed_bytes = totals->joined_bytes - start;
    recent->waiting_bytes = recent->freed_bytes - gone;
    recent->returned_bytes =
        np_min64(gone, returned > returned_before ? returned - returned_before : 0);
    recent->reused_bytes = gone - recent->returned_bytes;
    measure_delays(recent, first, totals->left_bytes / SAMPLE_BYTES);
    if (totals->left_bytes / SAMPLE_BYTES < newest)
        measure_waiting(recent, np_max64(totals->left_bytes / SAMPLE_BYTES, first) + 1);
}

struct np_returned_totals np_returned_totals(void)
{
    struct np_returned_totals totals = {
        .refaulted_bytes = atomic_load_explicit(&refaulted_bytes, memory_order_relaxed),
        .retained_max_bytes = atomic_load_explicit(&retained_max_bytes, memory_order_relaxed),
        .reused_bytes = atomic_load_explicit(&reused_bytes, memory_order_relaxed),
        .left_bytes = atomic_load_explicit(&left_bytes, memory_order_relaxed),
    };

    for (unsigned way = 0; way < NP_RETURN_WAY_COUNT; way++) {
        totals.ways[way].bytes = atomic_load_explicit(&ways[way].bytes, memory_order_relaxed);
        totals.ways[way].calls = atomic_load_explicit(&ways[way].calls, memory_order_relaxed);
        totals.ways[way].spent_ns =
            atomic_load_explicit(&ways[way].spent_ns, memory_order_relaxed);
    }
    /* F1 for what was read: a thread may be between its addition and raise_joined_to. */
    totals.joined_bytes = np_max64(atomic_load_explicit(&joined_bytes, memory_order_relaxed),
                                   totals.left_bytes);
    look_back(&totals, atomic_load_explicit(&returned_bytes, memory_order_relaxed),
              &totals.recent);
    return totals;
}
