/* Trap: a thread may have the smallest stack there is, and malloc's slowest path must fit in it;
 * and so must all that walks and returns memory. */
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>

#include <neap/neap.h>

#include "trap.h"

static FILE *nowhere;

static void *allocate_all_sizes(void *argument)
{
    void *blocks[24];
    void *too_much;

    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 24; i++) {
            blocks[i] = malloc((size_t)1 << i);
            REQUIRE(blocks[i] != NULL);
        }
        for (unsigned i = 0; i < 24; i++) {
            blocks[i] = realloc(blocks[i], ((size_t)3 << i) / 2);
            REQUIRE(blocks[i] != NULL);
        }
        for (unsigned i = 0; i < 24; i++)
            free(blocks[i]);
        free(aligned_alloc(1 << 20, 100));
        too_much = malloc(PTRDIFF_MAX - 4096 * (size_t)round);
        REQUIRE(too_much == NULL || sizeof(void *) < 8);
        free(too_much);
    }
    return argument;
}

/* malloc_stats writes to standard error. */
static void write_stats_nowhere(void)
{
    int kept = dup(STDERR_FILENO);

    REQUIRE(kept >= 0 && dup2(fileno(nowhere), STDERR_FILENO) == STDERR_FILENO);
    malloc_stats();
    REQUIRE(dup2(kept, STDERR_FILENO) == STDERR_FILENO);
    close(kept);
}

static void *ask_everything(void *argument)
{
    struct neap_stats stats;
    void *blocks[100];

    for (size_t i = 0; i < 100; i++)
        REQUIRE((blocks[i] = malloc(i * i * 7)) != NULL);
    for (size_t i = 0; i < 100; i += 2)
        free(blocks[i]);
    REQUIRE(mallinfo2().uordblks > 0);
    REQUIRE(neap_stats(&stats, sizeof stats) == 0 && stats.live_count >= 50);
    write_stats_nowhere();
    REQUIRE(malloc_info(0, nowhere) == 0);
    neap_free_table(nowhere);
    (void)malloc_trim(0);
    (void)neap_trim(0, 0);
    for (size_t i = 1; i < 100; i += 2)
        free(blocks[i]);
    return argument;
}

static void run_in_thread(const pthread_attr_t *attributes, void *(*body)(void *))
{
    pthread_t thread;

    REQUIRE(pthread_create(&thread, attributes, body, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
}

int main(void)
{
    pthread_attr_t attributes;

    alarm(120);
    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
    for (unsigned i = 0; i < 20; i++)
        run_in_thread(&attributes, allocate_all_sizes);
    nowhere = fopen("/dev/null", "w");
    REQUIRE(nowhere != NULL);
    run_in_thread(&attributes, ask_everything);
    return fclose(nowhere);
}
