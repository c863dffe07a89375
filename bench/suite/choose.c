/* choose.c: see choose.h. */
#include "choose.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print_help(const struct workload *workloads, size_t count)
{
    puts("Usage: workloads [--percent=N] [--threads=N] NAME\n"
         "Runs one workload on the malloc that the program was started with.\n\n"
         "  --percent=N   the share of the usual number of operations (100)\n"
         "  --threads=N   1, 2, 4, 8, 16, 32 or 64 threads in place of the usual number\n"
         "  --quiet       print nothing\n"
         "  --list        the names, one a line\n"
         "  --help        this text\n");
    for (size_t i = 0; i < count; i++)
        printf("  %-16s %s\n", workloads[i].name, workloads[i].help);
}

static _Noreturn void misused(const char *argument)
{
    fprintf(stderr, "workloads: '%s' is not understood; see --help\n", argument);
    exit(2);
}

static const struct workload *find_workload(const struct workload *workloads, size_t count,
                                            const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    misused(name);
}

/* What follows the equals sign: 1 .. limit. */
static unsigned parse_number(const char *argument, unsigned long limit)
{
    const char *text = strchr(argument, '=') + 1;
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > limit)
        misused(argument);
    return (unsigned)value;
}

/* Tables are shared out in equal parts, and pipes are pairs of threads. */
static unsigned parse_threads(const char *argument)
{
    unsigned count = parse_number(argument, THREAD_MAX);

    if ((count & (count - 1)) != 0)
        misused(argument);
    return count;
}

/* Which file malloc comes from, as the loader bound it. */
static const char *file_of_malloc(void)
{
    void *(*address)(size_t) = malloc;
    void *object;
    Dl_info info;

    memcpy(&object, &address, sizeof object);
    return dladdr(object, &info) != 0 ? info.dli_fname : "?";
}

int choose_and_run(int argument_count, char **arguments, const struct workload *workloads,
                   size_t count)
{
    struct plan plan = {.percent = 100};
    const struct workload *chosen = NULL;
    int is_quiet = 0;
    uint64_t sum;

    for (int i = 1; i < argument_count; i++) {
        const char *argument = arguments[i];

        if (strcmp(argument, "--help") == 0) {
            print_help(workloads, count);
            return 0;
        } else if (strcmp(argument, "--list") == 0) {
            for (size_t w = 0; w < count; w++)
                puts(workloads[w].name);
            return 0;
        } else if (strcmp(argument, "--quiet") == 0) {
            is_quiet = 1;
        } else if (strncmp(argument, "--percent=", 10) == 0) {
            plan.percent = parse_number(argument, 100);
        } else if (strncmp(argument, "--threads=", 10) == 0) {
            plan.thread_count = parse_threads(argument);
        } else if (chosen != NULL) {
            misused(argument);
        } else {
            chosen = find_workload(workloads, count, argument);
        }
    }
    if (chosen == NULL)
        misused("");
    if (plan.thread_count == 0)
        plan.thread_count = chosen->thread_count;
    plan.variant = chosen->variant;
    sum = chosen->run(&plan);
    if (!is_quiet)
        printf("malloc: %s\nchecksum: %016llx\n", file_of_malloc(), (unsigned long long)sum);
    return 0;
}
