/* Trap: threads whose first malloc finds the address space used up. They have no heap, and what
 * libc needs to note their end cannot be had either: NULL with ENOMEM, and they go on. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "load.h"

enum { THREADS = 8, MOST_BLOCKS = 1 << 20, TRIES = 40 };

static void *blocks[MOST_BLOCKS];
static size_t block_count;
static pthread_barrier_t barrier;
static atomic_uint refusals;

static void limit_address_space(rlim_t bytes)
{
    struct rlimit limit;

    REQUIRE(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    REQUIRE(setrlimit(RLIMIT_AS, &limit) == 0);
}

/* What was freed serves again. */
static void use_half_again(void)
{
    while (block_count < 100) {
        blocks[block_count] = malloc((size_t)1 << 20);
        REQUIRE(blocks[block_count] != NULL);
        block_count++;
    }
    while (block_count > 0)
        free(blocks[--block_count]);
}

/* From large blocks to the smallest, until there is not one more of any size. */
static void use_all_up(void)
{
    for (size_t size = (size_t)1 << 20; size >= 1; size /= 2) {
        void *block;

        while ((block = malloc(size)) != NULL) {
            REQUIRE(block_count < MOST_BLOCKS);
            blocks[block_count++] = block;
        }
        REQUIRE(errno == ENOMEM);
    }
}

static void try_to_allocate(void)
{
    for (unsigned i = 0; i < TRIES; i++) {
        size_t size = (size_t)1 << i % 20;
        char *block;

        errno = 0;
        block = malloc(size);
        if (block == NULL) {
            REQUIRE(errno == ENOMEM);
            refusals++;
            continue;
        }
        memset(block, 1, size);
        free(block);
    }
}

static void *begin_late(void *argument)
{
    pthread_barrier_wait(&barrier); /* all memory is used up */
    try_to_allocate();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier); /* there is memory again */
    if ((uintptr_t)argument % 2 == 0)
        load_run((uintptr_t)argument, LOAD_STEPS);
    return NULL; /* half of them end without ever having had a heap */
}

int main(void)
{
    pthread_t threads[THREADS];

    alarm(240);
    REQUIRE(pthread_barrier_init(&barrier, NULL, THREADS + 1) == 0);
    for (uintptr_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_create(&threads[i], NULL, begin_late, (void *)i) == 0);
    limit_address_space((rlim_t)256 << 20);
    use_all_up();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    REQUIRE(refusals > THREADS * TRIES / 4);
    while (block_count > 0)
        free(blocks[--block_count]);
    use_half_again();
    limit_address_space(RLIM_INFINITY);
    pthread_barrier_wait(&barrier);
    for (size_t i = 0; i < THREADS; i++)
        REQUIRE(pthread_join(threads[i], NULL) == 0);
    load_threads();
    return 0;
}
