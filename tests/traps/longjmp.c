/* Trap: a signal handler leaves malloc by longjmp, or uses malloc where it has interrupted it. Both
 * are undefined; what neap says of them is that the process does not hang: it goes on, or ends. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "load.h"

enum { PROCESSES = 8, TICKS = 50, EVERY_US = 300 };

static sigjmp_buf again;
static volatile sig_atomic_t ticks;
static struct load load;

static void jump(int number)
{
    (void)number;
    ticks++;
    siglongjmp(again, 1);
}

static void allocate(int number)
{
    (void)number;
    ticks++;
    for (unsigned at = 0; at < 18; at++)
        free(malloc((size_t)1 << at));
}

static void misuse(void (*handler)(int), uint64_t seed)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval timer = {{0, EVERY_US}, {0, EVERY_US}};

    alarm(100);
    close(STDERR_FILENO); /* what is said is not the question here */
    load.random = seed;
    REQUIRE(sigaction(SIGPROF, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_PROF, &timer, NULL) == 0);
    (void)sigsetjmp(again, 1);
    while (ticks < TICKS) {
        struct load_block *block = &load.blocks[random_below(&load.random, LOAD_BLOCKS)];
        char *memory = block->memory;

        block->memory = NULL; /* first: whether it was freed is not known after a jump */
        free(memory);
        block->memory = malloc(1 + random_size(&load.random, 18));
    }
    _exit(0);
}

int main(void)
{
    alarm(240);
    for (unsigned process = 0; process < PROCESSES; process++) {
        int status;
        pid_t child = fork();

        REQUIRE(child >= 0);
        if (child == 0)
            misuse(process % 2 == 0 ? jump : allocate, process);
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) != SIGALRM);
    }
    return 0;
}
