/* child.h: a life in a process of its own.
 *
 * The program executes itself anew for each life, so that sizes do not disturb one another and
 * what the parent has allocated (options, report) is not in the figures. Plan, report and samples
 * pass through a socket; after its report the child sleeps until the parent lets go of it.
 *
 * main() must begin with `if (np_child_is_wanted(argc, argv)) return np_child_main();`, before
 * anything that could allocate.
 */
#ifndef NP_EXPERIMENTS_CHILD_H
#define NP_EXPERIMENTS_CHILD_H

#include "life.h"

#include <sys/types.h>

struct child {
    pid_t pid;
    int fd;         /* -1 once let go */
};

bool np_child_is_wanted(int argc, char **argv);

/* In the child: returns the exit status. */
int np_child_main(void);

/* Starts a life. procs_fd is an open cgroup.procs that the child is to enter first, or -1.
 * False, with errno set, if there is no child. */
bool np_child_start(struct child *child, const struct life_plan *plan, int procs_fd);

/* Waits for the report. *samples becomes malloced memory for the caller to free, or NULL where
 * the plan is not traced. False if the child ended before it reported, or the life failed: then
 * report->error says why. */
bool np_child_read(struct child *child, struct life_report *report,
                   struct life_sample **samples);

/* Lets the child end, waits for that and returns the status as of waitpid. */
int np_child_end(struct child *child);

#endif
