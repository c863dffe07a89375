/* workloads.c: `workloads [--percent=N] NAME`: runs one workload, on any malloc.
 *
 * Prints where malloc came from and a checksum, which must be the same under every allocator. Time,
 * memory and instructions are measured from outside (measured.c). What each workload is:
 * docs/measuring.md.
 */
#include "common.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct workload {
    const char *name;
    uint64_t (*run)(const struct plan *plan);
    unsigned thread_count;
    const char *help;
};

static uint64_t run_start(const struct plan *plan);
static uint64_t run_small(const struct plan *plan);

static const struct workload workloads[] = {
    {"churn", run_churn, 1, "blocks of mixed sizes and ages, one thread"},
    {"tree", run_tree, 1, "trees, hash tables and strings, built and torn down at once"},
    {"server1", run_server, 1, "blocks replaced at random, each thread followed by another"},
    {"server2", run_server, 2, "the same, two threads at a time"},
    {"server16", run_server, 16, "the same, sixteen threads at a time"},
    {"pipe", run_pipe, 2, "one thread allocates, another frees"},
    {"threads", run_threads, 4, "many short-lived threads"},
    {"big", run_big, 1, "buffers of 1 to 32 MiB, every page written"},
    {"grow", run_grow, 1, "buffers that grow by realloc"},
    {"zeroed", run_zeroed, 1, "calloc of records and of tables"},
    {"start", run_start, 1, "a small program, started again and again"},
    {"small", run_small, 1, "that small program, once"},
};

enum { WORKLOAD_COUNT = sizeof workloads / sizeof workloads[0] };

/* small: what a short command does: some hundred blocks, not all of them freed. */
static uint64_t run_small(const struct plan *plan)
{
    struct random random = seeded(7);
    uint64_t sum = 0;

    for (size_t left = scaled(plan, 500); left > 0; left--) {
        size_t byte_count = random_size(&random);
        void *block = take(byte_count);

        fill(block, byte_count, left);
        sum += read_back(block, byte_count);
        if (left % 4 != 0)
            free(block);
    }
    return sum;
}

/* start: time goes into the loader and the allocator's first steps. The peak of resident memory
 * that the caller's wait4 reports is that of the largest of the processes. */
static uint64_t run_start(const struct plan *plan)
{
    size_t start_count = scaled(plan, 600);

    for (size_t i = 0; i < start_count; i++) {
        pid_t child = vfork();
        int status;

        if (child < 0)
            give_up("no process can be made");
        if (child == 0) {
            execl("/proc/self/exe", "workloads", "--quiet", "small", (char *)NULL);
            _exit(127);
        }
        while (waitpid(child, &status, 0) < 0 && errno == EINTR)
            ;
        if (status != 0)
            give_up("the small program failed");
    }
    return start_count;
}

static void print_help(void)
{
    puts("Usage: workloads [--percent=N] NAME\n"
         "Runs one workload on the malloc that the program was started with.\n\n"
         "  --percent=N   the share of the usual number of operations (100)\n"
         "  --quiet       print nothing\n"
         "  --list        the names, one a line\n"
         "  --help        this text\n");
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        printf("  %-10s %s\n", workloads[i].name, workloads[i].help);
}

static _Noreturn void misused(const char *argument)
{
    fprintf(stderr, "workloads: '%s' is not understood; see workloads --help\n", argument);
    exit(2);
}

static const struct workload *find_workload(const char *name)
{
    for (size_t i = 0; i < WORKLOAD_COUNT; i++)
        if (strcmp(workloads[i].name, name) == 0)
            return &workloads[i];
    misused(name);
}

static unsigned parse_percent(const char *argument, const char *text)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (end == text || *end != '\0' || value < 1 || value > 100)
        misused(argument);
    return (unsigned)value;
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

int main(int argument_count, char **arguments)
{
    struct plan plan = {.percent = 100};
    const struct workload *chosen = NULL;
    int is_quiet = 0;
    uint64_t sum;

    for (int i = 1; i < argument_count; i++) {
        const char *argument = arguments[i];

        if (strcmp(argument, "--help") == 0) {
            print_help();
            return 0;
        } else if (strcmp(argument, "--list") == 0) {
            for (size_t w = 0; w < WORKLOAD_COUNT; w++)
                puts(workloads[w].name);
            return 0;
        } else if (strcmp(argument, "--quiet") == 0) {
            is_quiet = 1;
        } else if (strncmp(argument, "--percent=", 10) == 0) {
            plan.percent = parse_percent(argument, argument + 10);
        } else if (chosen != NULL) {
            misused(argument);
        } else {
            chosen = find_workload(argument);
        }
    }
    if (chosen == NULL)
        misused("");
    plan.thread_count = chosen->thread_count;
    sum = chosen->run(&plan);
    if (!is_quiet)
        printf("malloc: %s\nchecksum: %016llx\n", file_of_malloc(), (unsigned long long)sum);
    return 0;
}
