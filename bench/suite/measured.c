/* measured.c: `measured FILE [NAME=VALUE]... COMMAND [ARGUMENT]...`: runs a command with these
 * variables in its environment and writes into FILE, as JSON, its exit status, times, peak of
 * resident memory and page faults; instructions and cycles where the machine counts them.
 *
 * A small program of its own, because the kernel counts the memory of whoever forked a process
 * towards that process's peak: started from Python, nothing would seem smaller than Python.
 */
#include "counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "measured: %s: %s\n", what, strerror(errno));
    exit(125);
}

static double now_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

/* A variable, and not a command with an equals sign in its path. */
static int is_variable(const char *text)
{
    const char *equals = strchr(text, '=');

    return equals != NULL && memchr(text, '/', (size_t)(equals - text)) == NULL;
}

static void write_counters(FILE *file, const struct counters *counters)
{
    for (enum counter counter = 0; counter < COUNTER_COUNT; counter++) {
        uint64_t value;

        if (counter_read(counters, counter, &value))
            fprintf(file, ", \"%s\": %llu", counter_names[counter], (unsigned long long)value);
    }
}

static void write_report(const char *path, int status, double seconds, const struct rusage *usage,
                         const struct counters *counters)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        fail(path);
    fprintf(file,
            "{\"exit_status\": %d, \"signal\": %d, \"seconds\": %.6f, \"user_seconds\": %.6f, "
            "\"system_seconds\": %.6f, \"peak_rss_bytes\": %lld, \"minor_faults\": %ld",
            WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            WIFSIGNALED(status) ? WTERMSIG(status) : 0, seconds, seconds_of(usage->ru_utime),
            seconds_of(usage->ru_stime), (long long)usage->ru_maxrss * 1024, usage->ru_minflt);
    write_counters(file, counters);
    fputs("}\n", file);
    if (fclose(file) != 0)
        fail(path);
}

/* Waits until the parent has put counters on this process, then becomes the command. */
static _Noreturn void become(char **variables, char **command, int ready)
{
    char byte;

    for (; variables < command; variables++)
        putenv(*variables);
    while (read(ready, &byte, 1) < 0 && errno == EINTR)
        ;
    execvp(command[0], command);
    fprintf(stderr, "measured: %s: %s\n", command[0], strerror(errno));
    _exit(127);
}

int main(int argument_count, char **arguments)
{
    int command = 2;
    struct counters counters;
    struct rusage usage;
    int ready[2];
    double start;
    pid_t child;
    int status;

    while (command < argument_count && is_variable(arguments[command]))
        command++;
    if (command >= argument_count) {
        fputs("Usage: measured FILE [NAME=VALUE]... COMMAND [ARGUMENT]...\n", stderr);
        return 125;
    }
    if (pipe2(ready, O_CLOEXEC) != 0)
        fail("pipe2");
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        close(ready[1]);
        become(&arguments[2], &arguments[command], ready[0]);
    }
    counters_open_for_command(&counters, child);
    start = now_seconds();
    close(ready[1]);
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            fail("wait4");
    write_report(arguments[1], status, now_seconds() - start, &usage, &counters);
    return 0;
}
