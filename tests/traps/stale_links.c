/* Trap: what was left in memory by smaller blocks that were freed there is copied to the start of a
 * block, by a program that never looks at it, as one that moves records with holes does. It is no
 * reason to take the block for a free one, in whatever thread it is freed. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "trap.h"

#define SMALL_BYTES 64
#define SMALL_COUNT 3000
#define BLOCK_BYTES 256
#define BLOCK_COUNT 500
#define ROUNDS      8

static char *blocks[BLOCK_COUNT];

/* In another thread the blocks' slabs are somebody else's, and mostly open there. */
static void *use_and_free(void *unused)
{
    (void)unused;
    for (unsigned i = 0; i < BLOCK_COUNT; i++) {
        REQUIRE(malloc_usable_size(blocks[i]) >= BLOCK_BYTES);
        if (i % 2 == 0)
            blocks[i] = realloc(blocks[i], BLOCK_BYTES - 8);
        free(blocks[i]);
    }
    return NULL;
}

/* The compiler must not find out that nothing was written there. */
static void *moved(void *block)
{
    void *volatile kept = block;

    memmove(kept, (char *)kept + SMALL_BYTES, BLOCK_BYTES - SMALL_BYTES);
    return kept;
}

int main(void)
{
    static char *small[SMALL_COUNT];

    for (unsigned round = 0; round < ROUNDS; round++) {
        pthread_t other;

        for (unsigned i = 0; i < SMALL_COUNT; i++) {
            small[i] = malloc(SMALL_BYTES);
            REQUIRE(small[i] != NULL);
            memset(small[i], 1, SMALL_BYTES);
        }
        for (unsigned i = 0; i < SMALL_COUNT; i++)
            free(small[i]);
        for (unsigned i = 0; i < BLOCK_COUNT; i++) {
            blocks[i] = malloc(BLOCK_BYTES);
            REQUIRE(blocks[i] != NULL);
            blocks[i] = moved(blocks[i]);
        }
        REQUIRE(pthread_create(&other, NULL, use_and_free, NULL) == 0);
        REQUIRE(pthread_join(other, NULL) == 0);
    }
    return 0;
}
