/* counters.c: see counters.h. */
#include "counters.h"

#include <linux/perf_event.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *const counter_names[COUNTER_COUNT] = {
    [COUNTER_PAGE_FAULTS] = "page_faults",
    [COUNTER_INSTRUCTIONS] = "instructions",
    [COUNTER_CYCLES] = "cycles",
};

struct event {
    uint32_t type;
    uint64_t config;
    int is_user_only;               /* what the kernel does varies, and needs more permission */
};

static const struct event events[COUNTER_COUNT] = {
    [COUNTER_PAGE_FAULTS] = {PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS, 0},
    [COUNTER_INSTRUCTIONS] = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_INSTRUCTIONS, 1},
    [COUNTER_CYCLES] = {PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, 1},
};

static void open_all(struct counters *counters, pid_t process, int is_enabled_by_exec)
{
    for (int i = 0; i < COUNTER_COUNT; i++) {
        struct perf_event_attr attributes;

        memset(&attributes, 0, sizeof attributes);
        attributes.size = sizeof attributes;
        attributes.type = events[i].type;
        attributes.config = events[i].config;
        attributes.disabled = 1;
        attributes.inherit = 1;
        attributes.enable_on_exec = is_enabled_by_exec != 0;
        attributes.exclude_kernel = events[i].is_user_only != 0;
        attributes.exclude_hv = 1;
        counters->files[i] = (int)syscall(SYS_perf_event_open, &attributes, process, -1, -1,
                                          (unsigned long)PERF_FLAG_FD_CLOEXEC);
    }
}

void counters_open_for_command(struct counters *counters, pid_t process)
{
    open_all(counters, process, 1);
}

void counters_open_for_self(struct counters *counters)
{
    open_all(counters, 0, 0);
}

static void order_all(const struct counters *counters, unsigned long order)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (counters->files[i] >= 0)
            ioctl(counters->files[i], order, 0);
}

void counters_start(const struct counters *counters)
{
    order_all(counters, PERF_EVENT_IOC_ENABLE);
}

void counters_stop(const struct counters *counters)
{
    order_all(counters, PERF_EVENT_IOC_DISABLE);
}

int counter_read(const struct counters *counters, enum counter counter, uint64_t *value)
{
    int file = counters->files[counter];

    return file >= 0 && read(file, value, sizeof *value) == (ssize_t)sizeof *value;
}

void counters_close(const struct counters *counters)
{
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (counters->files[i] >= 0)
            close(counters->files[i]);
}
