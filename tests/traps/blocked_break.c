/* Trap: the break cannot move, because something is mapped right behind it. Memory must come from
 * elsewhere, and all goes on; also when the break is free again. */
#include <stdint.h>
#include <sys/mman.h>

#include "trap.h"

enum { BLOCKS = 20000 };

static unsigned char *blocks[BLOCKS];

static size_t size_of(size_t block_index)
{
    return 1 + block_index * 41 % 4000;
}

static void allocate_check_and_free(void)
{
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(size_of(i));
        REQUIRE(blocks[i] != NULL);
        memset(blocks[i], (int)(i % 251), size_of(i));
    }
    for (size_t i = 0; i < BLOCKS; i++) {
        REQUIRE(blocks[i][0] == i % 251 && blocks[i][size_of(i) - 1] == i % 251);
        free(blocks[i]);
    }
}

int main(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    char *small = malloc(10);
    uintptr_t behind = ((uintptr_t)sbrk(0) + page - 1) / page * page;
    void *wall = mmap((void *)behind, page, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    REQUIRE(small != NULL);
    REQUIRE(wall == (void *)behind);
    REQUIRE(sbrk((intptr_t)(2 * page)) == (void *)-1);
    for (unsigned round = 0; round < 3; round++)
        allocate_check_and_free();
    REQUIRE(munmap(wall, page) == 0);
    for (unsigned round = 0; round < 3; round++)
        allocate_check_and_free();
    free(small);
    return 0;
}
