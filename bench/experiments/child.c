/* child.c: see child.h. */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

bool np_child_take_plan(void *plan, size_t plan_bytes)
{
    return read_all(CHILD_FD, plan, plan_bytes);
}

bool np_child_tell(const void *bytes, size_t byte_count)
{
    return write_all(CHILD_FD, bytes, byte_count);
}

void np_child_linger(void)
{
    char end;

    /* End of file: the parent has let go. */
    read_all(CHILD_FD, &end, 1);
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

bool np_child_start(struct child *child, const void *plan, size_t plan_bytes, int procs_fd)
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
    /* If this fails the child has died, and np_child_hear finds that out. */
    (void)write_all(child->fd, plan, plan_bytes);
    return true;
}

bool np_child_hear(struct child *child, void *bytes, size_t byte_count)
{
    return read_all(child->fd, bytes, byte_count);
}

void np_child_describe_end(const struct child *child, char *text, size_t text_bytes)
{
    siginfo_t info = { 0 };

    /* The socket is closed because the process has ended: it can be seen, and left for
     * np_child_end to collect. */
    if (waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOWAIT) != 0)
        snprintf(text, text_bytes, "the process has gone: %s", strerror(errno));
    else if (info.si_code != CLD_EXITED)
        snprintf(text, text_bytes, "the process was ended by signal %d (%s)", info.si_status,
                 strsignal(info.si_status));
    else if (info.si_status == STATUS_NO_CGROUP)
        snprintf(text, text_bytes, "the process could not enter the cgroup");
    else if (info.si_status == STATUS_NO_EXEC)
        snprintf(text, text_bytes, "the program could not execute itself");
    else
        snprintf(text, text_bytes, "the process ended early with status %d", info.si_status);
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
