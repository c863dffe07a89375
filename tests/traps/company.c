/* Trap: while there is one thread, slabs that are full stay open, more than a sleeping thread may
 * withhold once others can free what is in them. The first thread that is made has to find them
 * closed: it frees all that main took while main waits for it, and nothing but it asks malloc. */
#include <pthread.h>
#include <stdbool.h>

#include "helper.h"

enum { SMALL_BLOCKS = 200000, SMALL_BYTES = 500 };

static void *blocks[SMALL_BLOCKS];

/* Every second block first: pages are free at the end only, when nobody looks. */
static void *free_all(void *argument)
{
    for (size_t from = 0; from < 2; from++)
        for (size_t i = from; i < SMALL_BLOCKS; i += 2)
            free(blocks[i]);
    return argument;
}

static size_t take_all(void)
{
    size_t before = resident_bytes();

    for (size_t i = 0; i < SMALL_BLOCKS; i++) {
        blocks[i] = malloc(SMALL_BYTES);
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], 1, SMALL_BYTES);
    }
    return before;
}

/* So that what libc asks for on behalf of the thread is there, and malloc need not look
 * around for it. */
static void have_some_of_each(void)
{
    for (size_t bytes = 16; bytes <= 1024; bytes += 16)
        free(calloc(1, bytes));
}

int main(void)
{
    size_t before;
    pthread_t thread;

    alarm(240);
    memset(blocks, 1, sizeof blocks);
    before = take_all();
    REQUIRE(resident_bytes() - before > (size_t)SMALL_BLOCKS * SMALL_BYTES);
    have_some_of_each();
    REQUIRE(pthread_create(&thread, NULL, free_all, NULL) == 0);
    REQUIRE(pthread_join(thread, NULL) == 0);
    /* T is 1 MiB then, and both threads may have 1 MiB; 1 MiB is for bookkeeping and libc. */
    REQUIRE(resident_bytes() - before < 4 * MIB + MIB / 2);
    return 0;
}
