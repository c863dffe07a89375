/* Trap: a child that shares the parent's memory and the calling thread's place in it, by vfork or
 * by clone, uses malloc, though POSIX forbids it. While the parent's thread waits, it is as if that
 * thread did it itself: blocks live on in the parent. Other threads are at work meanwhile, and so
 * is posix_spawn, which makes such a child. (A child that runs beside the thread that made it, with
 * its thread-local words, must not use malloc.) */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "load.h"

enum { THREADS = 3, ROUNDS = 40, STEPS = 300, STACK_BYTES = 1 << 20 };

extern char **environ;

static atomic_bool is_over;
static struct load shared; /* the blocks of parent and children */
static char *stack;

static void require_success(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    while (waitpid(child, &status, __WALL) != child)
        REQUIRE(errno == EINTR);
    REQUIRE(status == 0);
}

static void take_steps(void)
{
    for (unsigned step = 0; step < STEPS; step++)
        load_step(&shared);
}

static int be_a_clone(void *argument)
{
    (void)argument;
    take_steps();
    _exit(0);
}

static void make_children(void)
{
    char *arguments[] = {"true", NULL};
    pid_t child = vfork();

    if (child == 0) {
        take_steps();
        _exit(0);
    }
    require_success(child);
    child = clone(be_a_clone, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    require_success(child);
    REQUIRE(posix_spawnp(&child, "true", NULL, NULL, arguments, environ) == 0);
    take_steps(); /* beside it */
    require_success(child);
}

static void *be_at_work(void *seed)
{
    for (unsigned round = 0; !is_over; round++)
        load_run((uintptr_t)seed + round * THREADS, 1000);
    return NULL;
}

int main(void)
{
    pthread_t threads[THREADS];

    alarm(240);
    stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(stack != MAP_FAILED);
    make_children(); /* while there is one thread */
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, be_at_work, (void *)(i + 1)) == 0);
    for (unsigned round = 0; round < ROUNDS; round++)
        make_children();
    is_over = true;
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    load_end(&shared);
    return 0;
}
