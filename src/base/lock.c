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
NP_THREAD_LOCAL bool np_thread_forks_inside;
_Atomic bool np_is_fork_under_way;

/* By rank, the lock that this thread holds: a thread has one of each at the most. Set before the
 * lock is taken and cleared after it is freed, since a signal handler that forks looks here.
 * volatile: for that same thread. */
static NP_THREAD_LOCAL const struct np_lock *volatile locks_held[NP_RANK_META + 1];

/* Threads that wait for another one's fork with locks of ours in hand. */
static _Atomic uint32_t forks_inside;
static NP_THREAD_LOCAL bool has_given_way;

enum { FREE, HELD, HELD_AWAITED, HELD_FOR_FORK, ABANDONED };

/* A critical section of ours lasts some 100 ns; spinning that long is cheaper than sleeping. */
#define SPIN_COUNT 200

/* How often a fork that waits for a lock looks whether it has to give way, and how many looks it
 * waits for a lock whose holder may be one that waits for it. */
#define LOOK_NS 5000000
#define LOOKS_MAX 20

/* How many looks, a second, a thread waits for a lock that it holds itself. */
#define OWN_LOOKS_MAX 200

#define NAP_NS 100000

/* for_ns: 0: as long as it takes. */
static void futex(_Atomic uint32_t *word, int operation, uint32_t value, long for_ns)
{
    int saved_errno = errno;
    long timeout[2] = {0, for_ns}; /* the kernel's timespec */

    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, for_ns != 0 ? timeout : NULL,
            NULL, 0);
    errno = saved_errno;
}

static bool is_rising(const struct np_lock *lock)
{
    if (lock->rank == 0 || np_thread_forks_inside)
        return true;
    for (uint32_t rank = lock->rank; rank <= NP_RANK_META; rank++)
        if (locks_held[rank] != NULL)
            return false;
    return true;
}

static bool try_from_free(struct np_lock *lock, uint32_t to)
{
    uint32_t expected = FREE;

    return atomic_compare_exchange_strong_explicit(&lock->word, &expected, to,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* As holder, and not for a fork. What an interrupted critical section has noted stays noted. */
NP_INLINE bool try_to_hold(struct np_lock *lock, uint32_t to)
{
    bool is_noted = locks_held[lock->rank] == NULL;

    NP_ASSERT(is_rising(lock));
    if (is_noted)
        locks_held[lock->rank] = lock;
    if (try_from_free(lock, to))
        return true;
    if (is_noted)
        locks_held[lock->rank] = NULL;
    return false;
}

static bool try_spinning(struct np_lock *lock)
{
    for (unsigned spin = 0; spin < SPIN_COUNT; spin++) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

        if (word == FREE && try_to_hold(lock, HELD))
            return true;
        if (word >= HELD_FOR_FORK)
            return false;
        np_spin_pause();
    }
    return false;
}

/* Sleeps until the holder has let go, or for a time (0: without limit). It may have, or not. */
static void sleep_on(struct np_lock *lock, uint32_t word, long for_ns)
{
    if (word == HELD &&
        !atomic_compare_exchange_strong_explicit(&lock->word, &word, HELD_AWAITED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    futex(&lock->word, FUTEX_WAIT, HELD_AWAITED, for_ns);
}

/* A signal handler has interrupted this very thread in the critical section, and uses malloc; or has left it by longjmp. Not
 * at once: it may have been interrupted just before it got the lock, and then others will release it. */
static void require_other_holder(const struct np_lock *lock, unsigned looks)
{
    if (NP_UNLIKELY(looks == OWN_LOOKS_MAX && np_lock_is_own(lock)))
        np_die("this thread would wait for itself: a signal handler uses malloc, or has left it by longjmp");
}

/* Sleeps until the lock is ours; false when a fork has it, or nobody can. */
static bool wait_for(struct np_lock *lock)
{
    for (unsigned looks = 1;; looks++) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

        if (word >= HELD_FOR_FORK)
            return false;
        if (word != FREE)
            sleep_on(lock, word, np_lock_is_own(lock) ? LOOK_NS : 0);
        else if (try_to_hold(lock, HELD_AWAITED))
            return true;
        require_other_holder(lock, looks);
    }
}

static NP_NOINLINE bool try_slowly(struct np_lock *lock)
{
    if (try_spinning(lock))
        return true;
    return np_thread_is_forking && atomic_load(&lock->word) == HELD_FOR_FORK;
}

bool np_lock_try(struct np_lock *lock)
{
    return NP_LIKELY(try_to_hold(lock, HELD)) || try_slowly(lock);
}

static NP_NOINLINE bool acquire_slowly(struct np_lock *lock)
{
    if (try_slowly(lock))
        return true;
    /* In the child, before our handler has run, the holder of what was not held for the fork
     * (the locks of the arena for forks) is not there to release it. */
    if (np_thread_is_forking)
        return false;
    return wait_for(lock);
}

bool np_lock_acquire(struct np_lock *lock)
{
    return NP_LIKELY(try_to_hold(lock, HELD)) || acquire_slowly(lock);
}

void np_lock_release(struct np_lock *lock)
{
    uint32_t word;

    if (NP_UNLIKELY(np_thread_is_forking &&
                    atomic_load_explicit(&lock->word, memory_order_relaxed) == HELD_FOR_FORK))
        return; /* the fork holds it, not this critical section */
    word = atomic_exchange_explicit(&lock->word, FREE, memory_order_release);
    if (locks_held[lock->rank] == lock)
        locks_held[lock->rank] = NULL; /* before the system call, at the end of which signals come */
    if (word == HELD_AWAITED)
        futex(&lock->word, FUTEX_WAKE, 1, 0);
}

bool np_lock_is_any_held(void)
{
    for (uint32_t rank = 0; rank <= NP_RANK_META; rank++)
        if (locks_held[rank] != NULL)
            return true;
    return false;
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

/* A signal handler that forks may have interrupted this very thread inside the critical section;
 * it goes on there in parent and child alike, so the lock stays as it is. */
bool np_lock_is_own(const struct np_lock *lock)
{
    return locks_held[lock->rank] == lock &&
           atomic_load_explicit(&lock->word, memory_order_relaxed) != FREE;
}

/* Two forks at a time are kept apart by the caller, so the lock is never in state 3 here. Who
 * holds it may be in a handler that waits for our fork: then we give way. Or our own handler
 * forks, and the holder waits for a lock that we have: then we do without after a while. */
static void hold_for_fork(struct np_lock *lock)
{
    bool is_inside = np_lock_is_any_held();

    for (unsigned looks = 0; !try_from_free(lock, HELD_FOR_FORK);) {
        uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

        if (word == ABANDONED || (is_inside && ++looks == LOOKS_MAX))
            return;
        if (!is_inside && np_lock_must_give_way())
            return;
        if (word != FREE)
            sleep_on(lock, word, LOOK_NS);
    }
    futex(&lock->word, FUTEX_WAKE, INT_MAX, 0);
}

/* In a child: who had the lock, and not for the fork, is not here. */
static bool is_orphaned(const struct np_lock *lock)
{
    uint32_t word = atomic_load_explicit(&lock->word, memory_order_relaxed);

    return (word == HELD || word == HELD_AWAITED) && !np_lock_is_own(lock);
}

void np_lock_fork(struct np_lock *lock, enum np_fork_phase phase)
{
    if (phase == NP_FORK_PREPARE) {
        if (!has_given_way && !np_lock_is_own(lock))
            hold_for_fork(lock);
    } else if (atomic_load_explicit(&lock->word, memory_order_relaxed) == HELD_FOR_FORK) {
        atomic_store_explicit(&lock->word, FREE, memory_order_release);
    } else if (phase == NP_FORK_CHILD && is_orphaned(lock)) {
        np_lock_abandon(lock);
    }
}

void np_lock_begin_fork_inside(void)
{
    atomic_fetch_add(&forks_inside, 1);
}

void np_lock_end_fork_inside(void)
{
    if (atomic_fetch_sub(&forks_inside, 1) == 1)
        futex(&forks_inside, FUTEX_WAKE, INT_MAX, 0);
}

bool np_lock_must_give_way(void)
{
    if (!np_lock_is_any_held() && atomic_load(&forks_inside) > 0)
        has_given_way = true;
    return has_given_way;
}

bool np_lock_has_given_way(void)
{
    uint32_t count;

    if (!has_given_way)
        return false;
    has_given_way = false;
    while ((count = atomic_load(&forks_inside)) > 0)
        futex(&forks_inside, FUTEX_WAIT, count, LOOK_NS);
    return true;
}

void np_lock_nap(void)
{
    static _Atomic uint32_t word; /* never changes */

    futex(&word, FUTEX_WAIT, 0, NAP_NS);
}

void np_lock_forget_forks_inside(void)
{
    atomic_store(&forks_inside, 0);
}
