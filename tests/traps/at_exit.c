/* Trap: there is no time at which malloc has ended. Blocks are freed and allocated in atexit
 * functions, in destructors, and by a thread that outlives main. */
#include <pthread.h>

#include "trap.h"

static char *block_of_main;
static char *block_of_atexit;

static void *allocate_for_ever(void *argument)
{
    unsigned size = 1;

    (void)argument;
    for (;;) {
        char *block = malloc(size = size * 5 % 70001);

        REQUIRE(block != NULL);
        block[0] = 1;
        free(block);
    }
    return NULL;
}

static void in_atexit(void)
{
    REQUIRE(block_of_main[999] == 5);
    free(block_of_main);
    block_of_atexit = malloc(200000);
    REQUIRE(block_of_atexit != NULL);
    memset(block_of_atexit, 6, 200000);
}

__attribute__((destructor)) static void in_destructor(void)
{
    REQUIRE(block_of_atexit[199999] == 6);
    block_of_atexit = realloc(block_of_atexit, 400000);
    REQUIRE(block_of_atexit != NULL && block_of_atexit[199999] == 6);
    free(block_of_atexit);
    for (size_t size = 1; size < 2000000; size *= 3)
        free(malloc(size));
}

int main(void)
{
    pthread_t thread;

    alarm(120);
    REQUIRE(atexit(in_atexit) == 0);
    REQUIRE(pthread_create(&thread, NULL, allocate_for_ever, NULL) == 0);
    block_of_main = malloc(1000);
    REQUIRE(block_of_main != NULL);
    memset(block_of_main, 5, 1000);
    return 0;
}
