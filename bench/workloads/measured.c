/* measured.c: `measured FILE [NAME=VALUE]... COMMAND [ARGUMENT]...`: runs a command with these
 * variables in its environment and writes into FILE, as JSON, its exit status, times, peak of
 * resident memory and page faults.
 *
 * A small program of its own, because the kernel counts the memory of whoever forked a process
 * towards that process's peak: started from Python, nothing would seem smaller than Python.
 */
#include <errno.h>
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

static void write_report(const char *path, int status, double seconds, const struct rusage *usage)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        fail(path);
    fprintf(file,
            "{\"exit_status\": %d, \"signal\": %d, \"seconds\": %.6f, \"user_seconds\": %.6f, "
            "\"system_seconds\": %.6f, \"peak_rss_bytes\": %lld, \"minor_faults\": %ld}\n",
            WIFEXITED(status) ? WEXITSTATUS(status) : -1,
            WIFSIGNALED(status) ? WTERMSIG(status) : 0, seconds, seconds_of(usage->ru_utime),
            seconds_of(usage->ru_stime), (long long)usage->ru_maxrss * 1024, usage->ru_minflt);
    if (fclose(file) != 0)
        fail(path);
}

int main(int argument_count, char **arguments)
{
    int command = 2;
    struct rusage usage;
    double start;
    pid_t child;
    int status;

    while (command < argument_count && is_variable(arguments[command]))
        command++;
    if (command >= argument_count) {
        fputs("Usage: measured FILE [NAME=VALUE]... COMMAND [ARGUMENT]...\n", stderr);
        return 125;
    }
    start = now_seconds();
    child = fork();
    if (child < 0)
        fail("fork");
    if (child == 0) {
        for (int i = 2; i < command; i++)
            putenv(arguments[i]);
        execvp(arguments[command], &arguments[command]);
        fprintf(stderr, "measured: %s: %s\n", arguments[command], strerror(errno));
        _exit(127);
    }
    while (wait4(child, &status, 0, &usage) < 0)
        if (errno != EINTR)
            fail("wait4");
    write_report(arguments[1], status, now_seconds() - start, &usage);
    return 0;
}
