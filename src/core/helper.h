/* The helper thread: it takes the last step of giving back when a program that thrashed goes idle.
 *
 * What is retained is bounded at every free, without it. But the thrash allowance (arena/thrash.h)
 * raises that bound while the program frees and takes back much in turn, and falls only when the
 * program calls; if it stops with all of it free, that stays. The helper is the clock that is
 * missing: as long as there is an allowance, it compares that with what the program has freed in
 * the last epoch, lowers it to that, and returns what is above the threshold then.
 *
 * NEAP_HELPER says whether there may be one: 0 never, 1 in any process, otherwise (auto) in one in
 * which another thread has a heap. It is started by a malloc that finds an allowance worth a
 * thread, and ends when that is gone, so a program that does not thrash never has it. It allocates
 * nothing and has no heap.
 *
 * Why it can be started from inside malloc, and from there only: docs/decisions/helper-thread.md.
 *
 * Owns the thread, and the mutex that keeps its work apart from forks. Leaves out the allowance
 * itself.
 */
#ifndef NP_CORE_HELPER_H
#define NP_CORE_HELPER_H

#include "arena.h"
#include "attr.h"
#include "lock.h"

/* An allowance below this is not worth a thread: as much as the threshold is at the least. */
#define NP_HELPER_FROM_BYTES ((size_t)1 << 20)

/* Starts the helper if there is none and may be one. caller: an address in the code that asked
 * malloc. */
void np_helper_want(const void *caller);

/* To be called where malloc returns from its slow path, with no lock held. */
NP_INLINE void np_helper_look(const void *caller)
{
    if (NP_UNLIKELY(np_arena_allowance_bytes() >= NP_HELPER_FROM_BYTES))
        np_helper_want(caller);
}

/* PREPARE waits until the helper is between two batches and keeps it there; the child has none. To
 * be called before any lock is taken. */
void np_helper_fork(enum np_fork_phase phase);

/* How often the helper looks in an epoch. */
#define NP_HELPER_LOOKS 8

/* What the helper has seen: how much had ever become free, at its last looks. Zeros: nothing
 * yet. */
struct np_helper_watch {
    unsigned count;
    struct np_helper_sight {
        uint64_t at_ns;
        uint64_t freed_bytes;
    } sights[NP_HELPER_LOOKS + 1]; /* newest first */
};

/* One look, and what is to be done after it. False: there is nothing left to watch. */
bool np_helper_step(struct np_helper_watch *watch, uint64_t now_ns);

/* True from before it is started until it has nothing to do any more; for tests. */
bool np_helper_is_running(void);

#endif
