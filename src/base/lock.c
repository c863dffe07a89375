/* The lock word's transitions. See lock.h for why there is a state "held for a fork".
 *
 * 0 -> 1, 0 -> 2   acquire (2 by a thread that has slept: others may sleep still)
 * 1 -> 2           a waiter announces itself before it sleeps
 * 1 -> 0, 2 -> 0   release; from 2 it wakes one sleeper
 * 0 -> 3           the forking thread; it wakes all sleepers, who then see 3 and do without
 * 3 -> 0           the same thread after the fork, or the only thread of the child
 * any -> 4         abandoned, by the only thread of a child; for ever
 *
 * Why it is right: only compare-and-swap leaves state 0, so there is one holder. A sleeper sleeps
 * on the value 2 only, and whoever moves the word away from 2 wakes somebody, so none sleeps for
 * ever. Acquire on success pairs with the release in np_lock_release and np_lock_fork.
 */
#include "lock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"

NP_THREAD_LOCAL bool np_thread_is_forking;
_Atomic bool np_is_fork_under_way;

static NP_THREAD_LOCAL uint32_t ranks_held; /* bit r: this thread holds a lock of rank r */

enum { FREE, HELD, HELD_AWAITED, HELD_FOR_FORK, ABANDONED };

/* A critical section of ours lasts some 100 ns; spinning that long is cheaper than sleeping. */
#define SPIN_COUNT 200

static void futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    int saved_errno = errno;

    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
    errno = saved_errno;
}

static void note_held(const struct np_lock *lock)
{
    NP_ASSERT(lock->rank == 0 || (ranks_held >> lock->rank) == 0);
    ranks_held |= UINT32_C(1) << lock->rank;
}

static bool try_from_free(struct np_lock *lock, uint32_t to)
{
    uint32_t expected = FREE;

    return atomic_compare_exchange_strong_explicit(&lock->word, &expected, to,
                                                   memory_order_acquire, memory_order_relaxed);
}

static bool try_spinning(struct np_lock *lock)
{
    for (unsigned spin = 0; spin < SPIN_COUNT; spin++) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

        if (word == FREE && try_from_free(lock, HELD))
            return true;
        if (word >= HELD_FOR_FORK)
            return false;
        np_spin_pause();
    }
    return false;
}

/* Sleeps until the lock is ours in state `to`; false when a fork has it, or nobody can. */
static bool wait_for(struct np_lock *lock, uint32_t to)
{
    for (;;) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

        if (word == FREE) {
            if (try_from_free(lock, to))
                return true;
            continue;
        }
        if (word >= HELD_FOR_FORK)
            return false;
        if (word == HELD &&
            !atomic_compare_exchange_strong_explicit(&lock->word, &word, HELD_AWAITED,
                                                     memory_order_relaxed, memory_order_relaxed))
            continue;
        futex(&lock->word, FUTEX_WAIT, HELD_AWAITED);
    }
}

bool np_lock_try(struct np_lock *lock)
{
    if (NP_LIKELY(try_from_free(lock, HELD)) || try_spinning(lock)) {
        note_held(lock);
        return true;
    }
    return np_thread_is_forking && atomic_load(&lock->word) == HELD_FOR_FORK;
}

bool np_lock_acquire(struct np_lock *lock)
{
    if (np_lock_try(lock))
        return true;
    /* In the child, before our handler has run, the holder of what was not held for the fork (the locks of the arena for
     * forks) is not there to release it. */
    if (np_thread_is_forking)
        return false;
    if (!wait_for(lock, HELD_AWAITED))
        return np_thread_is_forking && atomic_load(&lock->word) == HELD_FOR_FORK;
    note_held(lock);
    return true;
}

void np_lock_release(struct np_lock *lock)
{
    if (NP_UNLIKELY(np_thread_is_forking &&
                    atomic_load_explicit(&lock->word, memory_order_relaxed) == HELD_FOR_FORK))
        return; /* the fork holds it, not this critical section */
    ranks_held &= ~(UINT32_C(1) << lock->rank);
    if (atomic_exchange_explicit(&lock->word, FREE, memory_order_release) == HELD_AWAITED)
        futex(&lock->word, FUTEX_WAKE, 1);
}

bool np_lock_is_any_held(void)
{
    return ranks_held != 0;
}

bool np_lock_is_held_for_fork(const struct np_lock *lock)
{
    uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    return word == ABANDONED || (word == HELD_FOR_FORK && !np_thread_is_forking);
}

void np_lock_abandon(struct np_lock *lock)
{
    atomic_store(&lock->word, ABANDONED);
}

void np_lock_fork(struct np_lock *lock, enum np_fork_phase phase)
{
    if (phase == NP_FORK_PREPARE) {
        /* A signal handler that forks may have interrupted this very thread inside the critical
         * section; it goes on there in parent and child alike, so the lock stays as it is. */
        if ((ranks_held >> lock->rank) & 1)
            return;
        /* Two forks at a time are kept apart by the caller, so the lock is never in state 3 here. */
        wait_for(lock, HELD_FOR_FORK);
        futex(&lock->word, FUTEX_WAKE, INT_MAX);
    } else if (atomic_load_explicit(&lock->word, memory_order_relaxed) == HELD_FOR_FORK) {
        atomic_store_explicit(&lock->word, FREE, memory_order_release);
    }
}
