/* counters.h: what the processor and the kernel count of a process and of all that it starts.
 *
 * Page faults are the kernel's own event and can be counted nearly everywhere; unlike the minor
 * faults of getrusage they do not include pages that were populated ahead. Instructions and cycles
 * need counters that a virtual machine often hides, and all of them the kernel's permission
 * (/proc/sys/kernel/perf_event_paranoid).
 */
#ifndef SUITE_COUNTERS_H
#define SUITE_COUNTERS_H

#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum counter { COUNTER_PAGE_FAULTS, COUNTER_INSTRUCTIONS, COUNTER_CYCLES, COUNTER_COUNT };

struct counters {
    int files[COUNTER_COUNT];       /* -1 where nothing can be counted */
};

extern const char *const counter_names[COUNTER_COUNT];

/* Of a process that waits to call execve, from that call on. */
void counters_open_for_command(struct counters *counters, pid_t process);
/* Of this process and threads that it makes later; stopped. */
void counters_open_for_self(struct counters *counters);
void counters_start(const struct counters *counters);
void counters_stop(const struct counters *counters);

/* Returns 0 where that is not counted, otherwise 1 and the count. */
int counter_read(const struct counters *counters, enum counter counter, uint64_t *value);
void counters_close(const struct counters *counters);

#ifdef __cplusplus
}
#endif

#endif
