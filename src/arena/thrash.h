/* How much more may be retained than the built-in threshold allows: the thrash allowance.
 *
 * Memory that is returned and soon taken back costs more than it is worth. The allowance is zero
 * until the program has spent more than 1/32 of its time so; it grows then by what is taken back,
 * and falls again by what turns out not to be needed.
 *
 * Time is counted as run time: a page that is taken back (*refaulted*) takes 32 times as long to be
 * earned as returning it and faulting it in again costs. That is 1.2 us, or what has been measured
 * lately, up to 3 us: more in a process of several threads, whose processors have to be told, and in a
 * virtual machine. What has been spent and not earned again is the *debt*; the credit is what the debt
 * may come to.
 *
 * [T1] Only np_thrash_refault raises the allowance, and only if the debt exceeds the credit.
 * [T2] The debt is what refaults have cost since it was last zero, less the time since then. So if
 *      the allowance rises, more than 1/32 of that time went into refaults.
 * [T3] The credit is one refault of the recent peak of live, the highest since the debt was last
 *      zero, at the highest cost of a page since then: what a page costs is measured and changes, and
 *      what is owed was reckoned as it was. Or 10 ms of refaults (8,333 pages at 1.2 us), if that is more. A young
 *      process has no more than those 10 ms and what it had earned in all its life until then.
 * [T4] A refault never raises the allowance above the recent peak of live.
 *
 * There is no lock: all words are atomic, and each is right by itself. A struct of zeros is ready.
 * All counts of pages are of granules, 4 KiB, whatever the system page is.
 *
 * Leaves out: the clock, what is live and retained (callers pass them), and the threshold itself.
 */
#ifndef NP_ARENA_THRASH_H
#define NP_ARENA_THRASH_H

#include "attr.h"

struct np_thrash {
    _Atomic size_t allowance_pages;
    _Atomic size_t peak_pages;     /* T3 */
    _Atomic size_t dearest_ns;     /* T3: the most that a page of the debt counted as */
    _Atomic uint64_t debt_ns;      /* T2, run time */
    _Atomic uint64_t earned_to_ns; /* the debt is right as of this time */
    _Atomic uint64_t start_ns;     /* the first call; 0: none yet */
    _Atomic uint64_t clear_ns;     /* the last time that there was no debt */

    /* The present epoch: when it began, and the extremes of what was retained since then. */
    _Atomic uint64_t epoch_ns;
    _Atomic size_t lowest_pages;
    _Atomic size_t highest_pages;

    /* What a page has cost lately, moving means of calls: to return it, and to put memory behind it again; 0: not
     * measured yet. */
    _Atomic uint32_t return_ns;
    _Atomic uint32_t fault_ns;
};

/* What a refault counts as, at least and at most. */
#define NP_THRASH_REFAULT_NS      UINT64_C(1200)
#define NP_THRASH_REFAULT_MAX_NS  UINT64_C(3000)

/* Memory that had been returned is taken back: `pages` of it, which live_pages has in it already.
 * now_ns: of any clock that does not go back; a caller that read it earlier than another and comes
 * later does no harm. */
void np_thrash_refault(struct np_thrash *thrash, size_t pages, size_t live_pages,
                       size_t retained_pages, uint64_t now_ns);

/* Pages were returned, or populated, in a system call that took so long. */
void np_thrash_note_return(struct np_thrash *thrash, size_t pages, uint64_t spent_ns);
void np_thrash_note_fault(struct np_thrash *thrash, size_t pages, uint64_t spent_ns);

/* To be called where memory becomes free, before any of it is returned; it lets the allowance fall.
 * Costs a few loads unless something is new. */
void np_thrash_look(struct np_thrash *thrash, size_t live_pages, size_t retained_pages,
                    uint64_t now_ns);

/* Lowers the allowance to at most so much: for a caller that has watched the program for an epoch, and
 * knows what it frees in that time. What is not freed cannot be taken back. */
void np_thrash_limit(struct np_thrash *thrash, size_t pages);

/* How long an epoch is now: so long that losing all of the allowance in it, and refaulting as much, costs
 * at most 1/32 of it, and no less than a second. */
uint64_t np_thrash_epoch_ns(const struct np_thrash *thrash);

/* What may be retained above the threshold. */
NP_INLINE size_t np_thrash_allowance_pages(const struct np_thrash *thrash)
{
    return atomic_load_explicit(&thrash->allowance_pages, memory_order_relaxed);
}

#endif
