/* For traps in which a process is to end, and to say why: a child does what ends it. */
#ifndef NEAP_TESTS_TRAPS_CHILD_H
#define NEAP_TESTS_TRAPS_CHILD_H

#include <sys/resource.h>
#include <sys/wait.h>

#include "trap.h"

/* A child that comes back from what it does exits with 0; it leaves no core. Answers its status, as
 * waitpid has it, and what it wrote to standard error, of `room` bytes at most with the 0 that ends
 * it. */
static inline int child_status(void (*act)(void *), void *argument, char *said, size_t room)
{
    size_t length = 0;
    ssize_t piece;
    int ends[2];
    int status;
    pid_t child;

    REQUIRE(pipe(ends) == 0);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};

        (void)setrlimit(RLIMIT_CORE, &none);
        REQUIRE(dup2(ends[1], STDERR_FILENO) == STDERR_FILENO);
        close(ends[1]);
        act(argument);
        _exit(0);
    }
    close(ends[1]);
    while ((piece = read(ends[0], said + length, room - 1 - length)) > 0)
        length += (size_t)piece;
    said[length] = '\0';
    close(ends[0]);
    REQUIRE(waitpid(child, &status, 0) == child);
    return status;
}

#endif
