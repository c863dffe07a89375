/* life_child.h: a life (life.h) in a process of its own (child.h). */
#ifndef NP_EXPERIMENTS_LIFE_CHILD_H
#define NP_EXPERIMENTS_LIFE_CHILD_H

#include "child.h"
#include "life.h"

/* In the child: returns the exit status. */
int np_life_child_main(void);

/* As np_child_start. */
bool np_life_child_start(struct child *child, const struct life_plan *plan, int procs_fd);

/* Waits for the report. *samples becomes malloced memory for the caller to free, or NULL where
 * the plan is not traced. False if the child ended before it reported, or the life failed: then
 * report->error says why. */
bool np_life_child_read(struct child *child, struct life_report *report,
                        struct life_sample **samples);

#endif
