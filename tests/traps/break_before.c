/* Trap: the program calls sbrk before the first malloc of the process. One that has taken memory
 * there may do so again at any time, in any thread, so neap keeps away; one that has only asked
 * where the end is finds it moved by malloc, as ever.
 *
 *   trap_break_before taken|asked */
#include <stdint.h>
#include <sys/mman.h>

#include "trap.h"

enum { BLOCKS = 100, BLOCK_BYTES = 50000 };

static char *blocks[BLOCKS];

static void allocate(void)
{
    for (size_t at = 0; at < BLOCKS; at++) {
        blocks[at] = malloc(BLOCK_BYTES);
        REQUIRE(blocks[at] != NULL);
        memset(blocks[at], (int)at, BLOCK_BYTES);
    }
}

static int run_where_it_was_taken(void)
{
    char *taken = sbrk(5000);
    char *end = sbrk(0);

    REQUIRE(end == taken + 5000);
    allocate();
    REQUIRE(sbrk(0) == end);
    for (size_t at = 0; at < BLOCKS; at++)
        free(blocks[at]);
    REQUIRE(sbrk(0) == end);
    return 0;
}

/* 77, nothing to see: addresses are not random, and the break follows the program's own data. */
static int run_where_it_was_asked(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t start = (uintptr_t)sbrk(0);
    unsigned char state;

    if (mincore((void *)((start - 1) / page * page), 1, &state) == 0)
        return 77;
    allocate();
    REQUIRE((uintptr_t)blocks[0] >= start);
    REQUIRE((uintptr_t)sbrk(0) >= (uintptr_t)blocks[BLOCKS - 1] + BLOCK_BYTES);
    REQUIRE((uintptr_t)sbrk(0) - start >= (uintptr_t)BLOCKS * BLOCK_BYTES);
    return 0;
}

int main(int argc, char **argv)
{
    alarm(120);
    REQUIRE(argc == 2);
    return strcmp(argv[1], "taken") == 0 ? run_where_it_was_taken() : run_where_it_was_asked();
}
