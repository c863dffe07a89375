/* fork in a program with threads. Registered by a constructor; owns the order of all locks. */
#ifndef NP_CORE_FORK_H
#define NP_CORE_FORK_H

/* The handlers, for tests that cannot fork. */
void np_fork_prepare(void);
void np_fork_parent(void);
void np_fork_child(void);

#endif
