/* cgroup.h: one memory cgroup for the length of an experiment, of version 2 or 1.
 *
 * There is at most one at a time. It is removed, and what runs in it is killed, by
 * np_cgroup_remove, at exit, and by SIGINT, SIGTERM and SIGHUP. Main thread only.
 */
#ifndef NP_EXPERIMENTS_CGROUP_H
#define NP_EXPERIMENTS_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

enum cgroup_swap {
    CGROUP_SWAP_LIMITED,    /* the cgroup may not swap */
    CGROUP_SWAP_ABSENT,     /* the machine has none */
    CGROUP_SWAP_FREE        /* it has some, and the cgroup cannot be kept from it */
};

struct cgroup_oom {
    uint64_t kill_count;
    char source[64];        /* the file and the field that say so */
};

/* Makes a cgroup as near the top of the hierarchy as this process may, and sees that a process
 * can enter it. False if there is none to be had; np_cgroup_reason says why in one sentence. */
bool np_cgroup_make(void);
const char *np_cgroup_reason(void);

bool np_cgroup_limit(uint64_t limit_bytes, enum cgroup_swap *swap);

/* An open cgroup.procs for np_child_start, or -1. The caller closes it. */
int np_cgroup_open_procs(void);

/* False where this kernel does not count (version 1 before Linux 4.13). */
bool np_cgroup_read_oom(struct cgroup_oom *oom);

int np_cgroup_version(void);
const char *np_cgroup_path(void);

/* False if it would not go away. */
bool np_cgroup_remove(void);

#endif
