/* Trap: a thread may have the smallest stack there is, and malloc's slowest path must fit in it. */
#include <limits.h>
#include <pthread.h>
#include <stdint.h>

#include "trap.h"

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

int main(void)
{
    pthread_attr_t attributes;
    pthread_t thread;

    REQUIRE(pthread_attr_init(&attributes) == 0);
    REQUIRE(pthread_attr_setstacksize(&attributes, (size_t)PTHREAD_STACK_MIN) == 0);
    for (unsigned i = 0; i < 20; i++) {
        REQUIRE(pthread_create(&thread, &attributes, allocate_all_sizes, NULL) == 0);
        REQUIRE(pthread_join(thread, NULL) == 0);
    }
    return 0;
}
