/* How a thread's end is noticed. */
#ifndef NP_CORE_THREAD_END_H
#define NP_CORE_THREAD_END_H

#include <stdbool.h>

/* What np_thread_at_end allocates at the most, in one piece. */
#define NP_THREAD_END_BYTES 64

/* Calls end in this thread when it ends. Allocates; glibc ends the process if that fails. False: it
 * will not be called. */
bool np_thread_at_end(void (*end)(void));

#endif
