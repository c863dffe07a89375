/* Runs a program as if it were setuid: secure_exec PROGRAM [ARGUMENT...]
 *
 * What makes a process "secure" for libc and the loader is one word that the kernel puts on its
 * stack, AT_SECURE. This starts the program under ptrace and sets the word before its first
 * instruction, so that no setuid file and no root is needed. Exits as the program does. */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "trap.h"

static unsigned long peek(pid_t child, unsigned long address)
{
    unsigned long word;

    errno = 0;
    word = (unsigned long)ptrace(PTRACE_PEEKDATA, child, (void *)address, NULL);
    REQUIRE(errno == 0);
    return word;
}

/* /proc/PID/syscall ends with the stack pointer and the program counter, on every machine. */
static unsigned long stack_pointer_of(pid_t child)
{
    char path[64];
    char line[256];
    unsigned long stack_pointer = 0;
    FILE *file;
    char *at;

    (void)snprintf(path, sizeof(path), "/proc/%ld/syscall", (long)child);
    file = fopen(path, "r");
    REQUIRE(file != NULL && fgets(line, sizeof(line), file) != NULL);
    (void)fclose(file);
    at = strrchr(line, ' ');
    REQUIRE(at != NULL);
    *at = '\0';
    at = strrchr(line, ' ');
    REQUIRE(at != NULL && sscanf(at, "%lx", &stack_pointer) == 1);
    return stack_pointer;
}

/* The stack of a new program: argc, argv, NULL, environment, NULL, pairs of auxiliary values. */
static void make_secure(pid_t child)
{
    unsigned long at = stack_pointer_of(child);

    at += (peek(child, at) + 2) * sizeof(at);
    while (peek(child, at) != 0)
        at += sizeof(at);
    for (at += sizeof(at); peek(child, at) != AT_NULL; at += 2 * sizeof(at)) {
        if (peek(child, at) == AT_SECURE) {
            REQUIRE(ptrace(PTRACE_POKEDATA, child, (void *)(at + sizeof(at)), (void *)1) == 0);
            return;
        }
    }
    trap_fail("the kernel gives no AT_SECURE\n");
}

int main(int argc, char **argv)
{
    pid_t child;
    int status;

    REQUIRE(argc >= 2);
    child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        REQUIRE(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
        execv(argv[1], argv + 1);
        trap_fail("the program cannot be started\n");
    }
    REQUIRE(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
    make_secure(child);
    REQUIRE(ptrace(PTRACE_DETACH, child, NULL, NULL) == 0);
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
