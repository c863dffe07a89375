/* child.c: see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILD_FD = 3, STATUS_NO_CGROUP = 120, STATUS_NO_EXEC = 121 };

static char child_word[] = "--one-life";

static bool read_all(int fd, void *bytes, size_t byte_count)
{
    for (size_t done = 0; done < byte_count;) {
        ssize_t got = read(fd, (char *)bytes + done, byte_count - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        done += (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const void *bytes, size_t byte_count)
{
    for (size_t done = 0; done < byte_count;) {
        /* A parent that has gone is an error here, not a signal. */
        ssize_t sent = send(fd, (const char *)bytes + done, byte_count - done, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return false;
        done += (size_t)sent;
    }
    return true;
}

bool np_child_is_wanted(int argc, char **argv)
{
    return argc == 2 && strcmp(argv[1], child_word) == 0;
}

int np_child_main(void)
{
    struct life_plan plan;
    struct life_report report;
    struct life_sample *samples = NULL;
    char end;

    memset(&report, 0, sizeof report);
    if (!read_all(CHILD_FD, &plan, sizeof plan))
        return EXIT_FAILURE;
    if (plan.is_traced) {
        size_t sample_bytes = LIFE_SAMPLE_MAX * sizeof *samples;
        samples = mmap(NULL, sample_bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        if (samples == MAP_FAILED)
            return EXIT_FAILURE;
    }
    bool is_lived = np_life_run(&plan, &report, samples);

    if (!write_all(CHILD_FD, &report, sizeof report)
        || !write_all(CHILD_FD, samples, report.sample_count * sizeof *samples))
        return EXIT_FAILURE;
    /* End of file: the parent has let go. */
    read_all(CHILD_FD, &end, 1);
    return is_lived ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Between fork and exec: only async-signal-safe calls. */
static _Noreturn void become_child(int fd, int procs_fd)
{
    char path[PATH_MAX] = "";
    char *arguments[] = { path, child_word, NULL };

    /* Nobody is left to end it if the parent dies. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* "0" is the writer itself. */
    if (procs_fd >= 0 && write(procs_fd, "0", 1) != 1)
        _exit(STATUS_NO_CGROUP);
    if (fd == CHILD_FD ? fcntl(fd, F_SETFD, 0) != 0 : dup2(fd, CHILD_FD) != CHILD_FD)
        _exit(STATUS_NO_EXEC);
    /* By its own name: under valgrind /proc/self/exe is valgrind, though the link reads right. */
    if (readlink("/proc/self/exe", path, sizeof path - 1) > 0)
        execv(path, arguments);
    execv("/proc/self/exe", arguments);
    _exit(STATUS_NO_EXEC);
}

bool np_child_start(struct child *child, const struct life_plan *plan, int procs_fd)
{
    int ends[2];

    fflush(NULL);
    /* Closed at exec: a second child must not hold the first one's socket open. */
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    child->fd = ends[0];
    child->pid = fork();
    if (child->pid == 0) {
        close(ends[0]);
        become_child(ends[1], procs_fd);
    }
    close(ends[1]);
    if (child->pid < 0) {
        close(child->fd);
        return false;
    }
    /* If this fails the child has died, and np_child_read finds that out. */
    (void)write_all(child->fd, plan, sizeof *plan);
    return true;
}

static void describe_end(int status, char *text, size_t text_bytes)
{
    if (WIFSIGNALED(status))
        snprintf(text, text_bytes, "the process was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == STATUS_NO_CGROUP)
        snprintf(text, text_bytes, "the process could not enter the cgroup");
    else if (WEXITSTATUS(status) == STATUS_NO_EXEC)
        snprintf(text, text_bytes, "the program could not execute itself");
    else
        snprintf(text, text_bytes, "the process ended early with status %d", WEXITSTATUS(status));
}

bool np_child_read(struct child *child, struct life_report *report, struct life_sample **samples)
{
    *samples = NULL;
    if (!read_all(child->fd, report, sizeof *report)) {
        /* The socket is closed because the process has ended: it can be seen, and left for
         * np_child_end to collect. */
        siginfo_t info = { 0 };
        int status = 0;
        memset(report, 0, sizeof *report);
        if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) == 0)
            status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
        describe_end(status, report->error, sizeof report->error);
        return false;
    }
    if (report->sample_count > 0) {
        size_t sample_bytes = report->sample_count * sizeof **samples;
        *samples = malloc(sample_bytes);
        if (*samples == NULL || !read_all(child->fd, *samples, sample_bytes)) {
            snprintf(report->error, sizeof report->error, "the trace could not be read");
            return false;
        }
    }
    return report->error[0] == '\0';
}

int np_child_end(struct child *child)
{
    int status = 0;

    if (child->fd >= 0)
        close(child->fd);
    child->fd = -1;
    while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}
