/* Trap: fork runs the handlers of pthread_atfork first and takes stdio's locks after that. If our
 * handlers hold our locks from then on, a thread that holds stdio's and waits for ours waits for
 * ever, and so does fork. One thread here writes to a stream whose write function allocates, in
 * fflush(NULL), which holds the lock on the list of streams; another allocates while it holds
 * stdout's. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>

#include "trap.h"

enum { FORKS = 120, SECONDS = 240 };

static atomic_bool is_over;
static atomic_uint writes;

static void allocate_of_all_kinds(unsigned seed)
{
    void *blocks[24];

    for (unsigned i = 0; i < 24; i++) {
        blocks[i] = malloc(((size_t)seed * (i + 1) * 7919) % ((size_t)16 << i % 16));
        REQUIRE(blocks[i] != NULL);
    }
    for (unsigned i = 0; i < 24; i++)
        free(blocks[i]);
}

static ssize_t write_and_allocate(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    (void)bytes;
    allocate_of_all_kinds(atomic_fetch_add(&writes, 1));
    return (ssize_t)size;
}

static void *flush_all_streams(void *argument)
{
    FILE *stream = argument;

    while (!is_over) {
        fputs("some text", stream);
        fflush(NULL);
        /* libc's locks are not fair: on a busy machine nobody else would have them. */
        sched_yield();
    }
    return NULL;
}

static void *allocate_holding_stdout(void *argument)
{
    unsigned seed = 1;

    while (!is_over) {
        flockfile(stdout);
        allocate_of_all_kinds(seed++);
        funlockfile(stdout);
        sched_yield();
    }
    return argument;
}

static void *allocate_holding_nothing(void *argument)
{
    unsigned seed = 1;

    while (!is_over)
        allocate_of_all_kinds(seed++);
    return argument;
}

int main(void)
{
    cookie_io_functions_t functions = {.write = write_and_allocate};
    FILE *stream = fopencookie(NULL, "w", functions);
    pthread_t threads[3];

    alarm(SECONDS);
    REQUIRE(stream != NULL);
    REQUIRE(pthread_create(&threads[0], NULL, flush_all_streams, stream) == 0);
    REQUIRE(pthread_create(&threads[1], NULL, allocate_holding_stdout, NULL) == 0);
    REQUIRE(pthread_create(&threads[2], NULL, allocate_holding_nothing, NULL) == 0);
    while (writes == 0)
        usleep(100);
    for (unsigned i = 0; i < FORKS; i++) {
        int status;
        pid_t child = fork();

        REQUIRE(child >= 0);
        if (child == 0) {
            alarm(SECONDS);
            allocate_of_all_kinds(i);
            _exit(0);
        }
        REQUIRE(waitpid(child, &status, 0) == child);
        REQUIRE(status == 0);
    }
    is_over = true;
    for (size_t i = 0; i < 3; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    fclose(stream);
    return 0;
}
