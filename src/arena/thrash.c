/* See thrash.h.
 *
 * Why no lock is needed. Whatever value a word has is a right one beside any values of the others:
 * a refault may be held against a peak that is just being raised or has just been dropped, or count
 * in the epoch that is just ending, and then the outcome is that of an earlier or later call. The
 * words that add up (debt, allowance) change by compare-and-swap, so that nothing is lost. Nobody
 * reads other memory on the strength of these words, hence relaxed order throughout.
 *
 * What is to happen once is done by the thread whose compare-and-swap moves the time on: earning
 * for a stretch of time, ending an epoch. Should that thread not go on, as in the child of a fork,
 * the stretch earns nothing, or the extremes of an epoch count in the next one too. No one waits
 * for it.
 */
#include "thrash.h"

#include "bits.h"

/* The share of its time that a program may spend so. */
#define TIME_SHARE 32

/* What a page is believed to cost until that is measured: to return it, and to fault it in. */
#define RETURN_NS 400
#define FAULT_NS  800

/* A call that took longer for each page was kept from the processor. */
#define PAGE_MOST_NS UINT64_C(4000)

/* The last so many calls are what the mean is of, more or less. */
#define MEAN_CALLS 8

/* What 10 ms of refaults come to in run time. */
#define LEAST_CREDIT_NS UINT64_C(320000000)

/* An epoch is so long that losing all of the allowance in it, and refaulting as much, costs at most
 * 1/32 of it; and not so short that any pause of the program seems to mean something. */
#define EPOCH_MIN_NS UINT64_C(1000000000)

/* 4 PiB: more counts as that, so that no sum exceeds 64 bits. */
#define PAGES_MAX (UINT64_C(1) << 40)

static size_t get(const _Atomic size_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t get_ns(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static uint64_t shorter(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns < b_ns ? a_ns : b_ns;
}

static uint64_t longer(uint64_t a_ns, uint64_t b_ns)
{
    return a_ns > b_ns ? a_ns : b_ns;
}

static void raise_to(_Atomic size_t *word, size_t value)
{
    size_t old = get(word);

    while (old < value && !atomic_compare_exchange_weak_explicit(
                              word, &old, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

static void lower_to(_Atomic size_t *word, size_t value)
{
    size_t old = get(word);

    while (old > value && !atomic_compare_exchange_weak_explicit(
                              word, &old, value, memory_order_relaxed, memory_order_relaxed))
        ;
}

/* Whether it was this thread that moved the time on. The time of a caller that comes late is no
 * news. */
static bool try_move_time(_Atomic uint64_t *word, uint64_t from_ns, uint64_t now_ns)
{
    return now_ns > from_ns &&
           atomic_compare_exchange_strong_explicit(word, &from_ns, now_ns, memory_order_relaxed,
                                                   memory_order_relaxed);
}

/* Two threads may do so at once, and one of their calls be forgotten: it is a mean. */
static void note_cost(_Atomic uint32_t *mean_ns, uint32_t usual_ns, size_t pages, uint64_t spent_ns)
{
    uint64_t old_ns = atomic_load_explicit(mean_ns, memory_order_relaxed);
    uint64_t page_ns;

    if (pages == 0)
        return;
    page_ns = shorter(spent_ns / pages, PAGE_MOST_NS);
    if (old_ns == 0)
        old_ns = usual_ns;
    atomic_store_explicit(mean_ns, (uint32_t)((old_ns * (MEAN_CALLS - 1) + page_ns) / MEAN_CALLS),
                          memory_order_relaxed);
}

void np_thrash_note_return(struct np_thrash *thrash, size_t pages, uint64_t spent_ns)
{
    note_cost(&thrash->return_ns, RETURN_NS, pages, spent_ns);
}

void np_thrash_note_fault(struct np_thrash *thrash, size_t pages, uint64_t spent_ns)
{
    note_cost(&thrash->fault_ns, FAULT_NS, pages, spent_ns);
}

static uint64_t cost_ns(const _Atomic uint32_t *mean_ns, uint32_t usual_ns)
{
    uint32_t measured_ns = atomic_load_explicit(mean_ns, memory_order_relaxed);

    return measured_ns != 0 ? measured_ns : usual_ns;
}

/* Run time in which so many refaulted pages are earned at this cost. */
static uint64_t earned_in_ns(size_t pages, uint64_t page_ns)
{
    return shorter(pages, PAGES_MAX) * page_ns * TIME_SHARE;
}

static uint64_t page_ns_now(const struct np_thrash *thrash)
{
    uint64_t page_ns = cost_ns(&thrash->return_ns, RETURN_NS) + cost_ns(&thrash->fault_ns, FAULT_NS);

    return shorter(longer(page_ns, NP_THRASH_REFAULT_NS), NP_THRASH_REFAULT_MAX_NS);
}

static uint64_t refault_ns(const struct np_thrash *thrash, size_t pages)
{
    return earned_in_ns(pages, page_ns_now(thrash));
}

/* T3. One refault of all there was has to be within the credit, or a program that does so once an
 * hour would look as if it did nothing else. But a peak of which no refault is owed any more is no
 * measure: on the credit of a heap that has been large, a small one could thrash for long. */
static uint64_t credit_ns(const struct np_thrash *thrash)
{
    uint64_t start_ns = get_ns(&thrash->start_ns);
    uint64_t clear_ns = get_ns(&thrash->clear_ns);
    uint64_t age_ns = clear_ns - shorter(start_ns, clear_ns);
    uint64_t page_ns = longer(get(&thrash->dearest_ns), NP_THRASH_REFAULT_NS);
    uint64_t peak_ns = longer(earned_in_ns(get(&thrash->peak_pages), page_ns), LEAST_CREDIT_NS);

    return LEAST_CREDIT_NS + shorter(age_ns, peak_ns - LEAST_CREDIT_NS);
}

/* The time up to now pays off debt. Once there is none, what was live before does not count
 * (T3). */
static void earn(struct np_thrash *thrash, size_t live_pages, uint64_t now_ns)
{
    uint64_t from_ns = get_ns(&thrash->earned_to_ns);
    uint64_t old_ns = get_ns(&thrash->debt_ns);
    uint64_t new_ns;

    if (!try_move_time(&thrash->earned_to_ns, from_ns, now_ns))
        return;
    do {
        new_ns = old_ns - shorter(old_ns, now_ns - from_ns);
    } while (!atomic_compare_exchange_weak_explicit(&thrash->debt_ns, &old_ns, new_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (new_ns == 0) {
        atomic_store_explicit(&thrash->peak_pages, live_pages, memory_order_relaxed);
        /* A refault that raised it a moment ago loses that, and has a credit at the lowest cost: too little, once. */
        atomic_store_explicit(&thrash->dearest_ns, 0, memory_order_relaxed);
        atomic_store_explicit(&thrash->clear_ns, now_ns, memory_order_relaxed);
    }
}

/* Whether a refault exceeds the credit.
 *
 * What exceeds it stays owed although the allowance is raised for it: so a program that thrashes
 * raises it until nothing is taken back any more, and not just until 1/32 of its time pays for the
 * rest. The debt ends at twice the credit: when it grows without end the cause is not the threshold
 * (somebody calls malloc_trim), and every refault would count as thrashing long after that has
 * stopped. */
static bool spend(struct np_thrash *thrash, size_t pages)
{
    uint64_t page_ns = page_ns_now(thrash);
    uint64_t old_ns = get_ns(&thrash->debt_ns);
    uint64_t most_ns;
    uint64_t new_ns;

    raise_to(&thrash->dearest_ns, (size_t)page_ns);
    most_ns = credit_ns(thrash);
    do {
        new_ns = shorter(old_ns + earned_in_ns(pages, page_ns), 2 * most_ns);
    } while (!atomic_compare_exchange_weak_explicit(&thrash->debt_ns, &old_ns, new_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    return new_ns > most_ns;
}

/* T4. */
static void raise_allowance(struct np_thrash *thrash, size_t pages)
{
    size_t old = get(&thrash->allowance_pages);
    size_t peak = get(&thrash->peak_pages);

    while (old < peak && !atomic_compare_exchange_weak_explicit(
                             &thrash->allowance_pages, &old, old + np_min(pages, peak - old),
                             memory_order_relaxed, memory_order_relaxed))
        ;
    /* Before this thread looks whether the helper runs, which looks at the allowance after it has said that it does not
     * (core/helper.c): one of the two sees the other's. */
    atomic_thread_fence(memory_order_seq_cst);
}

/* What lay there for a whole epoch was not needed. But less than an eighth is left alone: a purge
 * goes an eighth below the threshold, so lowering that by less returns more that is needed than
 * that is not. An allowance of which not half was used is halved: the program has stopped giving so
 * much back, and should it do so again, the first time is on credit. */
static size_t lowered(size_t allowance, size_t lowest, size_t highest)
{
    if (lowest >= allowance / 8)
        allowance -= np_min(allowance, lowest);
    return highest < allowance - allowance / 2 ? allowance / 2 : allowance;
}

static void lower_allowance(struct np_thrash *thrash, size_t lowest, size_t highest)
{
    size_t old = get(&thrash->allowance_pages);

    while (!atomic_compare_exchange_weak_explicit(&thrash->allowance_pages, &old,
                                                  lowered(old, lowest, highest),
                                                  memory_order_relaxed, memory_order_relaxed))
        ;
}

uint64_t np_thrash_epoch_ns(const struct np_thrash *thrash)
{
    return longer(EPOCH_MIN_NS, refault_ns(thrash, np_thrash_allowance_pages(thrash)));
}

static bool is_epoch_over(const struct np_thrash *thrash, uint64_t now_ns)
{
    return now_ns >= get_ns(&thrash->epoch_ns) + np_thrash_epoch_ns(thrash);
}

void np_thrash_limit(struct np_thrash *thrash, size_t pages)
{
    lower_to(&thrash->allowance_pages, pages);
}

/* Lets the words know what is live and retained now, and what the time is. */
static void note(struct np_thrash *thrash, size_t live_pages, size_t retained_pages,
                 uint64_t now_ns)
{
    uint64_t epoch_ns = get_ns(&thrash->epoch_ns);

    (void)try_move_time(&thrash->start_ns, 0, now_ns);
    earn(thrash, live_pages, now_ns);
    raise_to(&thrash->peak_pages, live_pages);
    lower_to(&thrash->lowest_pages, retained_pages);
    raise_to(&thrash->highest_pages, retained_pages);
    if (is_epoch_over(thrash, now_ns) && try_move_time(&thrash->epoch_ns, epoch_ns, now_ns)) {
        size_t lowest = atomic_exchange_explicit(&thrash->lowest_pages, retained_pages,
                                                 memory_order_relaxed);
        size_t highest = atomic_exchange_explicit(&thrash->highest_pages, retained_pages,
                                                  memory_order_relaxed);

        lower_allowance(thrash, lowest, highest);
    }
}

void np_thrash_refault(struct np_thrash *thrash, size_t pages, size_t live_pages,
                       size_t retained_pages, uint64_t now_ns)
{
    note(thrash, live_pages, retained_pages, now_ns);
    if (spend(thrash, pages))
        raise_allowance(thrash, pages);
}

void np_thrash_look(struct np_thrash *thrash, size_t live_pages, size_t retained_pages,
                    uint64_t now_ns)
{
    if (live_pages > get(&thrash->peak_pages) || retained_pages < get(&thrash->lowest_pages) ||
        retained_pages > get(&thrash->highest_pages) || is_epoch_over(thrash, now_ns))
        note(thrash, live_pages, retained_pages, now_ns);
}
