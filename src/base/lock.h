/* A ranked lock that a forking thread may hold without anybody waiting for it.
 *
 * fork() runs our prepare handler before libc takes its own locks (stdio's among them). So while a
 * thread forks with our locks held, another thread may hold stdio's lock and want one of ours; if
 * it waited, fork would never end. Therefore np_lock_acquire answers false instead of waiting when
 * the lock is held for a fork, and every caller has a way to do without (another arena, a slab of
 * its own, a list of things to do later). The forking thread itself passes freely meanwhile.
 *
 * A thread takes locks in rising rank only; debug builds check it. No system call but the futex
 * itself is made under a lock, except where a comment at the lock says. */
#ifndef NP_BASE_LOCK_H
#define NP_BASE_LOCK_H

#include "attr.h"

enum np_lock_rank {
    NP_RANK_THREADS = 1, /* core: parked heaps, the homeless heap */
    NP_RANK_DEPOT,       /* heap: closed slabs with room, one lock a class */
    NP_RANK_BREAK,       /* arena: growing and shrinking; held across sbrk and mmap */
    NP_RANK_ARENA,       /* arena: runs */
    NP_RANK_META         /* meta: pools of bookkeeping structures */
};

struct np_lock {
    _Atomic uint32_t word; /* 0 free, 1 held, 2 held and somebody sleeps, 3 held for a fork, 4 abandoned */
    uint32_t rank;         /* enum np_lock_rank; 0 in debug builds: unchecked */
};

#define NP_LOCK_INIT(rank_) { 0, (rank_) }

enum np_fork_phase { NP_FORK_PREPARE, NP_FORK_PARENT, NP_FORK_CHILD };

/* False: a thread that is in fork() holds it; do without. True: held, release it. */
bool np_lock_acquire(struct np_lock *lock);

/* Spins a little, does not sleep. False: somebody else has it. */
bool np_lock_try(struct np_lock *lock);

void np_lock_release(struct np_lock *lock);

/* Whether a thread is in the critical section at this moment: not for a fork, and it will leave it. */
NP_INLINE bool np_lock_is_taken(const struct np_lock *lock)
{
    return atomic_load_explicit(&lock->word, memory_order_relaxed) - 1 < 2;
}

/* PREPARE waits for the holder (who never waits for a fork) and keeps the lock for the fork; PARENT
 * and CHILD free it. Call for all locks in rising rank. */
void np_lock_fork(struct np_lock *lock, enum np_fork_phase phase);

/* In the child of a fork, for a lock that was not kept for it: a thread that is not in the child
 * may have held it, amid changes. From now on nobody gets it: np_lock_acquire answers false. */
void np_lock_abandon(struct np_lock *lock);

/* True in the thread that is between PREPARE and PARENT or CHILD. */
extern NP_THREAD_LOCAL bool np_thread_is_forking;

/* True in the thread that forks in a signal handler, inside an interrupted critical section of
 * ours: ranks are not asked after then. */
extern NP_THREAD_LOCAL bool np_thread_forks_inside;

/* True while some thread of the process forks: callers may then exceed their usual limits. */
extern _Atomic bool np_is_fork_under_way;

/* True when this thread is inside a critical section of ours: a signal handler asks, before it
 * waits for another thread that may want the same lock. */
bool np_lock_is_any_held(void);

/* True when it is inside that of this lock. */
bool np_lock_is_own(const struct np_lock *lock);

/* A handler that has interrupted a critical section of ours, and forks, waits between these two for
 * the fork of another thread; that one waits for the lock of the critical section, and has to give
 * way. */
void np_lock_begin_fork_inside(void);
void np_lock_end_fork_inside(void);

/* True if PREPARE, in this thread, is to go no further: np_lock_fork does nothing any more, and the
 * caller undoes it by PARENT. */
bool np_lock_must_give_way(void);

/* True if it has; then waits until those inside have forked, and PREPARE may begin again. */
bool np_lock_has_given_way(void);

/* Sleeps for 100 us, or less. */
void np_lock_nap(void);

/* For the child: whoever waited is not there. */
void np_lock_forget_forks_inside(void);

/* True when this lock is held for a fork by another thread, or abandoned. */
bool np_lock_is_held_for_fork(const struct np_lock *lock);

#endif
