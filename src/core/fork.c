/* The handlers that fork runs: all our locks are taken in rising rank, held while the kernel copies
 * the address space, and freed on both sides. While they are held nobody waits for them (lock.h),
 * so it does not matter which locks of libc or of the program the other threads hold.
 *
 * A handler of a signal may fork, too, wherever it has interrupted us. The lock of a critical
 * section that it is inside of stays as it is; nothing may wait for that one then.
 *
 * In the child only the forking thread exists. The others' heaps, with the slabs they held open,
 * are lost to it, as their stacks are; the slabs' live blocks can be freed as always. */
#include "fork.h"

#include <pthread.h>
#include <signal.h>

#include "ahead.h"
#include "alone.h"
#include "arena.h"
#include "depot.h"
#include "helper.h"
#include "lock.h"
#include "return.h"
#include "thread.h"

/* Keeps two forking threads apart; not ranked, since it is taken before everything else and
 * never by malloc. */
static pthread_mutex_t one_fork = PTHREAD_MUTEX_INITIALIZER;

static void each_lock(enum np_fork_phase phase)
{
    np_thread_fork(phase);
    np_depot_fork(phase);
    np_arena_fork(phase);
    np_thread_fork_pool(phase);
    np_return_fork(phase);
}

/* From prepare to the end no signal handler runs in the forking thread: one that forks, too,
 * would wait for its own thread. Signals of a crash are let through. */
static sigset_t signals_before;

static void block_signals(sigset_t *before)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS};
    sigset_t all;

    (void)sigfillset(&all);
    for (size_t at = 0; at < sizeof crashes / sizeof crashes[0]; at++)
        (void)sigdelset(&all, crashes[at]);
    (void)pthread_sigmask(SIG_BLOCK, &all, before);
}

/* In a handler that has interrupted a critical section, whoever forks at the moment has to give
 * way. Nobody waits with signals blocked. */
static void begin(void)
{
    bool is_inside = np_lock_is_any_held();
    sigset_t before;

    if (is_inside)
        np_lock_begin_fork_inside();
    block_signals(&before);
    while (pthread_mutex_trylock(&one_fork) != 0) {
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
        np_lock_nap();
        block_signals(&before);
    }
    if (is_inside)
        np_lock_end_fork_inside();
    np_thread_forks_inside = is_inside;
    signals_before = before;
    atomic_store(&np_is_fork_under_way, true);
}

static void end(void)
{
    sigset_t before = signals_before;

    np_thread_forks_inside = false;
    pthread_mutex_unlock(&one_fork);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void np_fork_prepare(void)
{
    for (;;) {
        begin();
        np_helper_fork(NP_FORK_PREPARE);
        each_lock(NP_FORK_PREPARE);
        np_thread_is_forking = true;
        if (!np_lock_must_give_way())
            return;
        np_fork_parent();
        (void)np_lock_has_given_way();
    }
}

/* What others have put aside meanwhile. Not before the end: this waits for locks, and who holds
 * them may be in a handler that waits to fork. Inside a critical section of our own, which a
 * handler has interrupted, no lock may be waited for: then it is left to the next fork or trim. */
static void settle(void)
{
    if (np_lock_is_any_held())
        return;
    np_depot_settle_aside();
    np_arena_settle_deferred();
    /* With one thread there is no more than before the fork, and the handler may have interrupted a step that is plain
     * then (alone.h): nothing may be visited in the middle of it. */
    if (np_is_alone())
        return;
    /* What others have opened meanwhile, without a limit, and may sleep on. */
    for (const struct np_heap *heap = np_thread_heaps(); heap != NULL; heap = heap->next)
        if (NP_OWNER_GET(heap->is_beyond_limit)) {
            (void)np_return_from_resting(SIZE_MAX);
            break;
        }
    np_return_excess();
}

void np_fork_parent(void)
{
    np_thread_is_forking = false;
    each_lock(NP_FORK_PARENT);
    np_helper_fork(NP_FORK_PARENT);
    atomic_store(&np_is_fork_under_way, false);
    end();
    settle();
}

/* What other threads had put aside, or were visiting. */
static void settle_in_child(void)
{
    if (np_lock_is_any_held())
        return;
    np_depot_settle_aside();
    np_return_settle_in_child();
    np_ahead_settle_in_child();
    /* Whoever has posted runs, and was to look next whether too much is retained, may not be here. */
    if (!np_is_alone()) /* as above */
        np_return_excess();
}

void np_fork_child(void)
{
    np_thread_is_forking = false;
    np_lock_forget_forks_inside();
    each_lock(NP_FORK_CHILD);
    np_helper_fork(NP_FORK_CHILD);
    atomic_store(&np_is_fork_under_way, false);
    settle_in_child();
    end();
}

__attribute__((constructor)) static void register_handlers(void)
{
    (void)pthread_atfork(np_fork_prepare, np_fork_parent, np_fork_child);
}
