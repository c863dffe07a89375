/* The handlers that fork runs: all our locks are taken in rising rank, held while the kernel copies the address space,
 * and freed on both sides. While they are held nobody waits for them (lock.h), so it does not matter
 * which locks of libc or of the program the other threads hold.
 *
 * In the child only the forking thread exists. The others' heaps, with the slabs they held open, are lost to
 * it, as their stacks are; the slabs' live blocks can be freed as always.
 */
#include "fork.h"

#include <pthread.h>

#include "arena.h"
#include "depot.h"
#include "helper.h"
#include "lock.h"
#include "return.h"
#include "thread.h"

/* Keeps two forking threads apart; not ranked, since it is taken before everything else and never by malloc. */
static pthread_mutex_t one_fork = PTHREAD_MUTEX_INITIALIZER;

static void each_lock(enum np_fork_phase phase)
{
    np_thread_fork(phase);
    np_depot_fork(phase);
    np_arena_fork(phase);
    np_thread_fork_pool(phase);
    np_return_fork(phase);
}

void np_fork_prepare(void)
{
    pthread_mutex_lock(&one_fork);
    atomic_store(&np_is_fork_under_way, true);
    np_helper_fork(NP_FORK_PREPARE);
    each_lock(NP_FORK_PREPARE);
    np_thread_is_forking = true;
}

void np_fork_parent(void)
{
    np_thread_is_forking = false;
    each_lock(NP_FORK_PARENT);
    np_helper_fork(NP_FORK_PARENT);
    atomic_store(&np_is_fork_under_way, false);
    np_depot_settle_aside();
    np_arena_settle_deferred();
    np_return_excess();
    pthread_mutex_unlock(&one_fork);
}

void np_fork_child(void)
{
    np_thread_is_forking = false;
    each_lock(NP_FORK_CHILD);
    np_helper_fork(NP_FORK_CHILD);
    atomic_store(&np_is_fork_under_way, false);
    /* What other threads had put aside, or were visiting. */
    np_depot_settle_aside();
    np_return_settle_in_child();
    pthread_mutex_unlock(&one_fork);
}

__attribute__((constructor)) static void register_handlers(void)
{
    (void)pthread_atfork(np_fork_prepare, np_fork_parent, np_fork_child);
}
