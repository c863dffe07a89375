/* Threads come and go: whose heap is whose.
 *
 * A thread gets a heap at its first slow malloc: a parked one, current slabs and all, or a new one. At its
 * end the heap is parked; it keeps open slabs as long as all parked heaps together hold at most
 * PARKED_MAX_BYTES (half of P1's 512 KiB; the homeless heap has the other half), and closes the others. After its end
 * (libc frees and allocates after the last destructor) a thread uses the homeless heap, under a lock.
 *
 * The first thread's heap is never parked: destructors of static objects run in that thread after its
 * thread-local ones.
 *
 * The lock of rank NP_RANK_THREADS guards the parked list and the homeless heap.
 */
#ifndef NP_CORE_THREAD_H
#define NP_CORE_THREAD_H

#include "heap.h"
#include "lock.h"

/* This thread's heap, made if it has none and may have one; NULL: after the thread's end, or no memory. */
struct np_heap *np_thread_heap(void);

/* The same without making one. */
struct np_heap *np_thread_heap_if_any(void);

/* The heap for threads without one, its lock held; NULL: a fork has the lock. */
struct np_heap *np_thread_homeless_acquire(void);
void np_thread_homeless_release(void);

/* Lets the fast path serve this thread, or sends every call the slow way (M_PERTURB). */
void np_thread_apply_knobs(void);

/* All heaps ever made, newest first; heaps are never freed. */
struct np_heap *np_thread_heaps(void);

/* Closes what parked heaps and the homeless one hold entirely free, or with free pages. */
void np_thread_trim_parked(void);

/* Reads the environment, once it is there; cheap when done. */
void np_thread_read_environment(void);

/* The lock of rank NP_RANK_THREADS; and, to be called after all locks of lower rank, that of the heaps' pool. */
void np_thread_fork(enum np_fork_phase phase);
void np_thread_fork_pool(enum np_fork_phase phase);

#endif
