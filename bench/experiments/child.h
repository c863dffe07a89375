/* child.h: one run of an experiment in a process of its own.
 *
 * The program executes itself anew for each run, so that runs do not disturb one another and what
 * the parent has allocated (options, report) is not in the figures. Plans and reports, which hold
 * no pointers, pass through a socket; after its report the child sleeps until the parent lets go
 * of it. What is in them is the caller's affair: see life_child.h and return.c.
 *
 * main() must begin by asking np_child_is_wanted, before anything that could allocate.
 */
#ifndef NP_EXPERIMENTS_CHILD_H
#define NP_EXPERIMENTS_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct child {
    pid_t pid;
    int fd;         /* -1 once let go */
};

/* For the child. */

bool np_child_is_wanted(int argc, char **argv);

/* The plan that np_child_start was given. */
bool np_child_take_plan(void *plan, size_t plan_bytes);

bool np_child_tell(const void *bytes, size_t byte_count);

/* Sleeps until the parent lets go. */
void np_child_linger(void);

/* For the parent. */

/* Starts a child and gives it the plan. procs_fd is an open cgroup.procs that the child is to
 * enter first, or -1. False, with errno set, if there is no child. */
bool np_child_start(struct child *child, const void *plan, size_t plan_bytes, int procs_fd);

/* Waits for what the child tells. False if it ended before it had told all. */
bool np_child_hear(struct child *child, void *bytes, size_t byte_count);

/* Says how a child ended that np_child_hear waited for in vain. */
void np_child_describe_end(const struct child *child, char *text, size_t text_bytes);

/* Lets the child end, waits for that and returns the status as of waitpid. */
int np_child_end(struct child *child);

#endif
