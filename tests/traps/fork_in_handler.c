/* Trap: a signal handler forks, and has interrupted malloc. The child of a program with threads may
 * then do only what is async-signal-safe, and that of a program without may go on where it was, as
 * POSIX has it. Neither side may hang. Several threads do so at once, while another one forks
 * outside of handlers. (A handler that has interrupted fork itself must not fork: glibc waits there
 * for its own lock.) */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "load.h"

enum { THREADS = 3, FORKS = 150 };

static atomic_uint forks_in_handlers;
static atomic_bool is_over;
static bool has_threads;

/* In a child of a program without threads, which goes on. */
static volatile sig_atomic_t is_child;

static void require_success(pid_t child)
{
    int status;

    REQUIRE(child > 0);
    while (waitpid(child, &status, 0) != child)
        REQUIRE(errno == EINTR);
    REQUIRE(status == 0);
}

static void fork_here(int number)
{
    int saved_errno = errno;
    pid_t child;

    (void)number;
    if (is_child)
        return;
    forks_in_handlers++;
    child = fork();
    if (child == 0) {
        alarm(120);
        if (has_threads)
            _exit(0);
        is_child = 1;
    } else {
        require_success(child);
    }
    errno = saved_errno;
}

static void *allocate(void *seed)
{
    while (!is_over)
        load_run((uintptr_t)seed, 2000);
    return NULL;
}

/* The child takes its step to the end, and many more, with the blocks that it has. */
static void allocate_alone(void)
{
    struct load *load = calloc(1, sizeof *load);

    REQUIRE(load != NULL);
    while (forks_in_handlers < FORKS && !is_child)
        load_step(load);
    for (unsigned step = 0; is_child && step < 500; step++)
        load_step(load);
    load_end(load);
    free(load);
    if (is_child)
        _exit(0);
}

static void *fork_outside(void *argument)
{
    sigset_t set;

    REQUIRE(sigemptyset(&set) == 0 && sigaddset(&set, SIGPROF) == 0);
    REQUIRE(pthread_sigmask(SIG_BLOCK, &set, NULL) == 0);
    while (!is_over) {
        pid_t child = fork();

        REQUIRE(child >= 0);
        if (child == 0)
            _exit(0);
        require_success(child);
        free(malloc(100000));
    }
    return argument;
}

static void set_timer(long every_us)
{
    struct sigaction action = {.sa_handler = fork_here, .sa_flags = SA_RESTART};
    struct itimerval timer = {{0, every_us}, {0, every_us}};

    REQUIRE(sigaction(SIGPROF, &action, NULL) == 0);
    REQUIRE(setitimer(ITIMER_PROF, &timer, NULL) == 0);
}

int main(void)
{
    pthread_t threads[THREADS + 1];

    alarm(240);
    set_timer(1500);
    allocate_alone();
    has_threads = true;
    forks_in_handlers = 0;
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, allocate, (void *)(i + 1)) == 0);
    REQUIRE(pthread_create(&threads[THREADS], NULL, fork_outside, NULL) == 0);
    while (forks_in_handlers < FORKS)
        usleep(10000);
    set_timer(0);
    is_over = true;
    for (size_t i = 0; i <= THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    load_threads();
    return 0;
}
