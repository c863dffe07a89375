/* choose.h: `PROGRAM [--percent=N] [--threads=N] NAME`: runs one of the workloads in a list, on any
 * malloc.
 *
 * Prints where malloc came from and a checksum, which must be the same under every allocator. Time,
 * memory and instructions are measured from outside (measured.c). What each workload is:
 * docs/measuring.md.
 */
#ifndef WORKLOADS_CHOOSE_H
#define WORKLOADS_CHOOSE_H

#include "common.h"

#ifdef __cplusplus
extern "C" {
#endif

struct workload {
    const char *name;
    uint64_t (*run)(const struct plan *plan);
    unsigned thread_count;
    unsigned variant;
    const char *help;
};

/* What main returns. */
int choose_and_run(int argument_count, char **arguments, const struct workload *workloads,
                   size_t count);

#ifdef __cplusplus
}
#endif

#endif
