/* Trap: madvise refuses memory that the program has locked, and may not be believed to have
 * cleared it. calloc's blocks must be zero there, and free must neither fail nor touch errno. */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <sys/mman.h>

#include "trap.h"

enum { BLOCKS = 6000, BLOCK_BYTES = 1000, LOCKED_BLOCKS = 40 };

static unsigned char *blocks[BLOCKS];

static void allocate_dirty(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK_BYTES);
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], 0xff, BLOCK_BYTES);
    }
}

static void free_all(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        errno = ENOTTY;
        free(blocks[i]);
        REQUIRE(errno == ENOTTY);
    }
}

static void require_zeros(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = calloc(1, BLOCK_BYTES);
        REQUIRE(blocks[i] != NULL);
        for (size_t at = 0; at < BLOCK_BYTES; at++)
            REQUIRE(blocks[i][at] == 0);
        memset(blocks[i], 0xee, BLOCK_BYTES);
    }
}

/* Some in the middle, and the last one at the top; 41 times at most two pages. */
static void lock_some(void)
{
    for (size_t i = 0; i < LOCKED_BLOCKS; i++)
        REQUIRE(mlock(blocks[i * (BLOCKS / LOCKED_BLOCKS)], BLOCK_BYTES) == 0);
    REQUIRE(mlock(blocks[BLOCKS - 1], BLOCK_BYTES) == 0);
}

static void lock_a_large_one(void)
{
    for (unsigned round = 0; round < 3; round++) {
        unsigned char *large = malloc(3000000);

        REQUIRE(large != NULL);
        memset(large, 0xdd, 3000000);
        REQUIRE(mlock(large + 1000000, 4096) == 0);
        large = realloc(large, 1500000);
        REQUIRE(large != NULL && large[1000000] == 0xdd);
        free(large);
        large = calloc(1, 3000000);
        REQUIRE(large != NULL);
        for (size_t at = 0; at < 3000000; at++)
            REQUIRE(large[at] == 0);
        free(large);
    }
}

int main(void)
{
    for (unsigned round = 0; round < 3; round++) {
        allocate_dirty();
        lock_some();
        free_all();
        errno = ENOTTY;
        (void)malloc_trim(0);
        REQUIRE(errno == ENOTTY);
        require_zeros();
        free_all();
    }
    lock_a_large_one();
    return 0;
}
