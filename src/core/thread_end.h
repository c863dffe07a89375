/* How a thread's end is noticed. */
#ifndef NP_CORE_THREAD_END_H
#define NP_CORE_THREAD_END_H

/* Calls end in this thread when it ends. May allocate. */
void np_thread_at_end(void (*end)(void));

#endif
